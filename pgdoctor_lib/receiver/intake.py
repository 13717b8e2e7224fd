"""From a request's body to a valid snapshot: inflated within bounds, parsed, checked for the shape that is needed.

Only what identifies a snapshot has to be there; all else is taken as it comes, and what the page
shows of it is picked out here, bounded, so that no page ever parses a body.
"""

import json
import re
import zlib
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NoReturn

from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.moments import epoch_of
from pgdoctor_lib.receiver.wire import Rejected
from pgdoctor_lib.snapshot import SCHEMA_VERSION

MAX_RAW_BYTES = 8 * 1024**2
# Nothing else runs while json.loads does. Within these bounds that is some 0.1 s at the worst; a large snapshot
# (10,000 tables) has 1 MB and 100,000 values.
MAX_INFLATED_BYTES = 16 * 1024**2
_MAX_VALUES = 200_000
_MAX_DEPTH = 400  # whoever goes through a document does so by calls within calls; a plan 190 nodes deep has that
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEPS))
_MAX_DIGITS = 400  # what int() takes grows with their square
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_QUERIES, _ERRORS, _UNREACHABLE, _SECTIONS, _FIGURES = 20, 50, 50, 50, 40
_LEAST_RATIO = 4


@dataclass(frozen=True)
class Received:
    """One snapshot, checked. Times in epoch seconds; `summary`: what the page shows of the latest.

    `body`: its JSON as it came, `document` the same parsed, `packed` the same compressed (gzip or zlib).
    """

    snapshot_id: str
    name: str
    collected_at: float
    interval_s: float
    tags: list[str] | dict[str, str]
    db_name: str
    db_version: str
    hostname: str
    size_bytes: int | None
    active_sessions: int | None
    errors: int
    summary: dict[str, Any]
    body: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    document: dict[str, Any] = field(repr=False)


def receive(raw: bytes, encoding: str, key: str | None) -> Received:
    """The snapshot in a request's body. `encoding`: Content-Encoding; `key`: Idempotency-Key.

    Rejected says which of 400, 413, 415 and 422 is the answer, and why.
    """
    body = _inflate(raw, encoding)
    document = _parse(body)
    if not isinstance(document, dict):
        _refuse("the body must be a JSON object")
    snapshot_id = _identity(document, key)
    database = document.get("database")
    if not isinstance(database, dict):
        _refuse("database: must be an object")
    meta, agent = shapes.mapping(document.get("meta")), shapes.mapping(document.get("agent"))
    sections, errors = shapes.mapping(document.get("sections")), shapes.objects(document.get("errors"))
    return Received(
        snapshot_id=snapshot_id,
        name=_name(database),
        collected_at=_moment(document.get("collected_at")),
        interval_s=_interval(database.get("interval_s")),
        tags=_tags(database.get("tags")),
        db_name=shapes.text(meta.get("db_name"), 200),
        db_version=shapes.text(meta.get("db_version"), 200),
        hostname=shapes.text(agent.get("hostname"), 200),
        size_bytes=_integer(shapes.mapping(sections.get("database")).get("size_bytes")),
        active_sessions=_active(shapes.mapping(sections.get("activity"))),
        errors=sum(error.get("collector") != "budget" for error in errors),  # told, but nothing is missing for long
        summary=_summary(document, sections, errors),
        body=body,
        packed=_packed(raw, body),
        document=document,
    )


