"""stats-stale."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database
from tests.waiting import wait_for

DAY = 86400


def test_a_table_that_changed_since_it_was_analyzed(database: Database, doctor: Callable[..., Doctor]) -> None:
    stale = doctor(database, "stats-stale", warning_s=0, lasting_s=0)
    database.sql("CREATE TABLE t (n int) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT generate_series(1, 10000)")
    found = stale.sick()
    assert (found.id, found.severity) == ("stats-stale:public.t", Severity.WARNING)
    assert "never analyzed" in found.summary
    paste(database, found.remedy)
    stale.healthy()
    database.sql("UPDATE t SET n = n + 1")
    database.sql("UPDATE t SET n = n + 1 WHERE n < 1000")
    found = stale.sick()
    assert (found.id, found.severity) == ("stats-stale:public.t", Severity.WARNING)
    assert "rows have changed since" in found.summary
    paste(database, found.remedy)
    stale.healthy()


def test_a_table_that_the_role_may_not_read(database: Database, doctor: Callable[..., Doctor]) -> None:
    """VACUUM has set reltuples: whether pg_stats has anything of it is hidden."""
    stale = doctor(database, "stats-stale")
    database.sql("CREATE TABLE t (n int) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT generate_series(1, 10000)")
    database.sql("VACUUM t")
    found = stale.sick()
    assert "no ANALYZE that is known" in found.summary
    paste(database, found.remedy)
    stale.healthy()


@pytest.mark.pg(">= 14")
def test_a_partitioned_table(database: Database, doctor: Callable[..., Doctor]) -> None:
    stale = doctor(database, "stats-stale")
    database.sql("CREATE TABLE root (n int) PARTITION BY RANGE (n)")
    database.sql("CREATE TABLE part PARTITION OF root DEFAULT")
    database.sql("INSERT INTO root SELECT generate_series(1, 10000)")
    database.sql("ANALYZE part")
    found = stale.sick()
    assert (found.id, found.severity) == ("stats-stale:public.root", Severity.INFO)
    paste(database, found.remedy)
    stale.healthy()


TABLE = {"relid": 7, "schemaname": "s", "relname": "t", "relkind": "r", "n_live_tup": 20_000, "column_count": 2}
STALE = {**TABLE, "never_analyzed": False, "last_analyze_age_s": DAY, "n_mod_since_analyze": 10_000}
NEVER = {**TABLE, "never_analyzed": True, "n_live_tup": 10_000}


def _judged(row: dict[str, object], **sections: object) -> list[Finding]:
    return judged("stats-stale", planted(statistics=[row], **sections), lasting_s=0)


@pytest.mark.parametrize(
    ("row", "count"),
    [
        (STALE, 1),
        ({**STALE, "n_live_tup": 20_001}, 0),
        ({**STALE, "reltuples": 30_000}, 0),
        ({**STALE, "n_live_tup": 100, "n_mod_since_analyze": 9_999}, 0),
        ({**STALE, "last_analyze_age_s": DAY - 1}, 0),  # just loaded
        ({**STALE, "last_analyze_age_s": None, "never_analyzed": None}, 1),  # since the counters began
        ({**STALE, "columns_with_target_0": 2}, 0),
        (NEVER, 1),
        ({**NEVER, "n_live_tup": 9_999}, 0),
        ({**NEVER, "never_analyzed": None}, 0),  # after a reset nobody knows
        ({**NEVER, "columns_with_target_0": 1}, 1),
        ({**NEVER, "columns_with_target_0": 2}, 0),
    ],
)
def test_thresholds(row: dict[str, object], count: int) -> None:
    assert [each.severity for each in _judged(row)] == [Severity.WARNING] * count


@pytest.mark.parametrize(("rows", "count"), [(9_999, 0), (10_000, 1)])
def test_a_partitioned_table_is_as_large_as_its_partitions(rows: int, count: int) -> None:
    tree = {**NEVER, "relkind": "p", "n_live_tup": 0}
    found = _judged(tree, tables=[{"relid": 7, "relkind": "p", "n_live_tup": rows}])
    assert [each.severity for each in found] == [Severity.INFO] * count
    assert _judged(tree) == []


def test_what_is_found_but_once_is_not_told(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (n int) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT generate_series(1, 10000)")
    stale = doctor(database, "stats-stale")
    assert wait_for(lambda: stale.look() or stale.state.watched, "t is not seen") is stale.state.watched
    assert [each.key for each in stale.look()] == ["public.t"]


def test_a_table_that_was_just_loaded_is_but_worth_knowing() -> None:
    now = planted(statistics=[NEVER])
    for seen_for, severity in ((0, Severity.INFO), (599, Severity.INFO), (600, Severity.WARNING)):
        now.since = {"stats-stale:s.t": now.server_time - seen_for}
        [found] = judged("stats-stale", now)
        assert found.severity is severity
