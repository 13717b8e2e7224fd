"""What each status and each header means."""

import json

import pytest

from pgdoctor_lib.deliver.answers import Answer, Receipt, judge, retry_after_s
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable, Unauthorized

NOW = 1705312800.0  # Mon, 15 Jan 2024 10:00:00 GMT


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert judge(Answer(status), NOW) == Receipt()


def test_a_409_is_delivered_already() -> None:
    assert judge(Answer(409, b'{"id": "x"}'), NOW) == Receipt(id="x")


@pytest.mark.parametrize(
    ("status", "family", "text"),
    [
        (401, Unauthorized, "401 Unauthorized"),
        (403, Unauthorized, "403 Forbidden"),
        (408, Retryable, "408 Request Timeout"),
        (425, Retryable, "425 Too Early"),
        (429, Retryable, "429 Too Many Requests"),
        (500, Retryable, "500 Internal Server Error"),
        (503, Retryable, "503 Service Unavailable"),
        (599, Retryable, "599"),
        (400, Refused, "400 Bad Request"),
        (404, Refused, "404 Not Found"),
        (410, Refused, "410 Gone"),
        (499, Refused, "499"),
        (301, DeliveryError, "301 Moved Permanently"),
        (407, DeliveryError, "407 Proxy Authentication Required"),
        (101, DeliveryError, "101 Switching Protocols"),
        (700, DeliveryError, "700"),
    ],
)
def test_every_other_status_has_its_error(status: int, family: type[DeliveryError], text: str) -> None:
    with pytest.raises(DeliveryError) as raised:
        judge(Answer(status, b'{"id": "not this"}'), NOW)
    assert type(raised.value) is family
    assert str(raised.value) == text
    assert not isinstance(raised.value, Retryable) or raised.value.status == status


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"id": "abc123"}', "abc123"),
        (b'{"id": 7}', "7"),
        (b'{"id": 1e400}', "1e400"),
        (b'{"id": ' + b"9" * 5000 + b"}", "9" * 99 + "…"),
        (b'{"id": "' + b"x" * 500 + b'"}', "x" * 99 + "…"),
        (b'{"id": "a\\u001b[31mb\\nc\\u202e\\ud800"}', "a\\x1b[31mb c\\u202e\\ud800"),
        (b'{"id": true}', None),
        (b'{"id": null}', None),
        (b'{"id": ""}', None),
        (b'{"id": {"a": 1}}', None),
        (b'["id"]', None),
        (b"[" * 60000, None),
        (b"<html>", None),
        (b'{"id": "abc', None),
        (b"\xff\xfe\x00", None),
        (b"", None),
    ],
)
def test_the_id_is_fit_to_print(body: bytes, shown: str | None) -> None:
    assert judge(Answer(200, body), NOW).id == shown


def test_source_and_time_come_with_it() -> None:
    body = json.dumps({"id": 1, "source_id": 2, "received_at": "2024-01-15T10:00:00Z"}).encode()
    assert judge(Answer(201, body), NOW) == Receipt("1", "2", "2024-01-15T10:00:00Z")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("60", 60),
        ("61", 60),
        ("9" * 5000, 60),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("nan", 0),
        ("", 0),
        ("soon", 0),
        ("Mon, 15 Jan 2024 10:00:12 GMT", 12),
        ("Mon, 15 Jan 2024 11:00:00 GMT", 60),
        ("Mon, 15 Jan 2024 09:00:00 GMT", 0),
        ("Mon, 15 Jan 2024 10:00:12 -0000", 12),
        ("Monday, 15-Jan-24 10:00:12 GMT", 12),
        ("Mon, 99 Jan 99999 10:00:12 GMT", 0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after_s(header, NOW) == seconds
    with pytest.raises(Retryable) as raised:
        judge(Answer(503, retry_after=header), NOW)
    assert raised.value.retry_after_s == seconds
