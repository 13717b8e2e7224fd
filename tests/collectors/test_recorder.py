"""The recorder: what is a crowd, what is recorded of one, and that a quiet server is left in peace."""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from pgdoctor_lib.agent.sentinel import SPARE_S
from pgdoctor_lib.collectors.budget import Allowance, Budget
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.recorder import (
    APART_S,
    LASTS_S,
    LOOK_S,
    MOST_AN_HOUR,
    MOST_SAMPLES,
    QUIET,
    SAMPLE_S,
    Recorder,
    Recording,
)
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.collectors.usual import Usual
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.values import Lines
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.snapshot import Collected, Cost
from tests.checks.planting import WAITS, running, session
from tests.collectors.conftest import BACKENDS, kept_session
from tests.fix_proxy import SWALLOW, Proxy
from tests.postgres.server import Database
from tests.waiting import wait_for


@contextmanager
def crowd(database: Database, count: int) -> Iterator[tuple[int, list[int]]]:
    """So many wait for a row of somebody who is idle in a transaction: its pid, and theirs."""
    with ExitStack() as stack:
        root = stack.enter_context(session(database, "BEGIN", "UPDATE t SET y = 1 WHERE x = 1"))
        statement = "UPDATE t SET y = 4711 WHERE x = 1"
        yield root, [stack.enter_context(running(database, statement, WAITS)) for _ in range(count)]
        database.sql("SELECT pg_terminate_backend(%s)", [root])


@pytest.fixture
def rows(database: Database) -> Database:
    database.sql("CREATE TABLE t (x int PRIMARY KEY, y int)")
    database.sql("INSERT INTO t VALUES (1, 0)")
    return database


@contextmanager
def collecting(
    database: Database, recorder: Recorder, query_text: QueryText = "masked", interval_s: float = 60.0
) -> Iterator[Collecting]:
    """After its first two cycles, as of which it keeps a session."""
    routine = Routine(database.name, interval_s, Memory(), recorder=recorder)
    one = Collecting(Dsn.parse(database.dsn, {}), 20, query_text, routine)
    one.once()
    one.once()
    yield one
    one.close()


def told(collected: Collected) -> dict[str, Any]:
    [found] = [json.loads(section.json) for section in collected.sections if section.name == "recording"]
    assert isinstance(found, dict)
    return found


def test_a_crowd_is_recorded_and_told_once_it_is_over(rows: Database) -> None:
    with collecting(rows, Recorder(Lines(waiters=3))) as one:
        assert one.record() == LOOK_S
        with crowd(rows, 6) as (root, waiters):
            assert [one.record() for _ in range(3)] == [SAMPLE_S] * 3
            [now] = told(one.once())["rows"]
            assert not now["is_over"] and len(now["samples"]) == 4, "the cycle took one, too"
            assert one.record() == SAMPLE_S
        assert [one.record() for _ in range(QUIET)] == [*[SAMPLE_S] * (QUIET - 1), LOOK_S]
        collected = one.once()
        [found] = told(collected)["rows"]
        assert found["is_over"] and found["started_at"] == now["started_at"]
        assert (found["peak_waiting_count"], found["waiting_line"], found["is_set"]) == (6, 3, True)
        assert [waiting for _, _, waiting in found["samples"]] == [6] * 5 + [0] * QUIET
        assert [(each["pid"], each["peak_blocked_count"], each["seen_count"]) for each in found["roots"]] == [
            (root, 6, 5)
        ]
        sessions = {each["pid"]: each for each in found["sessions"]}
        assert set(waiters) < sessions.keys()
        assert (sessions[root]["state"], sessions[root]["application_name"]) == ("idle in transaction", "tests")
        assert sessions[waiters[0]]["query"] == "UPDATE t SET y = *** WHERE x = ***"
        assert sum(found["waits"].values()) >= 24 and {"Lock: transactionid", "Lock: tuple"} <= found["waits"].keys()
        assert collected.costs["recorder"].rows == 1 + QUIET and collected.errors == ()
        assert told(one.once())["rows"] == []


