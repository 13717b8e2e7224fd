"""slow-query."""

from collections.abc import Callable

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged
from tests.checks.test_slow_query_share import statement, statements
from tests.postgres.server import Database


def test_one_that_is_slow_and_runs_often(database: Database, doctor: Callable[..., Doctor]) -> None:
    slow = "SELECT pg_sleep(0.006) AS slow"
    database.sql(slow)
    queries = doctor(database, "slow-query", warning_mean_ms=5)
    queries.apart_s = 1
    queries.healthy()
    connection = database.server.connect(database.name)
    with connection.cursor() as cursor:
        for _ in range(50):
            cursor.execute(slow)
    connection.close()
    found = queries.sick()
    [(queryid,)] = database.sql("SELECT queryid::text FROM pg_stat_statements WHERE query LIKE '%AS slow'")
    assert (found.key, found.severity) == (queryid, Severity.WARNING)
    assert "ran 50 times within " in found.summary
    assert found.summary.endswith(f": SELECT pg_sleep($1) AS slow (queryid {queryid})")
    queries.healthy()  # once it runs no more


def test_what_a_mean_comes_to() -> None:
    def within_an_hour(calls: int, time_ms: float, text: str = "SELECT 1") -> list[str]:
        before = statements(0, statement(7, 7.0, query=text))
        now = statements(3600, statement(7 + calls, 7.0 + time_ms, query=text))
        return [each.severity.word for each in judged("slow-query", now, before)]

    assert within_an_hour(50, 49_999.0) == []
    assert within_an_hour(50, 50_000.0) == ["warning"]
    assert within_an_hour(49, 500_000.0) == []
    assert within_an_hour(50, 50_000.0, "REFRESH MATERIALIZED VIEW v") == []
