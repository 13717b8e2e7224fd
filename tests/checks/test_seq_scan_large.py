"""seq-scan-large."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Database

MIB = 1024**2
WANTED = "DO $$ BEGIN FOR i IN 1..60 LOOP PERFORM FROM t WHERE n = i; END LOOP; END $$"
TABLE = {
    "relid": 7,
    "schemaname": "s",
    "relname": "t",
    "relkind": "r",
    "reltuples": 100_000,
    "table_size_bytes": 100 * MIB,
    "seq_scan": 1000,
    "seq_tup_read": 5_000_000_000,
    "idx_scan": 7,
}


def test_a_filter_without_an_index(database: Database, doctor: Callable[..., Doctor]) -> None:
    scans = doctor(database, "seq-scan-large", least_row_count=10_000, least_bytes=MIB)
    scans.apart_s = 60
    database.sql("CREATE TABLE t AS SELECT g AS n, repeat('x', 100) AS filler FROM generate_series(1, 10000) g")
    database.sql("VACUUM ANALYZE t")
    scans.healthy()
    database.sql(WANTED)
    found = scans.sick()
    assert (found.id, found.severity) == ("seq-scan-large:public.t", Severity.WARNING)
    assert "60 times" in found.summary
    [which, create] = found.remedy.split(";\n", 1)
    assert "FROM t WHERE n" in str(database.sql(which))
    scans.healthy()
    [index] = [line for line in create.splitlines() if "CREATE INDEX" in line]
    database.sql(index.removeprefix("-- ").replace("…", "n"))
    database.sql(WANTED)
    assert "Index" in str(database.sql("EXPLAIN SELECT FROM t WHERE n = 1"))
    scans.healthy()


def _judged(
    *, seconds: float = 3600, scans: float = 50, read: float = 50, by_index: float = 0, **row: object
) -> list[Finding]:
    was = {**TABLE, **row}
    now = {
        **was,
        "seq_scan": 1000 + scans,
        "seq_tup_read": 5_000_000_000 + read * 100_000,
        "idx_scan": 7 + by_index,
    }
    return judged("seq-scan-large", planted(seconds, tables=[now]), planted(tables=[was]))


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ({}, 1),
        ({"scans": 49}, 0),
        ({"seconds": 60}, 1),
        ({"seconds": 7200}, 0),
        ({"read": 49}, 0),
        ({"scans": 5000, "read": 1}, 0),  # LIMIT 1
        ({"scans": 150}, 1),  # by three processes each
        ({"by_index": 949}, 1),
        ({"by_index": 950}, 0),
        ({"reltuples": 99_999, "read": 60}, 0),  # a queue
        ({"table_size_bytes": 100 * MIB - 1}, 0),
        ({"relispartition": True}, 0),
        ({"is_extension_member": True}, 0),
    ],
)
def test_thresholds(what: dict[str, object], count: int) -> None:
    assert len(_judged(**what)) == count  # type: ignore[arg-type]


def test_counters_that_were_reset_tell_nothing() -> None:
    assert _judged(scans=-1) == []