def test_a_quiet_server_is_only_looked_at(rows: Database) -> None:
    with collecting(rows, Recorder(Lines())) as one:
        before = kept_session(rows.server, rows.name)
        assert [one.record() for _ in range(10)] == [LOOK_S] * 10
        assert rows.server.sql(BACKENDS, (rows.name,)) == [before], "the same session, and no other"
        collected = one.once()
        assert told(collected)["rows"] == []
        assert told(collected)["total"]["waiting_usual"] == 0
        assert collected.costs["recorder"].rows == 10
    wait_for(lambda: rows.server.sql(BACKENDS, (rows.name,)) == [], "a session was left")


def test_after_a_cycle_that_reads_everything_it_looks_in_a_session_of_its_own(rows: Database) -> None:
    recorder = Recorder(Lines(waiters=3))
    one = Collecting(Dsn.parse(rows.dsn, {}), 20, routine=Routine(rows.name, 300.0, Memory(), recorder=recorder))
    one.once()
    wait_for(lambda: rows.server.sql(BACKENDS, (rows.name,)) == [], "what it took of the server's memory is kept")
    with crowd(rows, 6):
        assert [one.record() for _ in range(3)] == [SAMPLE_S] * 3
    [looked_in] = rows.server.sql(BACKENDS, (rows.name,))
    [found] = told(one.once())["rows"]
    assert len(found["samples"]) == 4
    assert rows.server.sql(BACKENDS, (rows.name,)) == [looked_in], "the cycle used it, too, and keeps it"
    one.close()


def test_where_no_session_is_to_be_had_it_does_not_look(rows: Database) -> None:
    recorder = Recorder(Lines())
    one = Collecting(Dsn.parse(rows.dsn, {}), 20, routine=Routine(rows.name, 300.0, Memory(), recorder=recorder))
    one.once()
    rows.server.sql(f'ALTER DATABASE "{rows.name}" ALLOW_CONNECTIONS false')
    assert one.record() == float("inf")
    rows.server.sql(f'ALTER DATABASE "{rows.name}" ALLOW_CONNECTIONS true')
    assert one.once().errors == ()
    one.close()


def test_off_nothing_is_asked_told_or_kept(rows: Database) -> None:
    with collecting(rows, Recorder(None), interval_s=300.0) as one:
        assert one.record() == float("inf")
        assert "recording" not in {section.name for section in one.once().sections}
        wait_for(lambda: rows.server.sql(BACKENDS, (rows.name,)) == [], "a session was kept")


def test_at_long_intervals_one_database_of_a_server_keeps_its_session(rows: Database) -> None:
    recorder, memory = Recorder(Lines()), Memory()
    first, second = (
        Collecting(Dsn.parse(rows.dsn, {}), 20, routine=Routine(name, 300.0, memory, recorder=recorder))
        for name in ("first", "second")
    )
    for _ in range(2):
        first.once()
        assert told(second.once())["rows"] == []
    wait_for(lambda: len(rows.server.sql(BACKENDS, (rows.name,))) == 1, "not one session is kept")
    assert (first.record(), second.record()) == (LOOK_S, float("inf"))
    first.close()
    second.close()


@pytest.mark.parametrize("query_text", ["full", "none"])
def test_texts_are_told_as_the_option_has_it(rows: Database, query_text: QueryText) -> None:
    with collecting(rows, Recorder(Lines(waiters=1)), query_text) as one, crowd(rows, 1) as (_, [waiter]):
        one.record()
        [found] = told(one.once())["rows"]
        [text] = [each["query"] for each in found["sessions"] if each["pid"] == waiter]
        assert text == {"full": "UPDATE t SET y = 4711 WHERE x = 1", "none": None}[query_text]


def test_whoever_is_in_the_room_is_not_disturbed_and_a_lost_session_costs_nothing(rows: Database) -> None:
    with collecting(rows, Recorder(Lines())) as one:
        with one._room.alone(1):
            assert one.record() == LOOK_S
            assert one._room.session is not None
        [pid] = kept_session(rows.server, rows.name)
        rows.server.sql("SELECT pg_terminate_backend(%s)", (pid,))
        wait_for(lambda: rows.server.sql(BACKENDS, (rows.name,)) == [], "it did not end")
        assert one.record() == float("inf")
        assert one.once().errors == ()


