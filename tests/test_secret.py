"""Secrets do not print, however they are put into a text."""

import copy
import json
import pickle

import pytest

from pgdoctor_lib.secret import Secret, one_line, printable, redact

VALUE = "s3cr3t p@ss/wörd%"


def test_it_does_not_print() -> None:
    secret = Secret(VALUE)
    texts = [str(secret), repr(secret), f"{secret}", f"{secret:>5}", "%s" % secret, "{}".format(secret), repr([secret])]  # noqa: UP031, UP032
    assert not [text for text in texts if VALUE in text]
    assert secret.reveal() == VALUE
    assert type(secret.reveal()) is str


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


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://u:unknown1@h/db", "postgres://u:***@h/db"),
        ("host=h password=unknown2 user=u", "host=h password=*** user=u"),
        (r"password='un\'kn own' x", "password=*** x"),
        ("Authorization: Bearer unknown3", "Authorization: Bearer ***"),
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


def test_json_of_a_document_that_holds_a_secret_is_masked_by_the_redactor() -> None:
    assert VALUE not in redact(json.dumps({"dsn": f"x {Secret(VALUE).reveal()}"}, ensure_ascii=False))
