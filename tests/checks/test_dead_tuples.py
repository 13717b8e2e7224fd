"""dead-tuples."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

MB = 1024**2
TABLE = {
    "relid": 7,
    "schemaname": "s",
    "relname": "t",
    "relkind": "r",
    "n_dead_tup": 10_000,
    "n_live_tup": 40_000,
    "table_size_bytes": 100 * MB,
}


def test_a_table_half_of_which_was_deleted(database: Database, doctor: Callable[..., Doctor]) -> None:
    dead = doctor(database, "dead-tuples", least_bytes=100_000)
    database.sql("CREATE TABLE t (n int) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT generate_series(1, 25000)")
    database.sql("VACUUM ANALYZE t")
    dead.healthy()
    database.sql("DELETE FROM t WHERE n % 2 = 0")
    found = dead.sick()
    assert (found.id, found.severity) == ("dead-tuples:public.t", Severity.WARNING)
    assert "50 % dead rows (12,500," in found.summary
    paste(database, found.remedy)
    dead.healthy()


def _at(row: dict[str, object], **sections: object) -> Document:
    return planted(tables=[{**TABLE, **row}], **sections)


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ({}, 1),
        ({"n_live_tup": 40_001}, 0),
        ({"n_dead_tup": 9_999, "n_live_tup": 0}, 0),
        ({"table_size_bytes": 100 * MB - 1}, 0),
        ({"relkind": "p"}, 0),  # its partitions tell
        ({"is_extension_member": True}, 0),
        ({"n_dead_tup": None, "n_live_tup": None}, 0),  # a standby
    ],
)
def test_thresholds(row: dict[str, object], count: int) -> None:
    assert len(judged("dead-tuples", _at(row))) == count


@pytest.mark.parametrize(("threshold", "count"), [(9_999, 1), (10_000, 0)])
def test_a_table_that_autovacuum_is_not_yet_called_to(threshold: int, count: int) -> None:
    toast = {"relid": 7, "relkind": "t", "vacuum_threshold": 50_000}
    now = _at({}, vacuum=[{"relid": 7, "relkind": "r", "vacuum_threshold": threshold}, toast])
    assert len(judged("dead-tuples", now)) == count


def test_a_table_that_is_being_vacuumed() -> None:
    now = _at({}, progress=[{"command": "VACUUM", "relid": 7, "datname": "app"}])
    now.db_name = "app"
    assert judged("dead-tuples", now) == []
    now.db_name = "another"
    assert len(judged("dead-tuples", now)) == 1