def test_a_server_that_hangs_does_not_keep_the_next_cycle_waiting(
    rows: Database, make_proxy: Callable[..., Proxy]
) -> None:
    proxy = make_proxy(rows.server.port)
    dsn = Dsn.parse(proxy.dsn(rows.dsn), {})
    one = Collecting(dsn, 20, routine=Routine(rows.name, 60.0, Memory(), recorder=Recorder(Lines())))
    one.once()
    one.once()
    assert one.record() == LOOK_S
    proxy.does(SWALLOW)
    before = time.monotonic()
    assert one.record() == float("inf")
    assert time.monotonic() - before < SPARE_S + 0.5
    assert one._room.session is None
    one.close()


def test_while_it_records_whoever_is_in_the_room_costs_a_second_alone(rows: Database) -> None:
    recorder = Recorder(Lines(waiters=3))
    with collecting(rows, recorder) as one, crowd(rows, 3):
        assert recorder.wait_s == LOOK_S
        one.record()
        assert recorder.wait_s == SAMPLE_S, "the sentinel begins with it after the cycle"
        with one._room.alone(1):
            assert one.record() == SAMPLE_S


def test_a_recording_begins_when_its_crowd_did(rows: Database) -> None:
    """No earlier than the look before, and where none was, than ten seconds ago."""
    with collecting(rows, Recorder(Lines(waiters=2))) as one:
        with crowd(rows, 3):
            rows.sql("SELECT pg_sleep(0.5)")
            one.record()
            [found] = told(one.once())["rows"]
        assert 0.5 <= found["before_s"] <= LOOK_S
    with collecting(rows, Recorder(Lines(waiters=2))) as one, crowd(rows, 3):
        rows.sql("SELECT pg_sleep(0.5)")
        one._recorder.lines = Lines(waiters=1000)
        before = time.monotonic()
        one.record()
        one._recorder.lines = Lines(waiters=2)
        one.record()
        [found] = told(one.once())["rows"]
        assert found["before_s"] <= time.monotonic() - before


def test_a_recording_that_ends_by_a_gap_is_told_once_more() -> None:
    recorder = Recorder(Lines(waiters=1))
    recording = recorder._begun_now(0.0, 0.0, (1, 10))
    recording.add(row(1_800_000_000, 20, range(1, 21)))
    assert [each["is_over"] for each in told(recorder.with_section(NOTHING, is_servers=True))["rows"]] == [False]
    assert told(recorder.with_section(NOTHING, is_servers=True))["rows"] == []
    recording.add(row(1_800_000_000 + LASTS_S, 20, range(1, 21)))
    assert [each["is_over"] for each in told(recorder.with_section(NOTHING, is_servers=True))["rows"]] == [True]
    assert told(recorder.with_section(NOTHING, is_servers=True))["rows"] == []


def test_where_nobody_looked_is_told() -> None:
    recording = Recording((5, 10), is_set=False)
    for second in (0, 1, 2.5, 5.4, 18.6, 19.6):
        recording.add(row(1_800_000_000 + second, 20, range(1, 21)))
    assert recording.as_json()["gaps"] == [[5.4, 18.6]]


def test_what_it_costs_counts_within_the_budget(rows: Database) -> None:
    with collecting(rows, Recorder(Lines())) as one:
        one.record()
        cost = one.once().costs["recorder"]
        assert one._budget and one._budget._averages_ms["recorder"] > 0 < cost.ms
    budget = Budget(Allowance(0.01), 1.0)  # 10 ms a cycle
    for _ in range(4):
        budget.spent({"recorder": Cost(9.0, 1, 1), "tables": Cost(6.0, 1, 1)})
    assert budget.every_nth == {"tables": 2}, "half of it is for the rest"


