"""slow-query-share."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Database

TEXT = "SELECT *\n  FROM orders WHERE id = $1"
ZERO = {"rows": 0, "shared_blks_hit": 0, "shared_blks_read": 0, "temp_blks_written": 0}


def test_one_that_takes_most_of_the_time(database: Database, doctor: Callable[..., Doctor]) -> None:
    heavy = "SELECT pg_sleep(0.03) AS heavy"
    database.sql(heavy)
    shares = doctor(database, "slow-query-share", least_load_percent=1, least_window_s=0)
    shares.apart_s = 1
    shares.healthy()
    for _ in range(10):
        database.sql(heavy)
    found = shares.sick()
    [(queryid,)] = database.sql("SELECT queryid::text FROM pg_stat_statements WHERE query LIKE '%AS heavy'")
    assert (found.key, found.severity) == (queryid, Severity.WARNING)
    assert "10 calls of " in found.summary
    assert f"SELECT pg_sleep($1) AS heavy (queryid {queryid})" in found.summary
    assert found.evidence["calls"] == {"before": 1, "now": 11}
    assert "-- EXPLAIN (ANALYZE, BUFFERS) SELECT pg_sleep($1) AS heavy\n" in found.remedy
    shares.healthy()  # once it runs no more


def statements(at: float, *rows: dict[str, Any], **total: Any) -> Document:
    """A snapshot with these; `total_exec_time_ms` is 10 s more than theirs at a hundred seconds."""
    times = sum(row["total_exec_time_ms"] for row in rows if row.get("toplevel") is not False)
    sums = {"total_exec_time_ms": times + at * 100, "own_exec_time_ms": 0, "hidden_count": 0, "recording": True}
    return planted(at, queries={"rows": list(rows), "total": {**sums, **total}, "more": 0})


def statement(calls: int, time_ms: float, **more: Any) -> dict[str, Any]:
    return {"queryid": "42", "userid": 10, "query": TEXT, "calls": calls, "total_exec_time_ms": time_ms, **ZERO, **more}


def within(seconds: float, calls: int, time_ms: float, **more: Any) -> list[Finding]:
    before = statements(0, statement(1000, 5000.0, **more))
    now = statements(seconds, statement(1000 + calls, 5000.0 + time_ms, **more))
    return judged("slow-query-share", now, before, least_window_s=100)


def test_what_a_share_comes_to() -> None:
    """In a hundred seconds all others take 10 s."""
    assert within(100, 10, 4200.0) == []  # 29 %, and little
    assert within(100, 10, 9900.0) == []  # half of it, but less than 1 s in 10 s
    assert within(100, 9, 50_000.0) == []  # somebody tried something
    [found] = within(99, 10, 50_000.0)
    assert found.severity is Severity.INFO  # not watched for long
    [found] = within(100, 500, 10_000.0)
    assert (found.severity, found.key) == (Severity.WARNING, "42")
    assert found.summary == (
        "one statement takes 50 % of all time, and keeps 0.1 sessions busy on average: 500 calls of 20 ms each: "
        "SELECT * FROM orders WHERE id = $1 (queryid 42)"
    )
    [found] = within(100, 501, 10_000.0)
    assert found.severity is Severity.INFO  # each is fast


def test_what_is_left_out() -> None:
    assert within(100, 10, 50_000.0, toplevel=False) == []
    for utility in ("COPY t TO STDOUT", "VACUUM t", "COMMIT", "CALL f()", "FETCH $1 IN c"):
        assert within(100, 10, 50_000.0, query=utility) == []
    for explained in ("  WITH a AS (SELECT 1) SELECT", "(SELECT 1) UNION", "insert INTO t", None):
        assert len(within(100, 10, 50_000.0, query=explained)) == 1
    assert within(100, 10, -4000.0) == []  # thrown out and come back


def test_it_is_named_by_its_queryid_where_its_text_is_not_told() -> None:
    [found] = within(100, 10, 50_000.0, query=None)
    assert found.subject == "queryid 42"
    assert "WHERE queryid = 42" in found.remedy
    told_before = statements(0, statement(1000, 0.0))
    [found] = judged("slow-query-share", statements(100, statement(1010, 50_000.0, query=None)), told_before)
    assert "FROM orders" in found.summary


def test_roles_are_added_up() -> None:
    before = statements(0, *(statement(0, 0.0, userid=user, rolname=f"r{user}") for user in (1, 2)))
    now = statements(100, *(statement(10, 6000.0, userid=user, rolname=f"r{user}") for user in (1, 2)))
    [found] = judged("slow-query-share", now, before)
    assert (found.evidence["roles"], found.evidence["calls"]) == (["r1", "r2"], {"before": 0, "now": 20})


def test_one_that_is_new_counts_where_the_server_tells_since_when() -> None:
    before = statements(0)
    now = statements(100, statement(10, 50_000.0, stats_since="2026-01-01T00:00:10+00:00"))
    assert len(judged("slow-query-share", now, before)) == 1
    assert judged("slow-query-share", statements(100, statement(10, 50_000.0)), before) == []
    reset = statements(0, statement(5, 10.0, stats_since="2025-01-01T00:00:00+00:00"))
    assert judged("slow-query-share", now, reset) == []
    behind = statements(0, read_at="2026-01-01T00:00:20+00:00")  # the server's clock is ahead of the agent's
    assert judged("slow-query-share", now, behind) == []


def test_what_is_hidden_is_not_fine() -> None:
    before = statements(0, statement(1, 0.0))
    for total in ({"hidden_count": 3}, {"recording": False}, {"total_exec_time_ms": -1}):
        with pytest.raises(NotExamined):
            judged("slow-query-share", statements(100, statement(9, 50_000.0), **total), before)


def test_it_is_shown_under_what_else_is_told_of_the_statement() -> None:
    before, now = statements(0, statement(0, 0.0)), statements(100, statement(60, 90_000.0))
    told = diagnose(now, before, names=["slow-query", "slow-query-share"])
    assert [(each.id, each.because_of) for each in told.findings] == [
        ("slow-query:42", ""),
        ("slow-query-share:42", "slow-query:42"),
    ]
