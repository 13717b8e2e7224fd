"""Readings: a section's rows at a moment, packed by column; and what grew between two of them. Pure."""

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter, sub
from typing import Any

from pgdoctor_lib.checks.document import epoch
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import Unreadable

_MOST_ROWS, _MOST_NAME, _MOST_OID = 2000, 100, 2**32 - 1
_QUERY_KEYS = ("queryid", "userid", "rolname", "toplevel", "stats_since")
QUERY_COUNTERS = (
    "calls", "rows", "plans", "total_exec_time_ms", "total_plan_time_ms",
    "shared_blks_hit", "shared_blks_read", "shared_blks_dirtied", "shared_blks_written",
    "local_blks_read", "local_blks_written", "temp_blks_read", "temp_blks_written",
    "shared_blk_read_time_ms", "shared_blk_write_time_ms", "temp_blk_read_time_ms", "temp_blk_write_time_ms",
    "wal_records", "wal_fpi", "wal_bytes",
)  # fmt: skip
KINDS: Mapping[str, int] = {"queries": 300, "tables": 3600, "indexes": 3600, "plans": 3600}  # a reading in each
_VALUES = itemgetter(*QUERY_COUNTERS)
_TOTAL, _MORE = "total", "more"

Row = Mapping[str, Any]
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Reading:
    """`rows`: by the names of its section's columns; `total`: what the section sums up; `more`: what it left out."""

    at: float
    rows: list[dict[str, Any]]
    total: Mapping[str, Any]
    more: int = 0


@dataclass(frozen=True)
class Growth:
    """What a statement's counters grew by between `begun` and `ended`."""

    key: Key
    role: str
    begun: float
    ended: float
    counters: Mapping[str, float]


def pack(rows: Sequence[Row], columns: Sequence[str] | None, total: Mapping[str, Any], more: int = 0) -> bytes:
    """The `columns` of the rows, or all that the first row has. Column by column: most of one is alike."""
    more, rows = more + max(0, len(rows) - _MOST_ROWS), rows[:_MOST_ROWS]
    names = list(columns or (rows[0] if rows else ()))
    values = [[row.get(name) for row in rows] for name in names]
    text = json.dumps({"columns": names, "values": values, _TOTAL: total, _MORE: more}, separators=(",", ":"))
    return zlib.compress(text.encode("ascii"))


def unpack(at: float, data: bytes, of: tuple[str, object] | None = None) -> Reading:
    """As it was packed. `of`: a column, and what it is to be: these rows only."""
    try:
        found = json.loads(zlib.decompress(data))
        names, values = found["columns"], found["values"]
        if of is not None:
            values = _only(values, values[names.index(of[0])] if of[0] in names else [], of[1])
        rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        return Reading(at, rows, found[_TOTAL], found.get(_MORE, 0))
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise Unreadable(f"a reading cannot be read: {error}") from None


def _only(values: Sequence[Sequence[object]], column: Sequence[object], wanted: object) -> list[list[object]]:
    """Of columns the places at which one of them is what is wanted."""
    places = [place for place, each in enumerate(column) if each == wanted]
    return [[each[place] for place in places] for each in values]


def readable(found: Iterable[tuple[float, bytes]], of: tuple[str, object] | None = None) -> list[Reading]:
    """Those that are not damaged."""
    read: list[Reading] = []
    for at, data in found:
        with suppress(Unreadable):
            read.append(unpack(at, data, of))
    return read


def pack_queries(section: Mapping[str, Any]) -> bytes:
    """Section `queries`: who, and the counters. The texts are kept apart."""
    total = shapes.mapping(section.get("total"))
    sums = {name: shapes.real(total.get(name)) for name in ("calls", "total_exec_time_ms")}
    rows = [
        {
            **{name: row.get(name) for name in _QUERY_KEYS},
            **{name: shapes.real(row.get(name)) for name in QUERY_COUNTERS},
            "queryid": queryid(row.get("queryid")),
            "rolname": _name(row.get("rolname")),
        }
        for row in shapes.objects(section.get("rows"))[:_MOST_ROWS]
    ]
    return pack(rows, (*_QUERY_KEYS, *QUERY_COUNTERS), sums)