def test_what_makes_no_sense_is_told(rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting(rows, Recorder(Lines())) as one:
        monkeypatch.setattr("pgdoctor_lib.collectors.recorder.json.loads", lambda text: {"active": "x"})
        assert one.record() == float("inf")
        monkeypatch.undo()
        monkeypatch.setattr("pgdoctor_lib.collectors.recorder._whole", lambda *_: 1 / 0)
        one.once()
        assert one.record() == float("inf")
        assert [each.line for each in one.once().errors] == [
            "recorder: internal error: ZeroDivisionError: division by zero"
        ]


NOTHING = Collected("", "", (), None, (), {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("now", value) for value in (1e300, math.nan, math.inf, -1.0, "x", None)),
        *((key, value) for key in ("active", "waiting") for value in (1e300, math.nan, -math.inf, -1, "x", None)),
    ],
)
def test_a_second_that_makes_no_sense_is_none(key: str, value: object) -> None:
    recorder = Recorder(Lines(waiters=1))
    recording = recorder._begun_now(0.0, 0.0, (1, 10))
    with pytest.raises(DatabaseError, match="makes no sense"):
        recording.add({**row(1_800_000_000, 20, range(1, 21)), key: value})
    recording.add(row(1_800_000_001, 20, range(1, 21)))
    assert [each["started_at"] for each in told(recorder.with_section(NOTHING, is_servers=True))["rows"]] == [
        "2027-01-15T08:00:01.000Z"
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_recording_that_cannot_be_told_costs_no_more_than_itself(value: float) -> None:
    recorder = Recorder(Lines(waiters=1))
    bad = row(1_800_000_000, 20, range(1, 21))
    bad["sessions"][0]["query_age_s"] = value
    recorder._begun_now(0.0, 0.0, (1, 10)).add(bad)
    collected = recorder.with_section(NOTHING, is_servers=True)
    assert told(collected)["rows"] == []
    assert [each.line.partition(": V")[0] for each in collected.errors] == ["recorder: internal error"]
    recorder._begun_now(0.0, 0.0, (1, 10)).add(row(1_800_000_001, 20, range(1, 21)))
    collected = recorder.with_section(NOTHING, is_servers=True)
    assert len(told(collected)["rows"]) == 1 and collected.errors == ()


def test_what_is_usual() -> None:
    usual = Usual(floor=5)
    for _ in range(5):
        usual.learn(0)
        assert usual.line == float("inf")
    usual.learn(0)
    assert usual.line == 5
    for number in [40, 60] * 300:
        usual.learn(number)
    assert 49 < usual.mean < 51
    assert usual.line == pytest.approx(100, abs=2), "twice the usual; 4 deviations are 40"
    before = usual.mean
    usual.learn(100_000)
    assert usual.mean < before + 1


def test_a_crowd_at_the_start_does_not_become_usual(rows: Database) -> None:
    recorder = Recorder(Lines())
    with collecting(rows, recorder) as one, one._room.lent(0) as kept:
        assert kept is not None
        with crowd(rows, 12):
            assert [recorder.step(kept, "none", now) for now in range(0, 60, 10)] == [LOOK_S] * 6
        assert [recorder.step(kept, "none", now) for now in range(60, 260, 10)] == [LOOK_S] * 20
        with crowd(rows, 12):
            assert recorder.step(kept, "none", 260) == SAMPLE_S


def test_the_line_that_is_told_is_the_one_that_was_crossed(rows: Database) -> None:
    recorder = Recorder(Lines())
    with collecting(rows, recorder) as one:
        assert [one.record() for _ in range(6)] == [LOOK_S] * 6
        with crowd(rows, 6):
            assert one.record() == SAMPLE_S
            [found] = told(one.once())["rows"]
    assert (found["waiting_line"], found["active_line"]) == (5, 10)


@pytest.mark.parametrize(
    ("active", "waiting", "lines"),
    [(100, 0, (5, 200)), (42, 40, (10, 14)), (100, 3, (6, 200)), (0, 40, (10, 10))],
)
def test_what_is_usual_after_the_first_minute(active: int, waiting: int, lines: tuple[float, float]) -> None:
    """That many work may be usual; that many wait is not, nor do they count among those that work."""
    recorder = Recorder(Lines())
    for _ in range(6):
        assert recorder._crossed() == (float("inf"), float("inf"))
        recorder._learn(active, waiting)
    assert recorder._crossed() == lines


def row(at: float, waiting: int, pids: range) -> dict[str, Any]:
    told = {"application_name": "a" * 63, "query": "x" * 300, "state": "active", "usename": "u", "datname": "d"}
    sessions = [{"pid": pid, **told} for pid in pids]
    edges = [{"pid": pid, "blocking_pids": [*range(pids[0], pid)]} for pid in pids[1:]]
    return {"now": at, "active": waiting, "waiting": waiting, "sessions": sessions, "edges": edges, "waits": {}}


def test_a_recording_is_bounded() -> None:
    recording = Recording((5, 10), is_set=False)
    for second in range(MOST_SAMPLES):
        assert not recording.is_over
        recording.add(row(1_800_000_000 + second, 20, range(20 * second + 1, 20 * second + 21)))
    assert recording.is_over
    assert len(json.dumps(recording.as_json())) < 60_000


@pytest.mark.parametrize("later_s", [LASTS_S, -5.0])
def test_a_second_of_another_time_is_none_of_a_recording(later_s: float) -> None:
    recording = Recording((5, 10), is_set=False)
    recording.add(row(1_800_000_000, 20, range(1, 21)))
    recording.add(row(1_800_000_000 + later_s, 20, range(1, 21)))
    assert (recording.is_over, len(recording.samples)) == (True, 1)


def test_a_chain_has_its_root_and_a_deadlock_none() -> None:
    recording = Recording((1, 1), is_set=False)
    edges = [{"pid": pid, "blocking_pids": [other]} for pid, other in ((2, 1), (3, 2), (4, 3), (8, 9), (9, 8), (7, 0))]
    recording.add({**row(1.0, 9, range(1, 1)), "edges": edges})
    assert [(each["pid"], each["peak_blocked_count"]) for each in recording.as_json()["roots"]] == [(1, 3), (0, 1)]


def test_a_crowd_that_stays_is_recorded_again_ten_minutes_later(rows: Database) -> None:
    """Once a recording is full and the crowd is still there: not at once, but 600 s after the last one began."""
    recorder = Recorder(Lines(active=100_000, waiters=1))
    with collecting(rows, recorder) as one, crowd(rows, 1), one._room.lent(0) as kept:
        assert kept is not None
        steps = [recorder.step(kept, "none", second) for second in range(MOST_SAMPLES)]
        assert steps == [*[SAMPLE_S] * (MOST_SAMPLES - 1), LOOK_S]
        one._recorder.with_section(NOTHING, is_servers=True)
        assert [recorder.step(kept, "none", now) for now in (60.0, 300.0, 599.9)] == [LOOK_S] * 3
        assert recorder.step(kept, "none", APART_S) == SAMPLE_S


def test_another_crowd_does_not_wait_for_ten_minutes(rows: Database) -> None:
    recorder = Recorder(Lines(active=100_000, waiters=1))
    with collecting(rows, recorder) as one, one._room.lent(0) as kept:
        assert kept is not None
        with crowd(rows, 1):
            assert [recorder.step(kept, "none", second) for second in range(MOST_SAMPLES)][-1] == LOOK_S
        assert recorder.step(kept, "none", 70.0) == LOOK_S  # nobody waits
        with crowd(rows, 1):
            assert recorder.step(kept, "none", 80.0) == SAMPLE_S


def test_so_many_an_hour(rows: Database) -> None:
    recorder = Recorder(Lines(active=100_000, waiters=1))
    with collecting(rows, recorder) as one, crowd(rows, 1), one._room.lent(0) as kept:
        assert kept is not None
        begun = 0
        for second in range(0, 3600, 10):
            before = len(recorder._begun)
            recorder.step(kept, "none", second)
            if len(recorder._begun) > before or (recorder._recordings and len(recorder._recordings[-1].samples) == 1):
                begun += 1
            for each in recorder._recordings:
                each.is_over = True
            recorder._recordings.clear()
        assert begun == MOST_AN_HOUR
