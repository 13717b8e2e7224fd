"""Secrets do not print, however they are put into a text."""

import base64
import copy
import html
import json
import pickle
import re
import time
from urllib.parse import quote

import pytest

from pgdoctor_lib.secret import Generations, Secret, one_line, printable, redact

VALUE = "s3cr3t p@ss/wörd%"


def test_it_does_not_print() -> None:
    secret = Secret(VALUE)
    texts = [str(secret), repr(secret), f"{secret}", f"{secret:>5}", "%s" % secret, "{}".format(secret), repr([secret])]  # noqa: UP031, UP032
    assert not [text for text in texts if VALUE in text]
    assert secret.reveal() == VALUE
    assert type(secret.reveal()) is str


def test_of_those_that_change_the_last_ones_are_known() -> None:
    ours, others = Generations(), Generations()
    [shared] = others.take("okapi-0")
    for number in (0, 1, 2, 0, 3):
        [secret] = ours.take(f"okapi-{number}")
        assert (secret.reveal(), str(secret)) == (f"okapi-{number}", "***")
    assert redact("okapi-0 okapi-1 okapi-2 okapi-3") == "*** okapi-1 *** ***", "what came back is among the last"
    for number in (4, 5, 6):
        assert [each.reveal() for each in ours.take(f"okapi-{number}", "", "okapi-x")][1:] == ["", "okapi-x"]
    assert redact("okapi-0 okapi-3 okapi-x") == "*** okapi-3 ***", "another source has the first one still"
    assert shared.reveal() == "okapi-0"


def test_it_is_not_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(VALUE))


@pytest.mark.parametrize(
    "text", [VALUE, "s3cr3t%20p%40ss%2Fw%C3%B6rd%25", "s3cr3t+p%40ss%2Fw%C3%B6rd%25", "s3cr3t%20p%40ss/w%C3%B6rd%25"]
)
def test_a_known_value_is_masked_plain_or_encoded(text: str) -> None:
    Secret(VALUE)
    assert redact(f"before {text} after") == "before *** after"


def test_it_is_masked_as_other_languages_write_it() -> None:
    value = 'é "q\\uo\'te" <&/+ \t end'
    Secret(value)
    octets = value.encode()
    written = [
        quote(quote(value)),
        quote(quote(value, safe=""), safe=""),
        re.sub("%..", lambda match: match[0].lower(), quote(value, safe="")),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(value))[3:-3],
        repr(value)[1:-1],
        repr(octets)[2:-1],
        octets.decode("latin-1"),
        html.escape(value),
        value.replace("'", "''"),
    ]
    for text in written:
        assert redact(f"<{text}>") == "<***>", text


def test_base64_is_masked_wherever_the_secret_stands_in_it() -> None:
    Secret("tok-0123456789-xyz")
    for before in ("", "u", "us", "user:", "someone:"):
        encoded = base64.b64encode(f"{before}tok-0123456789-xyz".encode()).decode()
        assert "***" in redact(f"Basic {encoded}")
        assert "MTIzNDU2Nz" not in redact(f"Basic {encoded}")


def test_a_secret_that_holds_another() -> None:
    Secret("inner")
    Secret("an-inner-secret")
    Secret("secret")
    assert redact("an-inner-secret, inner, secret") == "***, ***, ***"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://u:unknown1@h/db", "postgres://u:***@h/db"),
        ("host=h password=unknown2 user=u", "host=h password=*** user=u"),
        (r"password='un\'kn own' x", "password=*** x"),
        ("Authorization: Bearer unknown3", "Authorization: Bearer ***"),
        ("Authorization: Basic dW5rbm93bg==", "Authorization: Basic ***"),
        ('{"password": "unkn\\"own4", "user": "u"}', '{"password": "***", "user": "u"}'),
    ],
)
def test_what_stands_in_a_secret_s_place_is_masked(text: str, masked: str) -> None:
    assert redact(text) == masked


def test_one_line_is_one_harmless_line() -> None:
    line = one_line("a\n\x1b[31mred\x07 \u202egnp.exe\u2028b\x00" + "x" * 900)
    assert "\n" not in line
    assert line.startswith("a \\x1b[31mred\\x07 \\u202egnp.exe")
    assert len(line) == 500
    assert printable("naïve — 你好 🎉") == "naïve — 你好 🎉"
    assert printable("👨\u200d👩\u200d👧 👩🏽\u200d💻 🏳️\u200d🌈") == "👨\u200d👩\u200d👧 👩🏽\u200d💻 🏳️\u200d🌈"
    assert printable("ad\u200dmin \u200d👧 👧\u200d") == "ad\\u200dmin \\u200d👧 👧\\u200d"


def test_json_of_a_document_that_holds_a_secret_is_masked_by_the_redactor() -> None:
    assert VALUE not in redact(json.dumps({"dsn": f"x {Secret(VALUE).reveal()}"}, ensure_ascii=False))


@pytest.mark.parametrize("text", ["://a:" * 16_000, "x" * 20_000_000, "a " * 10_000_000, "://a:b@" * 1_000_000])
def test_a_text_from_outside_takes_no_long_time_however_long_it_is(text: str) -> None:
    began = time.monotonic()
    line = one_line(text)
    assert time.monotonic() - began < 1
    assert len(line) == 500


def test_all_of_a_text_is_redacted_in_a_time_that_grows_no_faster_than_the_text() -> None:
    began = time.monotonic()
    assert redact("://a:" * 40_000 + " postgres://u:unknown5@h/db").endswith(" postgres://u:***@h/db")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("value", ["cut in the middle of it", "long words " * 30, "k" * 5000])
def test_where_a_long_text_is_cut_no_half_of_a_secret_is_shown(value: str) -> None:
    """Most of it is masked and takes no room, so that the cut comes into sight."""
    Secret(value)
    Secret("a-filler-that-is-masked" * 10)
    for before in (*range(8400, 8800, 10), *range(10_000, 40_000, 1000)):
        filler = "a-filler-that-is-masked" * 10 * (before // 230) + "." * (before % 230)
        line = one_line(f"{filler}{value} and more {'.' * 60_000}")
        assert set(line) <= {*"*.…", *" and more"} and value[:4] not in line
