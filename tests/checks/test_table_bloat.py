"""table-bloat."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

MIB = 1024**2
TABLE = {
    "kind": "table",
    "schemaname": "s",
    "relname": "t",
    "size_bytes": 2048 * MIB,
    "wasted_bytes_estimate": 1024 * MIB,
    "wasted_percent_estimate": 50.0,
}


def test_a_table_of_which_most_was_deleted(database: Database, doctor: Callable[..., Doctor]) -> None:
    bloat = doctor(database, "table-bloat", warning_bytes=8 * MIB)
    database.sql("CREATE TABLE t (id int, filler text) WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 25000) g")
    database.sql("ANALYZE t")
    with_no_right = bloat.look()
    assert with_no_right == [] and "GRANT pg_read_all_data" in bloat.not_examined
    database.sql(f'GRANT SELECT ON t TO "{database.role}"')
    bloat.healthy()
    database.sql("DELETE FROM t WHERE id % 4 > 0")
    database.sql("VACUUM ANALYZE t")
    found = bloat.sick()
    assert (found.id, found.severity) == ("table-bloat:public.t", Severity.WARNING)
    assert 7 * MIB < found.evidence["wasted_bytes_estimate"] < 12 * MIB  # type: ignore[operator]
    paste(database, found.remedy)
    bloat.healthy()


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ({}, 1),
        ({"wasted_percent_estimate": 49.9}, 0),
        ({"wasted_bytes_estimate": 1024 * MIB - 1}, 0),
        ({"wasted_bytes_estimate": None, "wasted_percent_estimate": None, "unestimated_because": "not analyzed"}, 0),
        ({"kind": "index", "indexrelname": "i"}, 0),
    ],
)
def test_thresholds(row: dict[str, object], count: int) -> None:
    assert len(judged("table-bloat", planted(bloat=[{**TABLE, **row}]))) == count


def test_a_role_that_does_not_see_a_table() -> None:
    hidden = {**TABLE, "relname": "h", "wasted_bytes_estimate": None, "unestimated_because": "no privilege"}
    with pytest.raises(NotExamined, match="of h for one"):
        judged("table-bloat", planted(bloat=[hidden, {**TABLE, "wasted_percent_estimate": 10}]))
    assert len(judged("table-bloat", planted(bloat=[hidden, TABLE]))) == 1
    small = {**hidden, "size_bytes": 1023 * MIB}  # whatever it wastes is not enough
    assert judged("table-bloat", planted(bloat=[small])) == []
    assert judged("index-bloat", planted(bloat=[hidden])) == []