def growths(readings: Sequence[Reading]) -> list[Growth]:
    """Of each statement, between two readings that have it. None across a reset: of that the reading does not tell.

    A statement whose counters began after the reading before (`stats_since`, 17 and later) grew from nothing.
    """
    found: list[Growth] = []
    last: dict[Key, tuple[float, Row]] = {}
    before: float | None = None
    for reading in readings:
        for row in reading.rows:
            key = _key(row)
            begun, counters = _grown(last.get(key), before, row)
            if counters:
                found.append(Growth(key, str(row.get("rolname") or ""), begun, reading.at, counters))
            last[key] = (reading.at, row)
        before = reading.at
    return found


def time_spent_ms(readings: Sequence[Reading], since: float, until: float) -> float:
    """Of all statements together within the span, by the sections' totals."""
    told = [(reading.at, shapes.real(reading.total.get("total_exec_time_ms"))) for reading in readings]
    return sum(
        max(0.0, (later or 0.0) - earlier) * share(begun, ended, since, until)
        for (begun, earlier), (ended, later) in pairwise(told)
        if earlier is not None
    )


def by_query(found: Sequence[Growth]) -> dict[str, list[Growth]]:
    """Each statement's, over roles and levels."""
    grouped: dict[str, list[Growth]] = defaultdict(list)
    for each in found:
        grouped[each.key[0]].append(each)
    return grouped


def added(found: Iterable[tuple[float, float, Mapping[str, float]]], since: float, until: float) -> dict[str, float]:
    """All counters, summed up: of each that began and ended at a time, as much as lies within the span."""
    total: dict[str, float] = defaultdict(float)
    for begun, ended, counters in found:
        part = share(begun, ended, since, until)
        for name, value in counters.items() if part else ():
            total[name] += value * part
    return dict(total)


def share(begun: float, ended: float, since: float, until: float) -> float:
    """How much of what grew between `begun` and `ended` is told of the span, 0 to 1: as much as of its time."""
    return max(0.0, min(ended, until) - max(begun, since)) / max(ended - begun, 0.001)


def normal(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of tables and indexes whose ids are numbers or missing, and whose names are text: they go into addresses."""
    return [{**row, **{name: take(row[name]) for name, take in _NORMAL.items() if name in row}} for row in rows]


def _oid(value: object) -> int | None:
    known = shapes.number(value)
    return int(known) if known is not None and 0 <= known <= _MOST_OID else None


def _name(value: object) -> str:
    return shapes.text(value, _MOST_NAME)


def queryid(value: object) -> str:
    """A statement's fingerprint as it is kept: a 64-bit number in digits."""
    return shapes.text(value, 40)


def _key(row: Row) -> Key:
    return str(row.get("queryid")), str(row.get("userid")), str(row.get("toplevel"))


def _grown(last: tuple[float, Row] | None, before: float | None, row: Row) -> tuple[float, dict[str, float] | None]:
    """Since when, and by how much. This is most of the work of a list: `pack_queries` has seen to the numbers."""
    if last and last[1].get("stats_since") == row.get("stats_since"):
        return last[0], _difference(last[1], row)
    begun = epoch(row.get("stats_since"))
    if before is None or begun is None or begun < before:
        return 0.0, None
    return before, {name: row[name] for name in QUERY_COUNTERS if row.get(name)}


def _difference(was: Row, row: Row) -> dict[str, float] | None:
    """By how much each counter grew; None where one fell. All at once where all are there, as is usual."""
    try:
        grown = list(map(sub, _VALUES(row), _VALUES(was)))
    except (TypeError, KeyError):
        pairs = [(was.get(name), row.get(name)) for name in QUERY_COUNTERS]
        grown = [0.0 if None in pair else sub(*reversed(pair)) for pair in pairs]
    if min(grown) < 0:
        return None
    return {name: value for name, value in zip(QUERY_COUNTERS, grown, strict=True) if value}


_NORMAL = {"relid": _oid, "indexrelid": _oid, "schemaname": _name, "relname": _name, "indexrelname": _name}
