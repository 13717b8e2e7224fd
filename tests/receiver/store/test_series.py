"""Rates from counters: what they are across resets, restarts, gaps, and whatever order snapshots come in."""

import random

import pytest

from pgdoctor_lib.receiver.metrics import PLACE
from pgdoctor_lib.receiver.store import Retention, Store
from pgdoctor_lib.receiver.store.series import points as points_of
from pgdoctor_lib.receiver.store.series import rollups
from tests.receiver.store.documents import T0, counters, snapshot

COMMITS, SIZE, WAL = "database.xact_commit", "database.size_bytes", "wal.wal_bytes"


@pytest.fixture(autouse=True)
def _now(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.retention = Retention(raw_s=1e10)  # the tests' times are no days before now


def _keep(store: Store, *commits: float | None, **more: object) -> None:
    """A snapshot a minute from T0 on, none for None."""
    for minute, count in enumerate(commits):
        if count is not None:
            store.keep(snapshot(T0 + 60 * minute, database=counters(count, **more)), T0 + 60 * minute + 1)


def _rates(store: Store, minutes: int, name: str = COMMITS) -> list[float | None]:
    found = store.series(_only(store), [name], T0, T0 + 60 * minutes, minutes)
    assert found is not None
    return list(found.values[name])


def _only(store: Store) -> str:
    (source,) = store.sources()
    return source.id


def test_a_counter_is_what_it_grew_by_per_second(store: Store) -> None:
    _keep(store, 1000, 1060, 1660, 1660)
    found = store.series(_only(store), [COMMITS], T0, T0 + 180, 3)
    assert found is not None
    assert (found.step_s, list(found.times)) == (60, [T0 + 30, T0 + 90, T0 + 150])
    assert found.values[COMMITS] == pytest.approx([1, 10, 0])


def test_a_gauge_is_as_it_was_read(store: Store) -> None:
    for minute, size in enumerate((5, 7, 9)):
        store.keep(snapshot(T0 + 60 * minute, database=counters(1, size_bytes=size)), T0 + 60 * minute)
    assert _rates(store, 2, SIZE) == [7, 9]


def test_a_counter_that_falls_has_no_rate_there(store: Store) -> None:
    _keep(store, 1000, 1600, 60, 660)
    assert _rates(store, 3) == [10, None, 10]


def test_a_reset_has_no_rate_though_the_counter_has_overtaken(store: Store) -> None:
    for minute, (count, reset) in enumerate(((10, None), (70, None), (700, "2027-01-15"), (760, "2027-01-15"))):
        store.keep(snapshot(T0 + 60 * minute, database=counters(count, stats_reset=reset)), T0 + 60 * minute)
    assert _rates(store, 3) == [1, None, 1]


def test_a_gap_is_none(store: Store) -> None:
    _keep(store, 0, 60, None, None, None, None, 360, 420)
    assert _rates(store, 7) == [1, None, None, None, None, None, 1]


def test_one_missing_snapshot_is_no_gap(store: Store) -> None:
    _keep(store, 0, 60, None, 180, 240)
    assert _rates(store, 4) == [1, 1, 1, 1]


def test_what_comes_every_five_minutes_is_known_in_between(store: Store) -> None:
    for minute in range(11):
        wal = {"wal": {"wal_bytes": minute * 6000, "stats_reset": None}} if minute % 5 == 0 else {}
        store.keep(snapshot(T0 + 60 * minute, database=counters(0), **wal), T0 + 60 * minute)
    assert _rates(store, 10, WAL) == pytest.approx([100] * 10)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_arrival_and_repeats_change_nothing(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    made = [snapshot(T0 + 60 * minute, database=counters(minute**2 * 60)) for minute in range(20)]
    shuffled = [*made, *made[:5]]
    dice.shuffle(shuffled)
    new = [store.keep(each, T0 + 7200).new for each in shuffled]
    assert sum(new) == 20
    assert _rates(store, 19) == pytest.approx([(minute + 1) ** 2 - minute**2 for minute in range(19)])
    assert store.stats().snapshots == 20


def test_what_is_the_servers_is_taken_from_the_database_that_tells_it(store: Store) -> None:
    activity = {"rows": [], "total": {"client_backends": 5, "by_state": {"active": 3}}, "more": 0}
    for minute in range(4):
        at = T0 + 60 * minute
        store.keep(snapshot(at, name="speaker", database=counters(1), activity=activity), at)
        store.keep(snapshot(at, name="silent", database=counters(1)), at)
        store.keep(snapshot(at, name="elsewhere", database=counters(1, system_identifier="8")), at)
    by_name = {source.name: source.id for source in store.sources()}
    names = ["activity.active", COMMITS]
    for name, expected in (("speaker", [3, 3, 3]), ("silent", [3, 3, 3]), ("elsewhere", [None, None, None])):
        found = store.series(by_name[name], names, T0, T0 + 180, 3)
        assert found is not None
        assert found.values["activity.active"] == expected
        assert found.values[COMMITS] == [0, 0, 0]
    together = store.sparklines(list(by_name.values()), names, T0, T0 + 180, 3)
    told = {name: together[identity].values["activity.active"] for name, identity in by_name.items()}
    assert told == {"speaker": [3, 3, 3], "silent": [3, 3, 3], "elsewhere": [None, None, None]}


@pytest.mark.parametrize(
    ("interval_s", "speakers_s", "hours", "points", "step_s"),
    [(15, (15, 15), 6, 150, 150), (300, (60,), 1, 60, 300), (61, (62,), 1, 300, 61), (62, (61,), 1, 300, 62)],
)
def test_what_is_the_servers_comes_in_the_steps_of_the_database_that_lacks_it(
    store: Store, interval_s: float, speakers_s: tuple[float, ...], hours: int, points: int, step_s: float
) -> None:
    for second in range(0, 901, 15):
        for number, pause in enumerate(speakers_s):
            if second % round(pause, -1) == 0:
                activity = {"rows": [], "total": {"by_state": {"active": second}}, "more": 0}
                at = T0 + second
                store.keep(
                    snapshot(at, name=f"s{number}", interval_s=pause, database=counters(1), activity=activity), at
                )
        if second % interval_s == 0:
            at = T0 + second
            store.keep(snapshot(at, name="silent", interval_s=interval_s, database=counters(1)), at)
    (silent,) = [source.id for source in store.sources() if source.name == "silent"]
    found = store.series(silent, ["activity.active"], T0 + 900 - 3600 * hours, T0 + 900, points)
    assert found is not None
    assert found.step_s == step_s
    whole = [at for at in found.times if T0 + step_s < at <= T0 + 900 - step_s]
    assert whole
    for at, value in zip(found.times, found.values["activity.active"], strict=True):
        if at in whole:
            assert value == pytest.approx(at - T0, abs=62)


@pytest.mark.parametrize(("points", "step_s"), [(200, 60), (24, 300), (3, 3600)])
def test_rollups_and_their_newest_part_give_the_same(store: Store, points: int, step_s: int) -> None:
    """Three hours of 10 commits a second, the last hour of 20; the last minutes are not summed up yet."""
    total, end = 0.0, T0 + 3 * 3600
    for minute in range(181):
        store.keep(snapshot(T0 + 60 * minute, database=counters(total)), T0 + 60 * minute)
        total += 600 if minute < 120 else 1200
    while store.roll_up(end):
        pass
    found = store.series(_only(store), [COMMITS], T0, end, points)
    assert found is not None
    assert found.step_s >= step_s
    rates = found.values[COMMITS]
    third = len(rates) // 3
    assert rates == pytest.approx([10] * 2 * third + [20] * third, rel=0.01)
    assert found.peaks[COMMITS] == pytest.approx(rates, rel=0.01)


def test_steps_are_as_fine_as_the_data_are(store: Store) -> None:
    """An hour at 5 s is 720 points: more than are asked for, but five minutes are no step of an hour."""
    for second in range(0, 3601, 5):
        store.keep(snapshot(T0 + second, interval_s=5, database=counters(10 * second)), T0 + second)
    while store.roll_up(T0 + 3600):
        pass
    found = store.series(_only(store), [COMMITS], T0, T0 + 3600, 300)
    assert found is not None
    assert (found.step_s, len(found.times)) == (15, 240)
    assert found.values[COMMITS] == pytest.approx([10] * 240)


def test_a_late_snapshot_has_its_bucket_summed_up_anew(store: Store) -> None:
    made = [snapshot(T0 + 60 * minute, database=counters(600 * minute)) for minute in range(30)]
    late = made[5:15]
    for each in (*made[:5], *made[15:]):
        store.keep(each, T0 + 1800)
    while store.roll_up(T0 + 3000):
        pass
    assert None in _rollups(store)
    for each in late:
        store.keep(each, T0 + 3000)
    while store.roll_up(T0 + 3000):
        pass
    assert _rollups(store) == pytest.approx([10] * 5)


@pytest.mark.parametrize(("interval_s", "jitter_s"), [(300, 4), (300, 0), (1800, 20), (86_400, 60)])
def test_steps_have_no_holes_where_snapshots_are_far_apart(store: Store, interval_s: float, jitter_s: float) -> None:
    dice, count = random.Random(7), 12 if interval_s < 86_400 else 2
    for number in range(count + 1):
        at = T0 + interval_s * number + (dice.uniform(-jitter_s, jitter_s) if number else 0)
        made = counters((at - T0) * 10, size_bytes=7)
        store.keep(snapshot(at, interval_s=interval_s, database=made), at)
        while store.roll_up(at):  # as they come, so that nothing of what comes later is known
            pass
    end = T0 + interval_s * count
    while store.roll_up(end + 86_400):
        pass
    found = rollups(store._db, [_only(store)], 300, T0 + 1, end)[_only(store)]
    assert [each.at for each in found] == [T0 + 300 * place for place in range(int((end - T0) / 300))]
    for name, value in ((COMMITS, 10), (SIZE, 7)):
        assert [each.means[PLACE[name]] for each in found] == pytest.approx([value] * len(found), rel=1e-4)


def test_what_is_damaged_is_left_out(store: Store) -> None:
    for minute in range(31):
        store.keep(snapshot(T0 + 60 * minute, database=counters(600 * minute)), T0 + 60 * minute)
    while store.roll_up(T0 + 3000):
        pass
    store._db.run("UPDATE rollup SET data = ?", (b"damaged",))
    assert rollups(store._db, [_only(store)], 300, T0, T0 + 1800) == {}
    assert _rollups(store) == pytest.approx([10] * 5)
    store._db.run("UPDATE point SET data = ?", (b"damaged",))
    assert points_of(store._db, [_only(store)], T0, T0 + 1800) == {}
    assert set(_rollups(store)) == {None}


def _rollups(store: Store) -> list[float | None]:
    store.retention = Retention(raw_s=0, five_minutes_s=1e10)
    found = store.series(_only(store), [COMMITS], T0, T0 + 1500, 5)
    assert found is not None
    return list(found.values[COMMITS])


def test_many_databases_at_once(store: Store) -> None:
    for number in range(30):
        for minute in range(5):
            at = T0 + 60 * minute
            store.keep(snapshot(at, name=f"db{number}", database=counters(minute * number * 60)), at)
    found = store.sparklines([source.id for source in store.sources()], [COMMITS], T0, T0 + 240, 4)
    told = {source.name: found[source.id].values[COMMITS] for source in store.sources()}
    assert told == {f"db{number}": [number] * 4 for number in range(30)}


def test_names_that_nobody_knows_and_databases_that_are_not(store: Store) -> None:
    _keep(store, 1, 2)
    found = store.series(_only(store), ["no.such", COMMITS], T0, T0 + 60, 1)
    assert found is not None
    assert list(found.values) == [COMMITS]
    assert store.series("0" * 12, [COMMITS], T0, T0 + 60, 1) is None
    assert store.sparklines([], [COMMITS], T0, T0 + 60, 1) == {}


def test_numbers_beyond_all_measure_are_left_out(store: Store) -> None:
    for minute, count in enumerate((0, 1e308, -1e308, 1e308)):
        store.keep(snapshot(T0 + minute, interval_s=1, database=counters(count, size_bytes=count)), T0 + minute)
    while store.roll_up(T0 + 10_000_000):
        pass
    for points in (3, 1):
        found = store.series(_only(store), [COMMITS, SIZE], T0, T0 + 3, points)
        assert found is not None
        assert all(value is None or abs(value) < float("inf") for value in found.values[SIZE])


def test_the_newest_figures_of_all_databases(store: Store) -> None:
    for minute, wal in enumerate((5, None, None)):
        sections = {"wal": {"wal_bytes": wal}} if wal else {}
        store.keep(snapshot(T0 + 60 * minute, database=counters(10 + minute), **sections), T0 + 60 * minute)
    store.keep(snapshot(T0 - 3600, name="other", database=counters(7)), T0, "red")
    store.keep(snapshot(T0 - 7200, name="other", wal={"wal_bytes": 9}), T0, "red")  # too long before
    app, other = store.sources()
    names = [COMMITS, WAL, "host.load_1m"]
    assert store.latest(names, [app, other]) == {app.id: {COMMITS: 12, WAL: 5}, other.id: {COMMITS: 7}}
    assert store.latest([COMMITS], [other]) == {other.id: {COMMITS: 7}}
    assert store.latest(names, []) == {}


def test_snapshots_before_a_time(store: Store) -> None:
    assert store.oldest() is None
    _keep(store, 1, 2, 3, 4)
    found = [(line.collected_at - T0) / 60 for line in store.snapshots(_only(store), 2, T0 + 180)]
    assert found == [2, 1]
    assert store.oldest() == T0 + 1


def test_a_store_that_can_be_written_says_so(store: Store) -> None:
    store.check(T0)
    store.check(T0 + 1)
