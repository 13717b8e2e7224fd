"""What comes seldom is found, however many snapshots came since."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.receiver.intake import Received
from pgdoctor_lib.receiver.store import Retention, Store, open_store
from pgdoctor_lib.receiver.web import latest
from tests.receiver.store.documents import T0, counters, many, received, snapshot
from tests.receiver.store.documents import document as made

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def _keep(store: Store, at: float, **sections: Any) -> Received:
    told = snapshot(at, database=counters(at), **sections)
    store.keep(told, at)
    return told


def _minutes(store: Store, since: float, until: float, step_s: float = MINUTE) -> None:
    at = since
    while at < until:
        _keep(store, at)
        at += step_s


def _bloat(name: str) -> dict[str, Any]:
    return many([{"relname": name}])


def _settle(store: Store, now: float) -> None:
    while store.roll_up(now) or store.prune(now):
        pass


def _found(store: Store, *wanted: str, at: float | None = None, name: str = "app") -> Document:
    source = next(each for each in store.sources() if each.name == name)
    found = latest.document(store, source, wanted, at)
    assert found is not None
    return found


def _told(store: Store, at: float | None = None) -> object:
    """Which `bloat` is found."""
    found = _found(store, "bloat", at=at)
    return found.rows("bloat")[0]["relname"] if found.has("bloat") else None


def test_what_came_once_three_days_ago_is_told_with_its_time(store: Store) -> None:
    first = _keep(store, T0, bloat=_bloat("a"))
    _minutes(store, T0 + 1, T0 + 2 * HOUR)
    _keep(store, T0 + 30, settings=many([{"name": "x" * 5000}]))  # the largest of its hour, and late
    _minutes(store, T0 + 3 * DAY, T0 + 3 * DAY + HOUR)
    _settle(store, T0 + 3 * DAY + HOUR)
    assert _told(store) == "a"
    assert _found(store, "bloat").taken_at("bloat") == T0
    assert store.body(first.snapshot_id) == first.body
    assert _found(store, "settings").has("settings")
    assert store.stats().bodies < 70  # the others of those hours went


def test_a_newer_one_takes_its_place(store: Store) -> None:
    first = _keep(store, T0, bloat=_bloat("a"))
    _minutes(store, T0 + 60, T0 + HOUR)
    _keep(store, T0 + 40 * MINUTE + 1, settings=many([{"name": "x" * 5000}]))
    _keep(store, T0 + HOUR, bloat=_bloat("b"))
    assert _told(store) == "b"
    _keep(store, T0 + HOUR + 60)
    assert _told(store) == "b"
    _minutes(store, T0 + 2 * DAY, T0 + 2 * DAY + HOUR)
    _settle(store, T0 + 2 * DAY + HOUR)
    assert store.body(first.snapshot_id) is None
    assert _told(store) == "b"


def test_the_order_of_arrival_does_not_matter(store: Store) -> None:
    _keep(store, T0 + 60, bloat=_bloat("b"))
    _keep(store, T0, bloat=_bloat("a"))
    assert _told(store) == "b"
    _keep(store, T0 + 300)
    assert _told(store) == "b"
    _keep(store, T0 + 120, bloat=_bloat("c"))
    _keep(store, T0 + 90, bloat=_bloat("late"))
    assert _told(store) == "c"
    assert _told(store, T0 + 100) == "late"


def test_each_section_is_the_newest_of_its_own(store: Store) -> None:
    _keep(store, T0, bloat=_bloat("old"), security=many([{"rolname": "a"}]))
    _keep(store, T0 + 60, bloat=_bloat("new"))
    _minutes(store, T0 + 120, T0 + HOUR)
    found = _found(store, "bloat", "security")
    assert (found.rows("bloat")[0]["relname"], found.rows("security")[0]["rolname"]) == ("new", "a")


def test_a_moment_in_the_past_has_the_nearest_before(store: Store) -> None:
    _keep(store, T0, bloat=_bloat("a"))
    _minutes(store, T0 + 10, T0 + HOUR, 10)
    _keep(store, T0 + HOUR, bloat=_bloat("b"))
    _minutes(store, T0 + HOUR + 10, T0 + 3 * HOUR, 10)
    _keep(store, T0 + 3 * HOUR, bloat=_bloat("c"))
    moments = (T0 + 59 * MINUTE, T0 + HOUR + 5, T0 + 2 * HOUR, T0 + 3 * HOUR)
    assert [_told(store, at) for at in moments] == ["a", "b", "b", "c"]
    assert _told(store, T0) == "a"


def test_what_is_the_servers_is_the_newest_of_its_databases(store: Store) -> None:
    _keep(store, T0, checkpointer={"num_timed": 1}, bloat=_bloat("a"))
    other = made(T0 + 60, name="other", database=counters(1), checkpointer={"num_timed": 2}, security=many([]))
    store.keep(received(other), T0 + 60)
    for minute in (2, 3):
        _keep(store, T0 + minute * MINUTE)
    found = _found(store, "checkpointer", "bloat", "columns")
    assert found.one("checkpointer") == {"num_timed": 2}
    assert found.has("bloat")
    assert not _found(store, "bloat", name="other").has("bloat")  # that is the first one's own


def test_what_was_of_a_moment_is_not_told_for_long(store: Store) -> None:
    _keep(store, T0, wal_receiver={"status": "streaming"}, bloat=_bloat("a"))
    _keep(store, T0 + 50 * MINUTE)
    assert _found(store, "wal_receiver").has("wal_receiver")
    _keep(store, T0 + 70 * MINUTE)
    found = _found(store, "wal_receiver", "bloat")
    assert (found.has("wal_receiver"), found.has("bloat")) == (False, True)


def test_snapshots_of_an_older_version_are_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "serve.db"
    store = open_store(str(path))
    first = _keep(store, T0, bloat=_bloat("a"))
    _minutes(store, T0 + 60, T0 + HOUR)
    store.close()
    with sqlite3.connect(path) as db:
        db.executescript("DROP TABLE section_at; PRAGMA user_version = 2; UPDATE source SET facts = '{}'")
    store = open_store(str(path))
    assert _told(store) is None
    store.prune(T0 + 3 * DAY)  # what is not read yet stays
    assert store.body(first.snapshot_id) is not None
    _keep(store, T0 + HOUR)
    _settle(store, T0 + 3 * DAY)
    assert _told(store) == "a"
    store.close()


def test_whatever_names_come_they_stay_few(store: Store) -> None:
    for number in range(5):
        _keep(store, T0 + number, **{f"s{number}_{each}": {} for each in range(90)}, **{"x\0": {}, "é": {}})
    ((rows,),) = store._db.rows("SELECT count(*) FROM section_at")
    assert rows == 200
    store.keep(received({**made(T0 + 9), "sections": {"y" * 99: 1, "settings": json.loads("[1]")}}), T0 + 9)
    assert _found(store, "settings", "y" * 99).has("settings")


def test_where_the_size_is_held_it_stays(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "serve.db"), Retention(max_bytes=1))
    store._db.run("PRAGMA synchronous = OFF")
    _keep(store, T0, bloat=_bloat("a"))
    _minutes(store, T0 + 60, T0 + HOUR)
    _settle(store, T0 + 5 * HOUR)
    assert store.stats().bodies == 2
    assert _told(store) == "a"
    store.close()


def test_its_time_over_it_goes(store: Store) -> None:
    _keep(store, T0, bloat=_bloat("a"))
    _keep(store, T0 + 14 * DAY)
    _settle(store, T0 + 14 * DAY + 60)
    assert _told(store) is None
    assert store._db.rows("SELECT * FROM section_at") == []
