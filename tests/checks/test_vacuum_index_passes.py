"""vacuum-index-passes."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import running
from tests.postgres.server import Database, Server

GIB = 1024**3
PASSED = "SELECT 1 FROM pg_stat_progress_vacuum WHERE pid = %s AND index_vacuum_count >= 1 AND phase = 'scanning heap'"
RUNS = "SELECT 1 FROM pg_stat_progress_vacuum WHERE pid = %s AND phase = 'scanning heap' AND heap_blks_scanned > 5"
ROW = {"command": "VACUUM", "relid": 7, "schemaname": "s", "relname": "t", "heap_blks_total": 131072}


@pytest.mark.parametrize("major", [12, 18])
def test_a_vacuum_that_goes_through_the_indexes_again(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, autovacuum="off")
    server.sql(f"ALTER SYSTEM SET maintenance_work_mem = '{'64kB' if major >= 17 else '1MB'}'")
    server.sql("SELECT pg_reload_conf()")
    server.sql("ALTER DATABASE postgres SET vacuum_cost_delay = '20ms'")
    rows, fillfactor = (400_000, 100) if major < 17 else (100_000, 10)  # from 17 on it is pages that count
    server.sql(f"CREATE TABLE t (x int) WITH (autovacuum_enabled = off, fillfactor = {fillfactor})")
    server.sql("CREATE INDEX ON t (x)")
    database = Database(server, "postgres", "postgres", "")
    passes = doctor(server, "vacuum-index-passes", least_bytes=1)
    passes.healthy()
    server.sql(f"INSERT INTO t SELECT g FROM generate_series(1, {rows}) g")
    server.sql("DELETE FROM t")
    with running(database, "VACUUM t", PASSED):
        found = passes.sick()
        assert (found.id, found.severity) == ("vacuum-index-passes:public.t", Severity.WARNING)
        paste(server, found.remedy)
    with running(database, "VACUUM t", RUNS):
        passes.healthy()


def told(setting: str = "65536", *, own: str = "-1", **row: object) -> list[Finding]:
    settings = [{"name": "maintenance_work_mem", "setting": setting}, {"name": "autovacuum_work_mem", "setting": own}]
    return judged("vacuum-index-passes", planted(progress=[{**ROW, **row}], settings=settings, server={}))


def test_one_pass_is_as_it_should_be() -> None:
    for count, phase, found in (
        (0, "scanning heap", 0),
        (0, "vacuuming indexes", 0),
        (1, "vacuuming heap", 0),
        (1, "cleaning up indexes", 0),
        (1, "scanning heap", 1),
        (1, "vacuuming indexes", 1),
        (2, "vacuuming heap", 1),
    ):
        assert len(told(index_vacuum_count=count, phase=phase)) == found, (count, phase)
    twice = {"index_vacuum_count": 2, "phase": "vacuuming heap"}
    assert told(heap_blks_total=131071, **twice) == []
    assert told(command="CLUSTER", **twice) == []
    assert told("1048576", **twice) == [], "it takes no more"


def test_whose_memory_it_is() -> None:
    twice = {"index_vacuum_count": 2, "phase": "vacuuming heap"}
    [found] = told("131072", **twice)
    assert found.remedy.startswith("ALTER SYSTEM SET maintenance_work_mem = '512MB';\n")
    [found] = told("131072", max_dead_tuple_bytes=64 * 1024**2, max_dead_tuples=None, **twice)
    assert "its memory of 64.0 MiB" in found.summary
    assert "\nSET maintenance_work_mem = '256MB';\n" in found.remedy and "ALTER SYSTEM" not in found.remedy
    [found] = told("131072", is_autovacuum=True, own="65536", **twice)
    assert found.remedy.startswith("ALTER SYSTEM SET autovacuum_work_mem = '256MB';\n")
    [found] = told("131072", is_autovacuum=True, relname=None, datname="shop", **twice)
    assert found.key == "table 7 in shop"
    assert "autovacuum of table 7 in shop" in found.summary
