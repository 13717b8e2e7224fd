"""index-bloat."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

MIB = 1024**2
INDEX = {
    "kind": "index",
    "schemaname": "s",
    "relname": "t",
    "indexrelname": "i",
    "size_bytes": 200 * MIB,
    "wasted_bytes_estimate": 140 * MIB,
    "wasted_percent_estimate": 70.0,
}


def test_an_index_of_which_most_was_deleted(database: Database, doctor: Callable[..., Doctor]) -> None:
    bloat = doctor(database, "index-bloat", least_bytes=10 * MIB)
    database.sql(
        "CREATE TABLE t WITH (autovacuum_enabled = off) AS "
        "SELECT g, md5(g::text) AS k FROM generate_series(1, 200000) g"
    )
    database.sql('CREATE INDEX "by key" ON t (k)')
    database.sql(f'GRANT SELECT ON t TO "{database.role}"')
    database.sql("ANALYZE t")
    bloat.healthy()
    database.sql("DELETE FROM t WHERE g % 10 > 0")
    database.sql("VACUUM ANALYZE t")
    found = bloat.sick()
    assert (found.id, found.severity) == ("index-bloat:public.by key", Severity.WARNING)
    paste(database, found.remedy)
    bloat.healthy()


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ({}, 1),
        ({"wasted_percent_estimate": 69.9}, 0),
        ({"size_bytes": 200 * MIB - 1}, 0),
        ({"size_bytes": 4096 * MIB, "wasted_bytes_estimate": 2048 * MIB, "wasted_percent_estimate": 50.0}, 1),
        ({"size_bytes": 4096 * MIB, "wasted_bytes_estimate": 2047 * MIB, "wasted_percent_estimate": 50.0}, 0),
        ({"size_bytes": 9000 * MIB, "wasted_bytes_estimate": 2700 * MIB, "wasted_percent_estimate": 30.0}, 0),  # random
        ({"wasted_bytes_estimate": None, "wasted_percent_estimate": None}, 0),
        ({"kind": "table"}, 0),
    ],
)
def test_thresholds(row: dict[str, object], count: int) -> None:
    assert len(judged("index-bloat", planted(bloat=[{**INDEX, **row}]))) == count
