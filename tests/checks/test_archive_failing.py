"""archive-failing."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Server

EARLY, LATE = "2025-12-31T22:00:00+00:00", "2025-12-31T23:00:00+00:00"
FAILS = {
    "archive_mode": "on",
    "has_archive_command": True,
    "last_archived_time": EARLY,
    "last_failed_time": LATE,
    "last_failed_wal": "000000010000000000000007",
    "failed_count": 3,
    "ready_count": 2,
    "oldest_ready_age_s": 599.9,
}


@pytest.mark.parametrize("major", [12, 18])
def test_an_archive_command_that_fails(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, archive_mode="on")
    command(server, "true")
    archiving = doctor(server, "archive-failing")
    archiving.healthy()
    command(server, "false")
    found = archiving.sick()
    assert (found.id, found.severity) == ("archive-failing", Severity.WARNING)
    assert "fails" in found.summary
    archiving.limits = {"critical_s": 0}
    assert archiving.sick().severity is Severity.CRITICAL
    command(server, "true")
    archiving.healthy()


def command(server: Server, text: str) -> None:
    """Set it, and have it run: a new file wakes the archiver from its rest after a failure."""
    server.sql(f"ALTER SYSTEM SET archive_command = '{text}'")
    server.sql("SELECT pg_reload_conf()")
    server.sql("CREATE TABLE filler AS SELECT 1; DROP TABLE filler")
    server.sql("SELECT pg_switch_wal()")


def grade(standby: bool = False, **more: object) -> Severity | None:
    found = judged("archive-failing", planted(archiver={**FAILS, **more}, standby=standby))
    return found[0].severity if found else None


def test_for_how_long() -> None:
    assert grade() is Severity.WARNING
    assert grade(oldest_ready_age_s=600) is Severity.CRITICAL
    [found] = judged("archive-failing", planted(archiver=FAILS))
    assert found.since == planted().server_time - 599.9
    assert "2 files wait, the oldest for 10 min" in found.summary


def test_an_archive_that_never_worked() -> None:
    assert grade(last_archived_time=None, oldest_ready_age_s=601) is Severity.CRITICAL


def test_a_failure_that_was_made_good() -> None:
    assert grade(last_archived_time=LATE, last_failed_time=EARLY) is None
    assert grade(last_failed_time=None) is None
    assert grade(ready_count=0, oldest_ready_age_s=None) is None


def test_a_role_that_sees_no_files() -> None:
    """By how long the finding has been there, then."""
    unseen = {"ready_count": None, "oldest_ready_age_s": None}
    assert grade(**unseen) is Severity.WARNING
    assert grade(**unseen, last_failed_time=None) is None
    now = planted(archiver={**FAILS, **unseen})
    now.since = {"archive-failing": now.server_time - 600}
    [found] = judged("archive-failing", now)
    assert found.severity is Severity.CRITICAL


def test_an_archive_that_falls_behind_or_has_no_command() -> None:
    slow = {"last_failed_time": None, "ready_count": 100}
    assert [grade(**slow, oldest_ready_age_s=age) for age in (599, 600)] == [None, Severity.WARNING]
    [found] = judged("archive-failing", planted(archiver={**FAILS, **slow, "oldest_ready_age_s": 700}))
    assert "falls behind" in found.summary
    none = {"has_archive_command": False, "last_failed_time": None, "oldest_ready_age_s": 700}
    [found] = judged("archive-failing", planted(archiver={**FAILS, **none}))
    assert "no archive_command is set" in found.summary
    [found] = judged("archive-failing", planted(archiver={**FAILS, **none, "has_archive_library": True}))
    assert "falls behind" in found.summary


def test_where_nothing_is_archived() -> None:
    for standby, mode in ((False, "off"), (True, "on")):
        with pytest.raises(NotExamined):
            grade(standby, archive_mode=mode)
    assert grade(True, archive_mode="always") is Severity.WARNING
