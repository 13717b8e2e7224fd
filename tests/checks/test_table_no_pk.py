"""table-no-pk."""

import re
from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.hostile import statements
from tests.postgres.server import Database


def test_a_table_without_a_key(database: Database, doctor: Callable[..., Doctor]) -> None:
    tables = doctor(database, "table-no-pk")
    database.sql("CREATE TABLE few AS SELECT 1 AS n; CREATE UNLOGGED TABLE u AS SELECT generate_series(1, 1000) AS n")
    tables.healthy()
    database.sql('CREATE TABLE "T" AS SELECT generate_series(1, 1000) AS n')
    database.sql('ANALYZE "T"; ANALYZE u')
    found = tables.sick()
    assert (found.id, found.severity) == ("table-no-pk:public.T", Severity.INFO)
    assert statements(found.remedy) == []  # for an info nobody is locked out
    paste(database, uncommented(found.remedy, "ADD COLUMN"))
    tables.healthy()


KEYS = ["UNIQUE INDEX k ON t (b, a)", "UNIQUE INDEX k ON t (a) INCLUDE (c)", "UNIQUE INDEX k ON t (x)"]


@pytest.mark.parametrize("index", KEYS)
def test_an_index_that_can_be_the_key(database: Database, doctor: Callable[..., Doctor], index: str) -> None:
    database.sql("CREATE TABLE t (id text, a int NOT NULL, b bigint NOT NULL, c int, x text NOT NULL)")
    database.sql("INSERT INTO t SELECT 'x', g, g, NULL, g FROM generate_series(1, 1000) g; ANALYZE t")
    tables = doctor(database, "table-no-pk")
    assert "ADD COLUMN row_id bigint" in tables.sick().remedy
    for other in ("t (c)", "t (a) WHERE a > 1", "t (a, c)", "t ((a + 1))"):
        database.sql(f"CREATE UNIQUE INDEX ON {other}")
    assert statements(tables.sick().remedy) == []
    database.sql(f"CREATE {index}")
    paste(database, tables.sick().remedy)
    tables.healthy()
    assert database.sql("SELECT 1 FROM pg_constraint WHERE contype = 'p' AND conname = 'k'")


@pytest.mark.parametrize("sql", ["ALTER TABLE t ADD UNIQUE (a)", "CREATE UNIQUE INDEX ON t (a DESC)"])
def test_columns_whose_index_cannot_be_the_key(database: Database, doctor: Callable[..., Doctor], sql: str) -> None:
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS a; ALTER TABLE t ALTER a SET NOT NULL")
    database.sql(f"{sql}; ANALYZE t")
    tables = doctor(database, "table-no-pk")
    remedy = tables.sick().remedy
    assert statements(remedy) == []
    paste(database, uncommented(remedy, "(a) tells", "USING INDEX"))
    tables.healthy()


@pytest.mark.parametrize("unique", [True, False])
def test_a_partitioned_table(database: Database, doctor: Callable[..., Doctor], unique: bool) -> None:
    database.sql("CREATE TABLE t (id text, n int NOT NULL) PARTITION BY RANGE (n)")
    database.sql("CREATE TABLE a PARTITION OF t FOR VALUES FROM (0) TO (500); CREATE TABLE b PARTITION OF t DEFAULT")
    database.sql("INSERT INTO t SELECT 'x', g FROM generate_series(1, 1000) g")
    if unique:
        database.sql("CREATE UNIQUE INDEX ON t (n)")
    database.sql("ANALYZE t; ANALYZE a; ANALYZE b")
    tables = doctor(database, "table-no-pk")
    remedy = tables.sick().remedy
    assert statements(remedy) == []
    paste(database, uncommented(remedy, *(["ADD PRIMARY KEY (n)"] if unique else ["bigserial", "(columns, row_id)"])))
    tables.healthy()


def uncommented(remedy: str, *chosen: str) -> str:
    """The statements of the lines that have one of these, as somebody would choose them."""
    lines = [line for line in remedy.splitlines() if any(each in line for each in chosen)]
    return "\n".join(re.sub("^-- .*?(?=ALTER|CREATE)", "", line).replace("columns", "n") for line in lines)


def test_a_table_that_is_published(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t AS SELECT 1 AS n; CREATE TABLE with_key (id int PRIMARY KEY)")
    database.sql("CREATE PUBLICATION p FOR TABLE t, with_key")
    tables = doctor(database, "table-no-pk")
    found = tables.sick()
    assert (found.id, found.severity) == ("table-no-pk:public.t", Severity.WARNING)
    paste(database, found.remedy)
    tables.healthy()
    database.sql("UPDATE t SET n = 2")


TABLE = {
    "schemaname": "s",
    "relname": "t",
    "relkind": "r",
    "relpersistence": "p",
    "has_primary_key": False,
    "reltuples": 1_000,
}
PUBLICATION = {"pubname": "p", "without_identity": [{"schemaname": "s", "relname": "t"}]}


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 1),
        ({"reltuples": 999}, 0),
        ({"reltuples": 999, "n_live_tup": 1_998}, 0),  # as 12 counts them right after ANALYZE
        ({"reltuples": None, "n_live_tup": 1_000}, 1),
        ({"reltuples": None}, 0),
        ({"has_primary_key": True}, 0),
        ({"relkind": "p"}, 1),
        ({"relkind": "m"}, 0),
        ({"relispartition": True}, 0),
        ({"relpersistence": "u"}, 0),
        ({"is_extension_member": True}, 0),
    ],
)
def test_what_is_told(more: dict[str, object], count: int) -> None:
    found = judged("table-no-pk", planted(tables=[{**TABLE, **more}], publications=[]))
    assert [each.severity for each in found] == [Severity.INFO] * count
    found = judged("table-no-pk", planted(tables=[{**TABLE, **more}], publications=[PUBLICATION]))
    assert [each.severity for each in found] == [Severity.WARNING]
