"""standby-conflicts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for

HOUR = 3600


@pytest.mark.parametrize("major", [12, 18])
def test_queries_that_replay_cancels(
    make_server: Callable[..., Server],
    standby: Callable[[Server], Server],
    doctor: Callable[..., Doctor],
    major: int,
) -> None:
    primary = make_server(major)
    primary.sql("CREATE TABLE t AS SELECT 1 AS x")
    doctor(primary, "standby-conflicts")  # makes the role
    follower = standby(primary)
    for name, value in (
        ("max_standby_streaming_delay", "0"),
        ("hot_standby_feedback", "off"),
        ("wal_receiver_status_interval", "1s"),
    ):
        follower.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    follower.sql("SELECT pg_reload_conf()")
    conflicts = doctor(follower, "standby-conflicts", warning_count=1)
    conflicts.apart_s = 60
    conflicts.look()
    conflicts.healthy()
    wait_for(lambda: not fed_back(primary), "the primary still keeps rows for the standby")
    with reader(follower):
        clean(primary)
        follower.catch_up()
        found = conflicts.sick()
    assert (found.id, found.severity) == ("standby-conflicts:postgres", Severity.WARNING)
    assert found.evidence["confl_snapshot"] == 1
    paste(follower, found.remedy)
    with reader(follower) as cursor:
        wait_for(lambda: fed_back(primary), "the primary does not know of the reader")
        clean(primary)
        follower.catch_up()
        cursor.execute("SELECT * FROM t")  # it was not cancelled
    conflicts.healthy()


@contextmanager
def reader(follower: Server) -> Iterator[Any]:
    """A transaction that has read a table, and may do so again."""
    connection = follower.connect()
    connection.autocommit = False
    connection.set_session(isolation_level="REPEATABLE READ")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM t")
        yield cursor
    with suppress(psycopg2.Error):
        connection.close()


def clean(primary: Server) -> None:
    primary.sql("UPDATE t SET x = x + 1")
    primary.sql("VACUUM t")
    primary.sql("VACUUM t")


def fed_back(primary: Server) -> bool:
    return bool(primary.sql("SELECT 1 FROM pg_replication_slots WHERE xmin IS NOT NULL"))


def judge(seconds: float = HOUR, feedback: bool = True, delay_s: float = 30, **counts: float) -> list[Finding]:
    was = {"datid": 5, "datname": "app", "conflicts": 0, "confl_snapshot": 0}
    row = {**was, "conflicts": sum(counts.values()), **counts}
    here = {"hot_standby_feedback": feedback, "max_standby_streaming_delay_s": delay_s}
    now, before = (
        planted(at, standby=True, conflicts=[each], wal_receiver=here) for at, each in ((seconds, row), (0, was))
    )
    return judged("standby-conflicts", now, before)


def test_how_many() -> None:
    assert [len(judge(confl_snapshot=count)) for count in (5, 6)] == [0, 1]
    assert judge(60, confl_snapshot=5) == []  # an hour is not extrapolated from a minute
    assert judge(2 * HOUR, confl_snapshot=11) == []


def test_what_gives_way() -> None:
    [found] = judge(feedback=False, confl_snapshot=9, confl_lock=3)
    assert "hot_standby_feedback = 'on'" in found.remedy
    assert "rows that VACUUM" in found.summary
    assert "bloat" in found.caution
    for found in (*judge(confl_snapshot=9), *judge(feedback=False, confl_lock=9)):
        assert "max_standby_streaming_delay = '300s'" in found.remedy
        assert "fall behind" in found.caution
    [found] = judge(delay_s=400, confl_lock=9)
    assert "'800s'" in found.remedy
    [found] = judge(delay_s=-1, confl_deadlock=9)
    assert "ALTER SYSTEM" not in found.remedy
