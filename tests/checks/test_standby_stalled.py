"""standby-stalled."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.state import State, Watch
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for

HERE = {"pid": 7, "has_primary_conninfo": True, "replay_lag_bytes": 0, "replay_lag_s": None}
LATE = {**HERE, "replay_lag_bytes": 10**6, "replay_lag_s": 300, "recovery_min_apply_delay_s": 0}
LONG_AGO = Watch(0, 1)


@pytest.mark.parametrize("major", [12, 18])
def test_a_standby_that_is_paused_and_then_alone(
    make_server: Callable[..., Server],
    standby: Callable[[Server], Server],
    doctor: Callable[..., Doctor],
    major: int,
) -> None:
    primary = make_server(major)
    doctor(primary, "standby-stalled")  # makes the role
    follower = standby(primary)
    follower.sql("ALTER SYSTEM SET wal_retrieve_retry_interval = '100ms'")
    follower.sql("SELECT pg_reload_conf()")
    here = doctor(follower, "standby-stalled")
    here.healthy()
    follower.sql("SELECT pg_wal_replay_pause()")  # a request: replay may go on with what is at hand
    wait_for(lambda: _is_paused(follower, major), "replay is not paused")
    primary.sql("CREATE TABLE t AS SELECT 1")
    assert here.look() == []  # not for five minutes yet
    found = long_since(here, "standby-stalled:replay")
    assert (found.id, found.severity) == ("standby-stalled:replay", Severity.CRITICAL)
    paste(follower, found.remedy)
    here.healthy()
    primary.stop()
    found = long_since(here, "standby-stalled:receiver")
    assert (found.id, found.severity) == ("standby-stalled:receiver", Severity.CRITICAL)
    primary.start()
    here.healthy()


def _is_paused(standby: Server, major: int) -> bool:
    asked = "pg_get_wal_replay_pause_state() = 'paused'" if major >= 14 else "pg_is_wal_replay_paused()"
    return bool(standby.sql(f"SELECT {asked}")[0][0])


def long_since(doctor: Doctor, finding: str) -> Finding:
    """The finding, which each look takes for one that has been there long (one that does not see it forgets it)."""

    def look() -> list[Finding]:
        doctor.state = State({finding: LONG_AGO})
        return doctor.look()

    return wait_for(look, f"no {finding}")[0]


def grade(**more: object) -> Severity | None:
    found = judged("standby-stalled", planted(wal_receiver={**LATE, **more}, standby=True))
    return found[0].severity if found else None


def test_how_late() -> None:
    told = [grade(replay_lag_s=late) for late in (None, 299, 300, 1799, 1800)]
    assert told == [None, None, Severity.WARNING, Severity.WARNING, Severity.CRITICAL]


def test_paused() -> None:
    now = planted(wal_receiver={**LATE, "replay_lag_s": None, "is_wal_replay_paused": True}, standby=True)
    for lasting, severity in ((0, Severity.WARNING), (1800, Severity.CRITICAL)):
        now.since = {"standby-stalled:replay": now.server_time - lasting}
        [found] = judged("standby-stalled", now)
        assert (found.severity, "is paused" in found.summary) == (severity, True)
    assert grade(replay_lag_bytes=0, is_wal_replay_paused=True) is None


def test_a_primary_that_writes_nothing() -> None:
    assert grade(replay_lag_bytes=0, replay_lag_s=9999) is None


def test_a_delay_that_is_meant() -> None:
    assert grade(recovery_min_apply_delay_s=3600, replay_lag_s=3700) is None
    assert grade(recovery_min_apply_delay_s=3600, replay_lag_s=3900) is Severity.WARNING


def test_nothing_streams() -> None:
    now = planted(wal_receiver={**HERE, "pid": None}, standby=True)
    for lasting, severity in ((0, Severity.WARNING), (1799, Severity.WARNING), (1800, Severity.CRITICAL)):
        now.since = {"standby-stalled:receiver": now.server_time - lasting}
        [found] = judged("standby-stalled", now)
        assert (found.key, found.severity) == ("receiver", severity)


def test_a_standby_that_lives_on_an_archive() -> None:
    for told in (False, None):
        here = {**HERE, "pid": None, "has_primary_conninfo": told}
        assert judged("standby-stalled", planted(wal_receiver=here, standby=True)) == []


def test_a_receiver_without_a_slot_is_one() -> None:
    assert judged("standby-stalled", planted(wal_receiver={**HERE, "slot_name": None}, standby=True)) == []


def test_what_replay_may_wait_for() -> None:
    for wait_s, told in ((-1, "for ever"), (300, "for 5 min"), (30, None)):
        [found] = judged(
            "standby-stalled", planted(wal_receiver={**LATE, "max_standby_streaming_delay_s": wait_s}, standby=True)
        )
        assert ("ALTER SYSTEM" in found.remedy) is (told is not None)
        assert told is None or told in found.remedy
