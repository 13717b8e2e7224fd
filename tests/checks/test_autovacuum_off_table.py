"""autovacuum-off-table."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


@pytest.mark.parametrize("word", ["false", "off", "0"])
def test_off_for_a_table(database: Database, doctor: Callable[..., Doctor], word: str) -> None:
    off = doctor(database, "autovacuum-off-table", least_row_count=50)
    database.sql("CREATE TABLE small WITH (autovacuum_enabled = off) AS SELECT 1 AS n")
    database.sql('CREATE TABLE "Order" AS SELECT g FROM generate_series(1, 60) g')
    database.sql('ANALYZE "Order"')
    off.healthy()
    database.sql(f'ALTER TABLE "Order" SET (autovacuum_enabled = {word})')
    found = off.sick()
    assert (found.id, found.severity) == ("autovacuum-off-table:public.Order", Severity.WARNING)
    paste(database, found.remedy)
    off.healthy()


def test_off_for_a_partition(database: Database, doctor: Callable[..., Doctor]) -> None:
    off = doctor(database, "autovacuum-off-table", least_row_count=50)
    database.sql("CREATE TABLE root (n int) PARTITION BY RANGE (n)")
    database.sql("CREATE TABLE part PARTITION OF root DEFAULT WITH (autovacuum_enabled = off)")
    database.sql("INSERT INTO root SELECT g FROM generate_series(1, 60) g")
    database.sql("ANALYZE root")
    found = off.sick()
    assert found.key == "public.root"
    [(statement,)] = database.sql(found.remedy)
    paste(database, statement)
    off.healthy()


def test_what_is_told_of_a_table() -> None:
    table = {"schemaname": "s", "relname": "t", "autovacuum_enabled": False, "reltuples": 10_000}
    hour_ago, yesterday = "2025-12-31T23:00:00+00:00", "2025-12-30T23:59:59+00:00"
    for more, count in (
        ({}, 1),
        ({"reltuples": 9_999}, 0),
        ({"reltuples": None, "n_live_tup": 10_000}, 1),
        ({"autovacuum_enabled": True}, 0),
        ({"autovacuum_enabled": None}, 0),
        ({"last_vacuum": hour_ago}, 0),  # a job does it
        ({"last_vacuum": yesterday}, 1),
        ({"last_autovacuum": hour_ago}, 1),
        ({"is_extension_member": True}, 0),
        ({"relispartition": True}, 0),  # its root tells
    ):
        assert len(judged("autovacuum-off-table", planted(tables=[{**table, **more}]))) == count, more
