"""Where the token comes from."""

import os
from pathlib import Path

import pytest

from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.deliver.token import TokenSource
from pgdoctor_lib.errors import DeliveryError
from pgdoctor_lib.secret import Secret, redact

URL = "http://localhost/api/snapshots"


def test_a_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first-token\n")
    source = TokenSource(Endpoint(URL, token_file=str(path)))
    assert source.current().reveal() == "first-token"
    assert str(source.current()) == "***"
    (tmp_path / "new").write_text("other-token\n")
    os.replace(tmp_path / "new", path)
    assert source.current().reveal() == "other-token"


@pytest.mark.parametrize("anew", [False, True], ids=["one source", "a source each time, as notices have"])
def test_the_redactor_knows_the_last_ones_alone(tmp_path: Path, anew: bool) -> None:
    path = tmp_path / "token"
    tokens = [f"tern-{anew}-{number}" for number in range(8)]
    source = TokenSource(Endpoint(URL, token_file=str(path)))
    for token in tokens:
        (tmp_path / "new").write_text(token)
        os.replace(tmp_path / "new", path)
        for _ in range(5):
            source = TokenSource(Endpoint(URL, token_file=str(path))) if anew else source
            assert source.current().reveal() == token
    assert redact(" ".join(tokens)) == " ".join([*tokens[:5], "***", "***", "***"])


def test_a_link_to_the_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("token-one")
    (tmp_path / "v2").write_text("token-two")
    link = tmp_path / "token"
    link.symlink_to("v1")
    source = TokenSource(Endpoint(URL, token_file=str(link)))
    assert source.current().reveal() == "token-one"
    link.unlink()
    link.symlink_to("v2")
    assert source.current().reveal() == "token-two"


@pytest.mark.parametrize(
    "content", ["", "  \n", "two words", "line\nCANARY: x", "CANARY\x00", "CANARY\xe9", "C" * 4097, "C" * 20000]
)
def test_what_is_no_token_is_not_sent_nor_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content, "latin-1")
    with pytest.raises(DeliveryError) as raised:
        TokenSource(Endpoint(URL, token_file=str(path))).current()
    assert str(path) in str(raised.value)
    assert "CANARY" not in str(raised.value)


def test_a_file_that_is_missing_says_so_until_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "token"
    source = TokenSource(Endpoint(URL, token_file=str(path)))
    with pytest.raises(DeliveryError, match="No such file or directory"):
        source.current()
    path.write_text("there-now")
    assert source.current().reveal() == "there-now"


def test_a_pipe_does_not_hold_us_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    with pytest.raises(DeliveryError, match="not a small regular file"):
        TokenSource(Endpoint(URL, token_file=str(tmp_path / "token"))).current()


@pytest.mark.parametrize("value", ["x\r\nHost: evil", "tok en", "t\x00", "é"])
def test_a_token_that_would_break_the_header_is_refused(value: str) -> None:
    with pytest.raises(DeliveryError, match="printable ASCII") as raised:
        TokenSource(Endpoint(URL, token=Secret(value))).current()
    assert value not in str(raised.value)
