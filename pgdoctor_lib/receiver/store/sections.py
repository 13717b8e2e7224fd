"""Where the newest of each section is. What the newest snapshot has is there; of what comes seldom, `section_at` tells.

A section gets a row when a snapshot comes without it: so that what comes in each cycle costs nothing.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.bodies import body_of
from pgdoctor_lib.receiver.store.db import Db, marks, one
from pgdoctor_lib.receiver.store.model import Unreadable

Places = dict[str, tuple[float, str]]
"""By section: when it was collected, and the id of the snapshot that has it."""

_MOST_NAMES, _MOST_CHARS = 100, 60
_MOST = 200  # of a database: each may keep a body from being forgotten
_NEAR, _HOUR_S, _FAR_S = 30, 3600, 26 * 3600.0  # back from a moment; what comes daily is found
_MOST_LINES = 10_000
_KEEP = """
    INSERT INTO section_at (source_id, section, snapshot_id, at) VALUES (?, ?, ?, ?)
    ON CONFLICT (source_id, section) DO UPDATE SET snapshot_id = excluded.snapshot_id, at = excluded.at
    WHERE excluded.at >= section_at.at"""


def names(document: Mapping[str, Any]) -> list[str]:
    """Of the sections that a snapshot has; bounded, as anything may come."""
    found = list(shapes.mapping(document.get("sections")))[:_MOST_NAMES]
    return [name for name in found if name.isascii() and name.isidentifier() and len(name) <= _MOST_CHARS]


def keep(db: Db, source: str, sections: Iterable[str], snapshot_id: str, at: float) -> None:
    """These were in that snapshot, and are not in the newest one. What is newer stays."""
    wanted = sorted(sections)
    if not wanted:
        return
    known = {name for (name,) in db.rows("SELECT section FROM section_at WHERE source_id = ?", (source,))}
    added = [name for name in wanted if name not in known][: max(0, _MOST - len(known))]
    told = [name for name in wanted if name in known] + added
    db.many(_KEEP, [(source, name, snapshot_id, at) for name in told])


def find(db: Db, source: str, wanted: Collection[str], at: float | None) -> Places:
    """Where the newest of each is, at that time or before; those that there are."""
    row = one(db, "SELECT snapshot_id, collected_at, facts FROM source WHERE id = ?", (source,))
    if row is None or not wanted:
        return {}
    brought = json.loads(row[2]).get("sections", ())
    found: Places = {
        name: (when, snapshot_id)
        for name, snapshot_id, when in db.rows(
            "SELECT section, snapshot_id, at FROM section_at"
            f" WHERE source_id = ? AND section IN ({marks(list(wanted))})",
            (source, *wanted),
        )
    }
    found |= {name: (row[1], row[0]) for name in wanted if name in brought}
    if at is None:
        return found
    later = {name for name, (when, _) in found.items() if when > at}
    return {name: place for name, place in found.items() if name not in later} | _before(db, source, later, at)


def _before(db: Db, source: str, wanted: Collection[str], at: float) -> Places:
    """The nearest that have them, of the snapshots that are looked through."""
    found: Places = {}
    missing = set(wanted)
    for snapshot_id, when in _candidates(db, source, at) if missing else ():
        with suppress(Unreadable):
            body = body_of(db, source, snapshot_id)
            for name in missing & brought_by(body, missing) if body else ():
                found[name] = (when, snapshot_id)
        missing -= set(found)
        if not missing:
            break
    return found


def _candidates(db: Db, source: str, at: float) -> Iterator[tuple[str, float]]:
    """Newest first: all that are near, then the largest of each hour, which has what comes once an hour, or a day."""
    lines = db.rows(
        "SELECT s.id, s.collected_at, s.body_bytes FROM snapshot s JOIN body b ON b.seq = s.seq"
        " WHERE s.source_id = ? AND s.collected_at <= ? AND s.collected_at > ?"
        f" ORDER BY s.collected_at DESC, s.seq DESC LIMIT {_MOST_LINES}",
        (source, at, at - _FAR_S),
    )
    yield from ((snapshot_id, when) for snapshot_id, when, _ in lines[:_NEAR])
    largest: dict[int, tuple[int, str, float]] = {}
    for snapshot_id, when, size in lines[_NEAR:]:
        hour = int((at - when) // _HOUR_S)
        if hour not in largest or size > largest[hour][0]:
            largest[hour] = (size, snapshot_id, when)
    yield from ((snapshot_id, when) for _, snapshot_id, when in largest.values())


def brought_by(body: bytes, wanted: Collection[str] | None = None) -> set[str]:
    """The names of a body's sections. It is parsed only where it may have one of those that are `wanted`."""
    if wanted is not None and not any(f'"{name}"'.encode() in body for name in wanted):
        return set()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    return set(names(document)) if isinstance(document, dict) else set()
