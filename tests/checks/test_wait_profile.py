"""wait-profile."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import running
from tests.postgres.server import Server
from tests.waiting import wait_for

COMMITS = "DO $$ BEGIN LOOP INSERT INTO t VALUES (1); COMMIT; END LOOP; END $$"
WORKS = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"


@pytest.mark.parametrize("major", [12, 18])
def test_sessions_that_wait_for_one_to_write_wal(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    """Who writes WAL holds its lock for commit_delay, so that the others' commits go with it."""
    server = make_server(major, fsync="on", commit_delay=100_000, commit_siblings=0)
    database = server.new_database()
    database.sql("CREATE TABLE t (n int)")
    profile = doctor(database, "wait-profile")
    profile.healthy()
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(running(database, COMMITS, WORKS))
        found = profile.sick()
        assert (found.id, found.severity) == ("wait-profile:LWLock", Severity.WARNING)
        assert found.subject.startswith("WALWrite")
        assert "commits wait for WAL to be written" in found.remedy
        paste(database, found.remedy)
    wait_for(lambda: not database.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DO %'"), "they go on")
    profile.healthy()


def _judged(**active: int) -> list[Finding]:
    events = [
        {"state": "active", "wait_event_type": "IO", "wait_event": "DataFileRead", "count": 7},
        {"state": "active", "wait_event_type": "IO", "wait_event": "BufFileRead", "count": 2},
        {"state": "idle", "wait_event_type": "IO", "wait_event": "other", "count": 99},
    ]
    total = {"active_by_wait_event_type": active or None, "by_wait_event": events, "by_state": {"active": 1}}
    return judged("wait-profile", planted(activity={"rows": [], "total": total}))


@pytest.mark.parametrize(
    ("active", "keys"),
    [
        ({}, []),
        ({"CPU": 4, "IO": 6}, ["IO"]),
        ({"CPU": 5, "IO": 5}, []),
        ({"IO": 9}, []),
        ({"IO": 10}, ["IO"]),
        ({"LWLock": 10, "CPU": 3}, ["LWLock"]),
        ({"Lock": 50, "CPU": 3}, []),  # blocking-chain tells
        ({"Client": 50, "Timeout": 50, "Activity": 50, "IO": 9}, []),
        ({"Client": 50, "IO": 10}, ["IO"]),
    ],
)
def test_thresholds(active: dict[str, int], keys: list[str]) -> None:
    assert [each.key for each in _judged(**active)] == keys


def test_the_most_frequent_event_is_the_subject() -> None:
    [found] = _judged(IO=10)
    assert found.subject == "DataFileRead"
    assert found.evidence["events"] == {"DataFileRead": 7, "BufFileRead": 2}
    assert "see cache-hit" in found.remedy


@pytest.mark.parametrize(
    ("event", "words"),
    [("DataFileRead", "are read"), ("AioIoCompletion", "are read"), ("DataFileExtend", "are written, or grow")],
)
def test_blocks_that_are_read_and_that_are_written(event: str, words: str) -> None:
    events = [{"state": "active", "wait_event_type": "IO", "wait_event": event, "count": 10}]
    total = {"active_by_wait_event_type": {"IO": 10}, "by_wait_event": events, "by_state": {"active": 10}}
    [found] = judged("wait-profile", planted(activity={"rows": [], "total": total}))
    assert words in found.remedy


def test_activities_that_are_not_tracked() -> None:
    with pytest.raises(NotExamined, match="track_activities"):
        judged("wait-profile", planted(activity={"rows": [], "total": {"by_state": {"disabled": 9}}}))


def test_a_role_that_does_not_see_others_sessions() -> None:
    now = planted(activity={"rows": [], "total": {"active_by_wait_event_type": {"IO": 30}}})
    now.errors["activity"] = "role x is not a member of pg_monitor"
    with pytest.raises(NotExamined, match="pg_monitor"):
        judged("wait-profile", now)
