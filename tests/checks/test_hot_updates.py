"""hot-updates."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

ROW = {"relid": 1, "schemaname": "s", "relname": "t", "relkind": "r", "reltuples": 1_000_000, "index_count": 3}


def test_pages_without_room(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (x int PRIMARY KEY, y int)")
    database.sql("INSERT INTO t SELECT g, 0 FROM generate_series(1, 5000) g")
    database.sql("ANALYZE t")
    hot = doctor(database, "hot-updates", least_hourly_count=100, least_row_count=1000)
    hot.apart_s = 1
    hot.healthy()
    database.sql("UPDATE t SET y = y + 1")
    found = hot.sick()
    assert (found.id, found.severity) == ("hot-updates:public.t", Severity.INFO)
    paste(database, found.remedy)
    database.sql("ALTER TABLE t SET (fillfactor = 40)")  # all rows at once want more than a tenth
    database.sql("VACUUM FULL t")
    hot.healthy()
    database.sql("UPDATE t SET y = y + 1")
    hot.healthy()


def told(updates: int, hot: int, seconds: float = 3600, **more: Any) -> list[Finding]:
    before = planted(tables=[{**ROW, **more, "n_tup_upd": 0, "n_tup_hot_upd": 0}])
    now = planted(seconds, tables=[{**ROW, **more, "n_tup_upd": updates, "n_tup_hot_upd": hot}])
    return judged("hot-updates", now, before)


@pytest.mark.parametrize(
    ("updates", "hot", "more", "count"),
    [
        (50_000, 24_999, {}, 1),
        (50_000, 25_000, {}, 0),
        (49_999, 0, {}, 0),
        (50_000, 0, {"seconds": 7200}, 0),
        (50_000, 0, {"reltuples": 999_999}, 0),
        (50_000, 0, {"index_count": 0}, 0),
        (50_000, 0, {"relispartition": True}, 0),
        (50_000, 0, {"is_extension_member": True}, 0),
        (0, 0, {}, 0),
    ],
)
def test_what_a_share_comes_to(updates: int, hot: int, more: dict[str, Any], count: int) -> None:
    assert len(told(updates, hot, **more)) == count


def test_of_a_partitioned_table_the_partitions_have_the_room() -> None:
    [found] = told(60_000, 0, relkind="p")
    assert "-- for each partition: ALTER TABLE s.t SET" in found.remedy
