"""index-invalid."""

from collections.abc import Callable

import psycopg2
import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


def test_a_unique_index_on_rows_that_are_there_twice(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql('CREATE TABLE "T" (id int PRIMARY KEY, "N" int)')
    database.sql('INSERT INTO "T" VALUES (1, 1), (2, 1), (3, NULL), (4, NULL)')
    indexes = doctor(database, "index-invalid")
    indexes.healthy()
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.sql('CREATE UNIQUE INDEX CONCURRENTLY "X" ON "T" ("N")')
    found = indexes.sick()
    assert (found.id, found.severity) == ("index-invalid:public.X", Severity.WARNING)
    doubles = found.remedy.partition("-- SELECT")[2].partition("\n")[0]
    assert database.sql(f"SELECT{doubles}") == [(1, 2)]
    paste(database, found.remedy)  # without a look at the rows: nothing is left behind
    indexes.healthy()
    database.sql('DELETE FROM "T" WHERE id = 2')
    database.sql("CREATE UNIQUE INDEX CONCURRENTLY" + found.remedy.partition("CREATE UNIQUE INDEX CONCURRENTLY")[2])
    indexes.healthy()
    assert database.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = '\"X\"'::regclass") == [(True,)]


def test_one_that_cannot_be_dropped(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (n int CONSTRAINT x_ccnew UNIQUE)")
    database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'x_ccnew'::regclass")
    indexes = doctor(database, "index-invalid")
    found = indexes.sick()
    assert "DROP" not in found.remedy
    database.sql(found.remedy.partition("-- REINDEX")[1].removeprefix("-- ") + found.remedy.partition("-- REINDEX")[2])
    indexes.healthy()


def test_what_an_interrupted_reindex_leaves(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (n int); CREATE INDEX x ON t (n); CREATE INDEX x_ccnew1 ON t (n)")
    database.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'x_ccnew1'::regclass")
    indexes = doctor(database, "index-invalid")
    found = indexes.sick()
    assert (found.id, found.severity) == ("index-invalid:public.x_ccnew1", Severity.WARNING)
    paste(database, found.remedy)
    indexes.healthy()


def test_a_partitioned_index_of_which_not_all_parts_are_there(
    database: Database, doctor: Callable[..., Doctor]
) -> None:
    database.sql("CREATE TABLE root (n int) PARTITION BY RANGE (n); CREATE TABLE part PARTITION OF root DEFAULT")
    database.sql("CREATE INDEX x ON ONLY root (n)")
    assert database.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'x'::regclass") == [(False,)]
    indexes = doctor(database, "index-invalid")
    for _ in range(2):
        indexes.healthy()


INDEX = {"relid": 7, "schemaname": "s", "relname": "t", "indexrelname": "x", "relkind": "i", "indisvalid": False}


@pytest.mark.parametrize(
    ("row", "running", "count"),
    [
        (INDEX, [], 1),
        ({**INDEX, "indisvalid": True}, [], 0),
        ({**INDEX, "indisvalid": None}, [], 0),
        ({**INDEX, "is_building": True}, [], 0),
        (INDEX, [{"relid": 7, "index_relid": 8, "datname": "app"}], 0),  # REINDEX TABLE CONCURRENTLY, at another one
        (INDEX, [{"relid": 7, "index_relid": 8, "datname": "other"}], 1),
        (INDEX, [{"relid": 7, "index_relid": None, "datname": "app"}], 1),  # ANALYZE
        ({**INDEX, "relkind": "I"}, [], 0),
    ],
)
def test_an_index_that_is_being_built(row: dict[str, object], running: list[dict[str, object]], count: int) -> None:
    now = planted(indexes=[row], progress=running)
    now.db_name = "app"
    assert [each.severity for each in judged("index-invalid", now)] == [Severity.WARNING] * count


UNIQUE = {**INDEX, "indisunique": True, "columns": ["a"], "definition": "CREATE UNIQUE INDEX x ON s.t USING btree (a)"}


@pytest.mark.parametrize(
    ("more", "looks", "builds"),
    [
        ({}, True, True),
        ({"is_partial": True}, False, True),  # its condition is not known
        ({"has_expressions": True}, False, True),
        (
            {"columns": ["a", "b"], "definition": "CREATE UNIQUE INDEX x ON s.t USING btree (a) INCLUDE (b)"},
            False,
            True,
        ),
        ({"definition": None}, True, False),
        ({"definition": "CREATE UNIQUE INDEX x ON s.t USING btree (a)" + "," * 456}, True, False),  # it goes on
    ],
)
def test_a_unique_one(more: dict[str, object], looks: bool, builds: bool) -> None:
    [found] = judged("index-invalid", planted(indexes=[{**UNIQUE, **more}]))
    assert ("-- SELECT a, count(*) FROM s.t WHERE (a) IS NOT NULL GROUP BY a" in found.remedy) is looks
    assert ("-- CREATE UNIQUE INDEX CONCURRENTLY x ON s.t USING btree (a)" in found.remedy) is builds
    assert "\nDROP INDEX CONCURRENTLY s.x;\n" in found.remedy


def test_a_drop_that_did_not_end() -> None:
    [found] = judged("index-invalid", planted(indexes=[{**INDEX, "indislive": False, "indisunique": True}]))
    assert found.remedy == "DROP INDEX CONCURRENTLY s.x;\n"


def test_a_locked_one_says_why_there_is_no_definition() -> None:
    [held] = judged("index-invalid", planted(indexes=[{**INDEX, "definition": None, "locked": True}], progress=[]))
    [free] = judged(
        "index-invalid", planted(indexes=[{**INDEX, "definition": "CREATE INDEX", "locked": False}], progress=[])
    )
    assert (held.evidence["locked"], free.evidence["locked"]) == (True, None)
