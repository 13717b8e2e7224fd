"""What is forgotten, when, and what stays."""

import os
import re
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest

from pgdoctor_lib.receiver.store import Retention, Store, open_store, upkeep
from tests.receiver.store.documents import T0, counters, finding, many, query, snapshot

HOUR, DAY = 3600.0, 86_400.0


def _keep(store: Store, hours: float, minutes: int = 60, **more: object) -> None:
    for minute in range(0, int(hours * 60), minutes):
        at = T0 + 60 * minute
        store.keep(snapshot(at, database=counters(minute), **more), at)


def _settle(store: Store, now: float) -> None:
    while store.roll_up(now) or store.prune(now):
        pass


def _bodies(store: Store) -> list[float]:
    source = next(each for each in store.sources() if each.name == "app")
    return sorted((line.collected_at - T0) / HOUR for line in store.snapshots(source.id, 1000) if line.has_body)


def test_after_a_day_one_body_an_hour_is_left_the_largest(store: Store) -> None:
    _keep(store, 2.9, minutes=10)
    big = snapshot(T0 + 0.5 * HOUR + 1, database=counters(1), settings=many([{"name": "x" * 500}]))
    store.keep(big, T0 + HOUR)
    _settle(store, T0 + DAY + 2 * HOUR + 60)
    assert _bodies(store) == pytest.approx([0.5 + 1 / HOUR, 1 + 5 / 6, *(2 + tenth / 6 for tenth in range(6))])
    assert store.body(big.snapshot_id) == big.body
    assert store.stats().snapshots == 19  # the lines stay, without their bodies


def test_bodies_that_came_late_are_thinned_as_well(store: Store) -> None:
    """A day after they came; what waited at an agent for three days, say."""
    _keep(store, 1, minutes=10)
    store.keep(snapshot(T0 + 3 * DAY, database=counters(1)), T0 + 3 * DAY)
    _settle(store, T0 + 3 * DAY)
    assert len(_bodies(store)) == 2
    for minute in range(60, 180, 10):
        store.keep(snapshot(T0 + 60 * minute, database=counters(1)), T0 + 3 * DAY + 60)
    for name in ("other", "third"):
        store.keep(snapshot(T0 + DAY, name=name, database=counters(1)), T0 + 3 * DAY)
    _settle(store, T0 + 3 * DAY + HOUR)
    assert len(_bodies(store)) == 14
    _settle(store, T0 + 4 * DAY + 2 * HOUR)
    assert _bodies(store) == pytest.approx([5 / 6, 1 + 5 / 6, 2 + 5 / 6, 72])


def test_the_latest_body_stays_whatever_its_age(store: Store) -> None:
    store.keep(snapshot(T0, database=counters(1), settings=many([{"name": "x" * 500}])), T0)
    store.keep(snapshot(T0 + 600, database=counters(1)), T0)
    store.keep(snapshot(T0 + 3000, database=counters(1)), T0 + 3000)
    store.retention = Retention(raw_s=100 * DAY)
    _settle(store, T0 + 20 * DAY)
    assert _bodies(store) == pytest.approx([0, 5 / 6])


def test_figures_stay_longer_in_longer_steps(store: Store) -> None:
    _keep(store, 7, minutes=1)
    (source,) = store.sources()
    names, span = ["database.xact_commit"], (T0, T0 + 5 * HOUR)

    def told(points: int) -> tuple[float, bool]:
        found = store.series(source.id, names, *span, points)
        assert found is not None
        return found.step_s, None not in found.values[names[0]]

    store.retention = Retention(raw_s=1e10)
    assert told(2000) == (60, True)
    _settle(store, T0 + 8 * HOUR)
    for keep in (
        Retention(raw_s=HOUR, five_minutes_s=1e10, hour_s=1e10),
        Retention(raw_s=HOUR, five_minutes_s=HOUR, hour_s=1e10),
    ):
        store.retention = keep
        store.keep(snapshot(T0 + 40 * DAY, database=counters(0)), T0 + 40 * DAY)  # it is still there
        _settle(store, T0 + 40 * DAY)
        assert told(2000)[1]
    assert told(2000)[0] >= HOUR
    store.retention = Retention(HOUR, HOUR, HOUR, HOUR)
    _settle(store, T0 + 80 * DAY)
    assert store.stats().snapshots == 0
    assert store.sources() == []


