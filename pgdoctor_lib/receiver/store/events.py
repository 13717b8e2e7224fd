"""What happened at a moment: told by a snapshot itself (a mark, a changed schema), or by what it has otherwise."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pgdoctor_lib.checks.document import epoch
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.db import Db
from pgdoctor_lib.receiver.store.model import Event
from pgdoctor_lib.units import format_bytes

_MOST, _MOST_CHARS, _MOST_SETTINGS, _MOST_SHOWN = 50, 300, 500, 1000
_KEEP = "INSERT INTO event (source_id, at, kind, key, text) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_UNITS = {"B": 1, "kB": 1024, "8kB": 8192, "MB": 1024**2}

Facts = Mapping[str, Any]


def facts(document: Mapping[str, Any], before: Facts) -> dict[str, Any]:
    """What the next snapshot is compared with: this one's, and where it is silent, what was known `before`."""
    database, schema = shapes.mapping(shapes.section(document, "database")), shapes.rows(document, "schema")
    settings, in_recovery = shapes.rows(document, "settings"), database.get("in_recovery")
    told = {
        "started_at": epoch(database.get("postmaster_start_time")),
        "in_recovery": in_recovery if isinstance(in_recovery, bool) else None,
        "cluster": _text(database.get("system_identifier")) or None,
        "version": _text(shapes.mapping(document.get("meta")).get("db_version")) or None,
        "schema": _text(schema[0].get("fingerprint")) if schema else None,
        "settings": {_text(row.get("name")): _setting(row) for row in settings[:_MOST_SETTINGS]} or None,
    }
    return {**before, **{name: value for name, value in told.items() if value is not None}}


def server(known: Facts) -> str:
    """The same for all databases of a server, another one on its standbys: the cluster's number, then its start."""
    return f"{known['cluster']}/{known.get('started_at') or ''}" if known.get("cluster") else ""


def keep(db: Db, source: str, found: list[Event]) -> None:
    """Once each."""
    db.many(_KEEP, [(source, each.at, each.kind, _text(each.key), _text(each.text)) for each in found[:_MOST]])


def told(document: Mapping[str, Any], at: float) -> Iterator[Event]:
    """What a snapshot tells by itself, whenever it comes."""
    mark = shapes.mapping(shapes.mapping(document.get("database")).get("mark"))
    if mark.get("label"):
        when = epoch(mark.get("at"))
        yield Event(at if when is None else min(when, at), "mark", _text(mark["label"]), _text(mark["label"]))
    for row in shapes.rows(document, "schema_changes")[:_MOST]:
        name = ".".join(_text(row.get(part)) for part in ("schemaname", "relname", "name") if row.get(part))
        what = f"{_text(row.get('kind'))} {name}"
        yield Event(at, "schema", what, f"{what} {_text(row.get('change'))}")


def changes(before: Facts, now: Facts, document: Mapping[str, Any], at: float) -> Iterator[Event]:
    """What two snapshots in a row tell together."""
    yield from _server_changes(before, now, at)
    was, new = before.get("version"), now.get("version")
    if was and was != new:
        yield Event(at, "version", str(new), f"{was} → {new}")
    yield from _setting_changes(before.get("settings"), now.get("settings"), at)
    told_by_object = shapes.section(document, "schema_changes") is not None
    if before.get("schema") and before["schema"] != now["schema"] and not told_by_object:
        yield Event(at, "schema", str(now["schema"]), "the schema changed")


def rows(db: Db, source: str, since: float, until: float) -> list[Event]:
    """In the order of time, with what findings opened and were resolved."""
    found = db.rows(
        f"SELECT at, kind, key, text FROM event WHERE source_id = ? AND at >= ? AND at <= ? ORDER BY at DESC"
        f" LIMIT {_MOST_SHOWN}",
        (source, since, until),
    )
    events = [Event(*row) for row in found]
    for column, kind in (("since", "opened"), ("gone_at", "resolved")):
        lives = db.rows(
            f"SELECT {column}, id, data FROM finding WHERE source_id = ? AND {column} >= ? AND {column} <= ?"
            f" ORDER BY {column} DESC LIMIT {_MOST_SHOWN}",
            (source, since, until),
        )
        events += [Event(at, kind, identity, _summary(data, identity)) for at, identity, data in lives]
    return sorted(events, key=lambda event: (event.at, event.kind, event.key))


def _server_changes(before: Facts, now: Facts, at: float) -> Iterator[Event]:
    was, new = before.get("in_recovery"), now.get("in_recovery")
    if before.get("cluster") not in (None, now.get("cluster")):
        yield Event(at, "failover", "cluster", "another cluster answers under this name")
    elif isinstance(was, bool) and was != new:
        yield Event(at, "failover", "recovery", "a standby now" if new else "the primary now")
    elif _later(before.get("started_at"), now.get("started_at")):
        yield Event(min(at, float(now["started_at"])), "restart", "", "the server was restarted")


def _later(was: object, new: object) -> bool:
    old_start, new_start = shapes.real(was), shapes.real(new)
    return old_start is not None and new_start is not None and new_start > old_start + 1


def _setting_changes(was: object, new: object, at: float) -> Iterator[Event]:
    old, here = shapes.mapping(was), shapes.mapping(new)
    if old:
        for name in sorted({*old, *here}):
            if old.get(name) != here.get(name):
                text = f"{name}: {old.get(name, 'as it comes')} → {here.get(name, 'as it comes')}"
                yield Event(at, "settings", name, text)


def _setting(row: Mapping[str, Any]) -> str:
    unit, value = _text(row.get("unit")), _text(row.get("setting"))[:100]
    if unit in _UNITS and value.isascii() and value.isdigit():
        return format_bytes(int(value) * _UNITS[unit])
    return f"{value} {unit}" if unit else value


def _summary(data: str, identity: str) -> str:
    return _text(json.loads(data).get("summary")) or identity


def _text(value: object) -> str:
    return shapes.text(value, _MOST_CHARS)
