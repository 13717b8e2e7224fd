"""query-regression."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Sample, checks
from pgdoctor_lib.checks.state import State
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged
from tests.checks.planting import repeating
from tests.checks.test_slow_query_share import statement, statements
from tests.postgres.server import Database
from tests.waiting import wait_for


def test_an_index_that_is_gone(database: Database, doctor: Callable[..., Doctor]) -> None:
    """The hours before are one real measurement, twelve times."""
    database.sql("CREATE TABLE t AS SELECT g AS x, repeat('x', 100) AS y FROM generate_series(1, 30000) g")
    database.sql("CREATE INDEX i ON t (x)")
    database.sql("VACUUM ANALYZE t")
    lookup = "SELECT y FROM t WHERE x = 77"
    limits = {"least_uptime_s": 0, "least_calls_count": 5, "least_mean_ms": 0.1, "least_share_percent": 0}
    regressions = doctor(database, "query-regression", **limits)
    regressions.apart_s = 1
    database.sql(lookup)
    [(queryid,)] = database.sql("SELECT queryid::text FROM pg_stat_statements WHERE query LIKE 'SELECT y FROM t%%'")
    trend = f"query:{queryid}"
    with repeating(database, lookup):
        wait_for(lambda: regressions.look() == [] and trend in regressions.state.trends, "it was not measured")
        [(when, mean)] = regressions.state.trends[trend]
        hours = [(when - 3600 * hour, mean) for hour in range(12, 0, -1)]
        regressions.state = replace(regressions.state, trends={trend: hours})
        assert regressions.look() == regressions.look() == []
        database.sql("DROP INDEX i")
        found = regressions.sick()
        assert (found.key, found.severity) == (queryid, Severity.WARNING)
        assert f"SELECT y FROM t WHERE x = $1 (queryid {queryid})" in found.summary
        assert found.evidence["usual_ms"] == mean
        database.sql("CREATE INDEX i ON t (x)")
        regressions.healthy()


def looked(calls: int, time_ms: float, points: list[float], **more: Any) -> tuple[Document, Document]:
    """Until now a call brought two rows."""
    before = statements(0, statement(100, 100.0, rows=200))
    now = statements(3600, statement(100 + calls, 100.0 + time_ms, rows=200 + more.pop("rows", calls * 2)), **more)
    now.trends = {"query:42": [(now.server_time - 3600 * (len(points) - n), mean) for n, mean in enumerate(points)]}
    return now, before


def slower(calls: int, time_ms: float, points: list[float], **more: Any) -> list[Finding]:
    now, before = looked(calls, time_ms, points, **more)
    return judged("query-regression", now, before)


def test_what_a_mean_comes_to() -> None:
    """All other statements take 360 s in that hour."""
    usual = [10.0] * 11 + [500.0]
    [found] = slower(200, 6000.0, usual)
    assert found.summary == (
        "a statement takes 30 ms on average, 3.0 times what is usual (10 ms), in 200 calls within 1 h: "
        "SELECT * FROM orders WHERE id = $1 (queryid 42)"
    )
    assert "ANALYZE the tables" in found.remedy and "EXPLAIN (ANALYZE, BUFFERS) SELECT" in found.remedy
    assert slower(200, 5980.0, usual) == []
    assert slower(200, 6000.0, usual[1:]) == []  # too few hours
    assert slower(49, 49 * 300.0, usual) == []  # too few calls
    assert slower(1000, 4900.0, [1.0] * 12) == []  # fast all the same
    assert slower(60, 60 * 30.0, usual) == []  # half a percent of the time


def test_more_rows_take_longer() -> None:
    usual = [10.0] * 12
    assert slower(200, 6000.0, usual, rows=200 * 8) == []
    assert len(slower(200, 200 * 120.0, usual, rows=200 * 8)) == 1


def test_after_a_restart_caches_are_cold() -> None:
    now, before = looked(200, 6000.0, [10.0] * 12)
    assert now.one("database")["in_recovery"] is False
    now.parts["database"].content["postmaster_start_time"] = "2026-01-01T00:30:00+00:00"  # type: ignore[index]
    with pytest.raises(NotExamined, match="started 30 min ago"):
        judged("query-regression", now, before)


def test_it_counts_the_second_time_and_what_is_measured_is_remembered() -> None:
    now, before = looked(200, 6000.0, [10.0] * 12)
    said = list(checks()["query-regression"].run(now, before, {}))
    assert [each for each in said if isinstance(each, Sample)] == [Sample("query:42", 30.0)]
    first = diagnose(now, before, State(trends=now.trends), names=["query-regression"])
    assert first.findings == ()
    assert len(diagnose(now, before, first.state, names=["query-regression"]).findings) == 1
