"""Of a database, the newest of each section: sections come at paces of their own, and a server's with one database."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from pgdoctor_lib.checks.document import Document, NotExamined, Part, Row
from pgdoctor_lib.collectors.registry import every_s, is_servers
from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.receiver.store.model import Source

_MOST_SIBLINGS = 8
_HOUR_S, _MISSED = 3600.0, 3
_SERVERS = ("recording",)  # beside those that the registry of collectors knows
T = TypeVar("T")
Places = Mapping[str, tuple[float, str]]


class Bodies(Protocol):
    """The store, as far as it gives snapshots."""

    def sources(self, project: str | None = None) -> Sequence[Source]:
        """All databases."""
        ...

    def sections(self, source: str, wanted: Collection[str], at: float | None) -> Mapping[str, tuple[float, str]]:
        """By section, when the newest at or before a time was collected, and the id of its snapshot."""
        ...

    def body(self, snapshot_id: str, project: str | None = None) -> bytes | None:
        """A snapshot's JSON."""
        ...

    def body_at(self, source: str, at: float | None) -> tuple[str, float, bytes] | None:
        """The newest at or before a time: its id, when it was collected, its JSON."""
        ...


def document(
    store: Bodies, source: Source, wanted: Collection[str], at: float | None = None, *, of_any_age: bool = False
) -> Document | None:
    """The snapshot at or before `at` (None: the newest), with those of the `wanted` sections that it lacks from before.

    None: there is none. What a server tells with another of its databases is taken from there.
    What comes in each cycle is left out where it is old, unless it may be `of_any_age`.
    """
    found = store.body_at(source.id, at)
    if found is None:
        return None
    now = _parsed(found[2])
    if now is None:
        return None
    missing = set(wanted) - set(now.parts)
    places = _places(store, source, sorted(missing), at) if missing else {}
    if not of_any_age:
        places = _fresh(now, places)
    for snapshot_id in {each for _, each in places.values()}:
        body = store.body(snapshot_id, source.project)
        if body is not None:
            _take(now, body, [name for name, place in places.items() if place[1] == snapshot_id])
    return now


def attempt(read: Callable[[], T], nothing: T) -> tuple[T, str]:
    """What was read, or `nothing` and in one line why. A snapshot may hold anything: it costs one part of a page."""
    try:
        return read(), ""
    except (NotExamined, UsageError) as why:
        return nothing, str(why)
    except (TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError, OSError) as error:
        return nothing, f"not as PostgreSQL tells it: {type(error).__name__}"


def rows_of(now: Document | None, section: str) -> tuple[list[Row], str]:
    """A section's rows, or none and why."""
    return attempt(lambda: now.rows(section), []) if now else ([], "")


def one_of(now: Document | None, section: str) -> tuple[Row, str]:
    """A section of one row, or an empty one and why."""
    return attempt(lambda: now.one(section), {}) if now else ({}, "")


def total_of(now: Document | None, section: str) -> tuple[Row, str]:
    """What a section says over all rows, or nothing and why."""
    row, why = one_of(now, section)
    found = row.get("total")
    return (found, why) if isinstance(found, Mapping) else ({}, why)


def _siblings(store: Bodies, source: Source) -> list[str]:
    if not source.server:
        return []
    others = store.sources(source.project)
    found = [each.id for each in others if each.server == source.server and each.id != source.id]
    return found[:_MOST_SIBLINGS]


def _places(store: Bodies, source: Source, missing: Collection[str], at: float | None) -> Places:
    """Where the newest of each is: of what is the server's, with whichever of its databases it came last."""
    found = dict(store.sections(source.id, missing, at))
    shared = [name for name in missing if name in _SERVERS or is_servers(name)]
    for identity in _siblings(store, source) if shared else ():
        for name, place in store.sections(identity, shared, at).items():
            found[name] = max(place, found.get(name, place))
    return found


def _fresh(now: Document, places: Places) -> Places:
    """Those that still hold: what comes in each cycle, and came no more, was of a moment that is over."""
    since = now.collected_at - max(_HOUR_S, _MISSED * now.interval_s)
    return {name: place for name, place in places.items() if place[0] >= since or every_s(name) != 0}


def _take(now: Document, body: bytes, names: Collection[str]) -> None:
    """These sections of an older body."""
    older = _parsed(body)
    if older is None:
        return
    for name in names:
        if older.has(name):
            now.parts[name] = Part(older.one(name), older.taken_at(name))


def _parsed(body: bytes) -> Document | None:
    try:
        return Document.parse(body)
    except (ValueError, RecursionError):
        return None