def test_readings_of_statements_are_thinned_to_one_an_hour(store: Store) -> None:
    _keep(store, 3, minutes=5, queries=many([query()]))
    (source,) = store.sources()
    store.retention = Retention(raw_s=DAY)
    store.prune(T0)  # where the thinning begins
    for hour in range(24, 28):
        while store.prune(T0 + hour * HOUR):
            pass
    found = store.query(source.id, "1", T0, T0 + 3 * HOUR)
    assert found is not None
    assert [(at - T0) / HOUR for at in found.times] == [0, 1, 2]


def test_readings_of_statements_are_thinned_to_one_in_15_minutes_first(store: Store) -> None:
    _keep(store, 2, minutes=5, queries=many([query()]))
    store.prune(T0)
    while store.prune(T0 + 2 * DAY + 2 * HOUR):
        pass
    left = [(at - T0) / HOUR for (at,) in store._db.rows("SELECT at FROM reading WHERE kind = 'queries' ORDER BY at")]
    assert left == [quarter / 4 for quarter in range(8)]


def test_findings_that_went_are_forgotten_and_open_ones_are_not(store: Store) -> None:
    store.keep(snapshot(T0, findings=[finding(key="a"), finding(key="b")], database=counters(1)), T0)
    store.keep(snapshot(T0 + 60, findings=[finding(key="b")], database=counters(1)), T0 + 60)
    store.retention = Retention(hour_s=HOUR)
    _settle(store, T0 + DAY)
    assert [row.id for row in store.findings(open_only=False)] == ["index-unused:b"]


def test_a_forgotten_database_leaves_no_open_finding(store: Store) -> None:
    store.keep(snapshot(T0, findings=[finding()], database=counters(1)), T0)
    _settle(store, T0 + 15 * DAY)
    assert (store.sources(), store.findings(open_only=False)) == ([], [])


def test_the_size_is_held(tmp_path: Path) -> None:
    most = 16 * 1024**2
    path = str(tmp_path / "serve.db")
    store = open_store(path, Retention(max_bytes=most))
    store._db.run("PRAGMA synchronous = OFF")
    for minute in range(300):
        noise = many([{"name": os.urandom(50_000).hex()}])
        store.keep(snapshot(T0 + 60 * minute, database=counters(minute), settings=noise), T0 + 60 * minute)
    assert os.path.getsize(path) > most
    _settle(store, T0 + 18_000)
    assert os.path.getsize(path) <= most
    assert os.path.getsize(path) <= store.size_bytes() <= most
    bodies = _bodies(store)
    assert bodies[-1] == pytest.approx(299 / 60)
    assert bodies[0] > 1  # the oldest ones went
    assert store.stats().snapshots == 300
    store.close()


def test_the_size_is_held_within_an_hour(tmp_path: Path) -> None:
    most = 16 * 1024**2
    path = str(tmp_path / "serve.db")
    store = open_store(path, Retention(max_bytes=most))
    store._db.run("PRAGMA synchronous = OFF")
    for n in range(300):
        noise = many([{"name": os.urandom(50_000).hex()}])
        store.keep(snapshot(T0 + n, interval_s=1, database=counters(n), settings=noise), T0 + n)
    assert store.is_over_size
    while store.roll_up(T0 + 300):
        pass
    assert os.path.getsize(path) <= store.size_bytes() <= most
    assert not store.is_over_size
    assert _bodies(store)[-1] == pytest.approx(299 / 3600)
    (source,) = store.sources()
    store.retention = Retention(raw_s=1e10)
    found = store.series(source.id, ["database.xact_commit"], T0, T0 + 299, 300)
    assert found is not None
    assert sum(value is not None for value in found.values["database.xact_commit"]) > 290
    store.close()