def _inflate(raw: bytes, encoding: str) -> bytes:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise Rejected(415, "Content-Encoding must be gzip, or absent", [("Accept-Encoding", "gzip")])
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(raw, MAX_INFLATED_BYTES + 1)
    except zlib.error:
        raise Rejected(400, "the body is not gzip") from None
    if len(body) > MAX_INFLATED_BYTES:
        raise Rejected(413, f"the inflated body is over {MAX_INFLATED_BYTES} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise Rejected(400, "the gzip body ends early, or has bytes after its end")
    return body


def _packed(raw: bytes, body: bytes) -> bytes:
    """As it came, where that was compressed well."""
    return raw if len(raw) * _LEAST_RATIO <= len(body) else zlib.compress(body)


def _parse(body: bytes) -> object:
    outside = _outside_text(body)
    opened = 0 if outside is None else outside.count(b"[") + outside.count(b"{")
    if outside is None or outside.count(b",") + opened > _MAX_VALUES:
        raise Rejected(413, f"the body holds more than {_MAX_VALUES} values")
    if outside.count(b"]") + outside.count(b"}") > opened:
        raise _no_json()
    if _nests_deep(outside):
        raise Rejected(400, f"the body nests more than {_MAX_DEPTH} deep")
    try:
        return json.loads(body.decode("utf-8"), parse_int=_whole, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # their own text may quote the body
        raise _no_json() from None


def _no_json() -> Rejected:
    return Rejected(400, "the body is not JSON in UTF-8")


def _outside_text(body: bytes) -> bytes | None:
    """All of the document but its texts. None where it has more of them than it may have values."""
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if bare.count(b'"') > 4 * _MAX_VALUES:  # no value has more: two around its key, two around its text
        return None
    return b"".join(bare.split(b'"')[::2])


def _nests_deep(outside: bytes) -> bool:
    """Told from the brackets; whether they match is not asked here."""
    brackets = outside.translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > _MAX_DEPTH


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError
    return int(digits)


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _refuse(message: str) -> NoReturn:
    raise Rejected(422, message)


def _identity(document: dict[str, Any], key: str | None) -> str:
    version = document.get("schema_version")
    if isinstance(version, bool) or version != SCHEMA_VERSION:
        _refuse(f"schema_version: must be {SCHEMA_VERSION}")
    snapshot_id = document.get("snapshot_id")
    if not isinstance(snapshot_id, str) or not _UUID.fullmatch(snapshot_id):
        _refuse("snapshot_id: must be a UUID")
    if key is not None and key.strip().strip('"').lower() != snapshot_id.lower():
        raise Rejected(400, "Idempotency-Key is not the body's snapshot_id")
    return snapshot_id.lower()


def _name(database: dict[str, Any]) -> str:
    name = database.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 500 or not name.strip():
        _refuse("database.name: must be text, 1 to 500 characters")
    return shapes.text(name, 500)


def _moment(value: object) -> float:
    try:
        if not isinstance(value, str) or len(value) > 40:
            raise ValueError
        return epoch_of(value)
    except ValueError:
        _refuse("collected_at: must be a time like 2024-01-15T10:00:00.000Z")


def _interval(value: object) -> float:
    number = shapes.number(value)
    return 300.0 if number is None else min(max(number, 1.0), 86_400.0)


def _tags(value: object) -> list[str] | dict[str, str]:
    if isinstance(value, dict):
        return {shapes.text(key, 100): shapes.text(word, 100) for key, word in list(value.items())[:50]}
    return [shapes.text(word, 100) for word in value[:50]] if isinstance(value, list) else []


def _active(activity: dict[str, Any]) -> int | None:
    total = shapes.mapping(activity.get("total"))
    if "by_state" not in total:
        return None
    return _integer(shapes.mapping(total["by_state"]).get("active", 0))


def _summary(document: dict[str, Any], sections: dict[str, Any], errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "has_pg_stat_statements": document.get("has_pg_stat_statements") is not False,
        "top_queries": [_query(query) for query in shapes.objects(document.get("top_queries"))[:_QUERIES]],
        "errors": [
            {"collector": shapes.text(error.get("collector"), 100), "error": shapes.text(error.get("error"), 1000),
             "hint": shapes.text(error.get("hint"), 1000)}
            for error in errors[:_ERRORS]
        ],
        "unreachable": [
            {"name": shapes.text(each.get("name"), 500), "since": shapes.number(each.get("since")),
             "error": shapes.text(each.get("error"), 300)}
            for each in shapes.objects(shapes.mapping(document.get("agent")).get("unreachable"))[:_UNREACHABLE]
        ],
        "figures": {shapes.text(name, 100): _figures(section) for name, section in list(sections.items())[:_SECTIONS]},
    }  # fmt: skip


def _query(query: dict[str, Any]) -> dict[str, Any]:
    numbers = {
        key: shapes.number(query.get(key)) for key in ("calls", "total_exec_time_ms", "mean_exec_time_ms", "rows")
    }
    return {"text": shapes.text(query.get("normalized_query"), 2000), **numbers}


def _figures(section: object) -> dict[str, Any]:
    """A section's plain values: of one row its columns, of many their totals and how many there are."""
    if not isinstance(section, dict):
        return {}
    rows = section.get("rows")
    if not isinstance(rows, list):
        return _plain(section)
    total = shapes.mapping(section.get("total"))
    return _plain(total if "count" in total else {"count": len(rows), **total})


def _plain(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Text, numbers, booleans; one level of objects under a joined name ("by_state: active")."""
    kept: dict[str, Any] = {}
    for key, value in list(values.items())[:_FIGURES]:
        name = before + shapes.text(key, 100)
        if isinstance(value, dict) and not before:
            kept.update(_plain(value, f"{name}: "))
        elif isinstance(value, bool):
            kept[name] = value
        elif isinstance(value, str):
            kept[name] = shapes.text(value, 200)
        elif (number := shapes.number(value)) is not None:
            kept[name] = number
    return dict(list(kept.items())[:_FIGURES])


def _integer(value: object) -> int | None:
    number = shapes.number(value)
    return None if number is None else int(number)
