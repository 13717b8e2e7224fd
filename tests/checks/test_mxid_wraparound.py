"""mxid-wraparound."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

MILLION = 1_000_000
DAY = 86400.0
LOCK_AND_UPDATE = """DO $$ BEGIN FOR i IN 1..10100 LOOP
  PERFORM FROM t WHERE k = i FOR KEY SHARE;
  BEGIN UPDATE t SET n = 1 WHERE k = i; EXCEPTION WHEN others THEN RAISE; END;
END LOOP; END $$"""  # a transaction and its subtransaction: two multixacts a row


@pytest.mark.parametrize("major", [12, 18])
def test_a_database_whose_multixacts_a_lock_holds(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, autovacuum_multixact_freeze_max_age=10_000, autovacuum_naptime="1s")
    server.sql("CREATE TABLE t (k int PRIMARY KEY, n int)")
    server.sql("INSERT INTO t SELECT g, 0 FROM generate_series(1, 10100) g")
    server.sql("CREATE TABLE held AS SELECT 1 AS n")
    wraparound = doctor(server, "mxid-wraparound")
    wraparound.healthy()
    holder = server.connect()
    holder.cursor().execute("BEGIN; SELECT FROM held FOR SHARE")
    server.sql(LOCK_AND_UPDATE)
    found = wraparound.sick()
    assert (found.id, found.severity) == ("mxid-wraparound", Severity.WARNING)
    assert "2 and 4 × autovacuum_multixact_freeze_max_age (10,000)" in found.threshold
    assert found.evidence["databases"]["postgres"] > 20_000  # type: ignore[index]
    holder.close()
    paste(server, found.remedy)
    server.sql("VACUUM", dbname="template1")  # or autovacuum does
    wraparound.healthy()


@pytest.mark.parametrize(
    ("age", "failsafe", "severity"),
    [
        (401, 1600, None),  # the normal sawtooth
        (799, 1600, None),
        (800, 1600, Severity.WARNING),
        (1599, 1600, Severity.WARNING),
        (1600, None, Severity.CRITICAL),
        (1000, 1000, Severity.CRITICAL),
        (2**31 // MILLION, 1600, Severity.CRITICAL),
    ],
)
def test_thresholds(age: int, failsafe: int | None, severity: Severity | None) -> None:
    settings = [{"name": "autovacuum_multixact_freeze_max_age", "setting": str(400 * MILLION)}]
    if failsafe:
        settings.append({"name": "vacuum_multixact_failsafe_age", "setting": str(failsafe * MILLION)})
    now = planted(databases=[{"datname": "app", "datminmxid_age": age * MILLION}], settings=settings)
    assert [each.severity for each in judged("mxid-wraparound", now)] == ([severity] if severity else [])


def test_days_left_are_by_what_it_grew_since_it_was_last_frozen() -> None:
    settings = [{"name": "autovacuum_multixact_freeze_max_age", "setting": str(400 * MILLION)}]
    now = planted(databases=[{"datname": "app", "datminmxid_age": 900 * MILLION}], settings=settings)
    ages = [2_000.0, 700.0, 800.0]
    now.trends = {"mxid-wraparound:age": [(now.server_time + (n - 3) * DAY, a * MILLION) for n, a in enumerate(ages)]}
    days = judged("mxid-wraparound", now)[0].days_left
    assert days == pytest.approx((2**31 - 3 * MILLION - 900 * MILLION) / (100 * MILLION))
