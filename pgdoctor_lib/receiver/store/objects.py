"""Tables and indexes: as they were at a moment, and one of them over time."""

import json
from typing import Any

from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store import bodies, queries, readings, sections
from pgdoctor_lib.receiver.store.bodies import body_at
from pgdoctor_lib.receiver.store.db import Db
from pgdoctor_lib.receiver.store.model import Objects, ObjectSeries

_MOST_STEPS = 84  # of a week one each 2 hours


def read(db: Db, source: str, kind: str, at: float | None) -> Objects | None:
    """Section `kind` as it is in the newest body that has it; of a moment in the past where that one's body has none,
    the last reading before. None where nothing tells of it."""
    found = _newest(db, source, kind) if at is None else body_at(db, source, at)
    section = shapes.section(json.loads(found[2]), kind) if found else None
    if found and section is not None:
        rows, total = readings.normal(shapes.objects(section.get("rows"))), shapes.mapping(section.get("total"))
        return Objects(found[1], rows, total, shapes.left_out(section))
    until, values = ("", ()) if at is None else (" AND at <= ?", (at,))
    return _told(db, source, kind, f"{until} ORDER BY slot DESC", values)


def before(db: Db, source: str, kind: str, since: float) -> Objects | None:
    """The same at that time; of a database that nobody told of then, as it was told first."""
    return read(db, source, kind, since) or _told(db, source, kind, " AND at > ? ORDER BY slot", (since,))


def _told(db: Db, source: str, kind: str, which: str, values: tuple[float, ...]) -> Objects | None:
    """The first of some readings that can be read."""
    sql = f"SELECT at, data FROM reading WHERE source_id = ? AND kind = ?{which} LIMIT 2"
    found = readings.readable((at, data) for at, data in db.rows(sql, (source, kind, *values)))
    if not found:
        return None
    reading = found[0]
    return Objects(reading.at, readings.normal(reading.rows), reading.total, reading.more)


def _newest(db: Db, source: str, kind: str) -> tuple[str, float, bytes] | None:
    """What comes seldom is not in the newest body."""
    place = sections.find(db, source, (kind,), None).get(kind)
    body = bodies.body_of(db, source, place[1]) if place else None
    return (place[1], place[0], body) if place and body else None


def series(db: Db, source: str, relid: int, since: float, until: float) -> ObjectSeries | None:
    """A table's figures, or an index's. None where nothing tells of it."""
    for kind, key in (("tables", "relid"), ("indexes", "indexrelid")):
        times: list[float] = []
        columns: dict[str, list[float | None]] = {}
        for reading in queries.read(db, source, kind, since, until, _MOST_STEPS, (key, relid)):
            for row in reading.rows[:1]:
                _add(columns, row, len(times))
                times.append(reading.at)
        if times:
            return ObjectSeries(times, columns)
    return None


def _add(columns: dict[str, list[float | None]], row: dict[str, Any], count: int) -> None:
    known = {name: shapes.real(value) for name, value in row.items()}
    for name, value in known.items():
        if value is not None:
            columns.setdefault(name, [None] * count)
    for name, values in columns.items():
        values.append(known.get(name))
