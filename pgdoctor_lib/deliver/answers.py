"""What each answer of an endpoint means (SPEC: the wire)."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from pgdoctor_lib.errors import DeliveryError, Refused, Retryable, Unauthorized
from pgdoctor_lib.secret import one_line

MAX_RETRY_AFTER_S = 60.0
MAX_ID_CHARS = 100

_DUPLICATE = 409
_OTHER_BODY = 422  # under a key that it has seen: draft-ietf-httpapi-idempotency-key-header
_MEANING: dict[int, type[DeliveryError]] = {
    401: Unauthorized,
    403: Unauthorized,
    407: DeliveryError,  # said by a proxy: no word of the endpoint about this snapshot
    408: Retryable,
    425: Retryable,
    429: Retryable,
}
_MEANING_OF_CLASS: dict[int, type[DeliveryError]] = {4: Refused, 5: Retryable}


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the first 64 KiB of the body, the headers that matter."""

    status: int
    body: bytes = b""
    retry_after: str = ""
    location: str = ""


@dataclass(frozen=True)
class Receipt:
    """The endpoint has the snapshot. Fit to print; None where its answer had no such thing."""

    id: str | None = None
    source_id: str | None = None
    received_at: str | None = None


def judge(answer: Answer, wall: float, *, shared_ids: bool = False) -> Receipt:
    """The receipt, or the error that the status stands for. `wall`: now, in epoch seconds.

    With `shared_ids` a 422 says that another agent's snapshot under this id is there: delivered. A redirect that comes
    here was not followed: a misconfigured endpoint, so the snapshot is kept.
    """
    taken = 200 <= answer.status < 300 or answer.status == _DUPLICATE
    if taken or (shared_ids and answer.status == _OTHER_BODY):
        return _receipt(answer)
    meaning = _MEANING.get(answer.status) or _MEANING_OF_CLASS.get(answer.status // 100, DeliveryError)
    if issubclass(meaning, Retryable):
        wait_s = retry_after_s(answer.retry_after, wall)
        raise meaning(status_line(answer.status), retry_after_s=wait_s, status=answer.status)
    raise meaning(status_line(answer.status))


def status_line(status: int) -> str:
    """Status and standard reason: "503 Service Unavailable"; never the server's own words."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def retry_after_s(header: str, wall: float) -> float:
    """Seconds that a Retry-After header asks for, 0 to 60; 0 for one that makes no sense."""
    text = header.strip()
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text[:10]), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
        until = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        wait = (until - datetime.fromtimestamp(wall, timezone.utc)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)


def _receipt(answer: Answer) -> Receipt:
    try:
        # Numbers as they are written: 1e400 and a number of 5000 digits are ids like any other.
        told = json.loads(answer.body, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return Receipt()
    if not isinstance(told, dict):
        return Receipt()
    return Receipt(_text(told, "id"), _text(told, "source_id"), _text(told, "received_at"))


def _text(told: dict[str, object], key: str) -> str | None:
    value = told.get(key)
    return one_line(value, MAX_ID_CHARS) or None if isinstance(value, str) else None