@pytest.mark.parametrize(
    "damage", [b"", b"x", zlib.compress(b"odd"), zlib.compress(bytes(16)), zlib.compress(b"\xff" * 24)]
)
def test_a_damaged_row_costs_itself_alone(store: Store, damage: bytes) -> None:
    for minute in range(0, 40, 5):
        at, more = (
            T0 + 60 * minute,
            {"queries": many([query("1", minute, minute)]), "plans": many([]), "tables": many([{"relid": minute}])},
        )
        store.keep(snapshot(at, interval_s=300, database=counters(600 * minute), **more), at)
    (source,) = store.sources()
    store._db.run("UPDATE point SET data = ? WHERE at = ?", (damage, T0 + 300))
    store._db.run("UPDATE reading SET data = ? WHERE slot = ?", (damage, T0 // 300 + 1))
    store._db.run("UPDATE reading SET data = ? WHERE kind IN ('plans', 'tables')", (damage,))
    store._db.run("DELETE FROM body")
    store.retention = Retention(raw_s=1e10)
    _settle(store, T0 + HOUR)
    store._db.run("UPDATE rollup SET data = ? WHERE at = ? AND step_s = 300", (damage, T0 + 900))
    for points in (40, 7):
        found = store.series(source.id, ["database.xact_commit"], T0, T0 + 2100, points)
        assert found is not None
        assert found.values["database.xact_commit"][-1] == pytest.approx(10)
    assert store.queries(source.id, T0, T0 + 2100)[0].calls == 35
    assert store.query(source.id, "1", T0, T0 + 2100) is not None
    assert store.objects(source.id, "tables") is None
    assert store._db.rows("SELECT count(*) FROM due WHERE step_s = 300") == [(0,)]


def test_a_bucket_that_cannot_be_summed_up_is_set_aside(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _keep(store, 1, minutes=5)
    summed_up = upkeep.summed_up

    def fails_at(at: float, *more: Any) -> bytes | None:
        if at == T0 + 600:
            raise KeyError(at)
        return summed_up(at, *more)

    monkeypatch.setattr(upkeep, "summed_up", fails_at)
    with pytest.raises(KeyError):
        _settle(store, T0 + DAY)
    _settle(store, T0 + DAY)
    found = {at for (at,) in store._db.rows("SELECT at FROM rollup WHERE step_s = 300")}
    assert {T0 + 300 * place for place in range(11)} - found == {T0 + 600}


def test_what_is_forgotten_is_given_back(tmp_path: Path) -> None:
    path = str(tmp_path / "serve.db")
    store = open_store(path)
    store._db.run("PRAGMA synchronous = OFF")
    for minute in range(300):
        noise = many([{"name": os.urandom(30_000).hex()}])
        store.keep(snapshot(T0 + 60 * minute, database=counters(minute), settings=noise), T0 + 60 * minute)
    store._db.shrink()
    full, used = os.path.getsize(path), store.used_bytes()
    assert (full == store.size_bytes(), used) == (True, full)
    store._db.run("DELETE FROM body WHERE seq < 200")
    store._db.shrink()
    assert os.path.getsize(path) < full - 1000 * 4096  # one step is more than a page
    _settle(store, T0 + 10 * DAY)
    assert os.path.getsize(path) < full / 4
    assert store.size_bytes() == os.path.getsize(path)
    used = store.used_bytes()
    assert used is not None
    assert 0.9 * os.path.getsize(path) < used <= os.path.getsize(path)
    store.close()


def test_forgetting_reads_what_is_old_and_no_more(tmp_path: Path) -> None:
    """Nothing else is written meanwhile: no table that grows is gone through as a whole."""
    store = open_store(str(tmp_path / "serve.db"), Retention(HOUR, HOUR, HOUR, HOUR, max_bytes=1))
    db: sqlite3.Connection = store._db._db  # type: ignore[attr-defined]
    _keep(store, 3, minutes=5, queries=many([query()]), findings=[finding()])
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    _settle(store, T0 + 3 * HOUR)
    db.set_trace_callback(None)
    plans = {
        (told[3], sql)
        for sql in asked
        if sql.lstrip().startswith(("SELECT", "DELETE", "WITH"))
        for told in db.execute(f"EXPLAIN QUERY PLAN {sql}")
    }
    grown = re.compile(r"SCAN (point|rollup|reading|query_text|event|finding|snapshot|body|s|b|r)\b")
    assert [each for each in plans if grown.match(each[0])] == []
    assert len(plans) > 20
    store.close()


def test_of_many_databases_much_is_forgotten_at_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "serve.db"))
    for name in range(20):
        for minute in range(3):
            store.keep(snapshot(T0 + minute, name=str(name), database=counters(1)), T0 + minute)
    assert not store._db.drop_before("point", 0, T0 + 2)
    assert store._db.rows("SELECT count(*) FROM point") == [(20,)]
    store.close()
