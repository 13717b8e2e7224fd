"""index-duplicate."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

MB = 1024**2


def test_an_index_that_is_there_twice(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql('CREATE TABLE "T" (id int PRIMARY KEY, n int, s text)')
    database.sql('CREATE INDEX x ON "T" (n)')
    database.sql(
        'CREATE INDEX ON "T" (n DESC); CREATE INDEX ON "T" (n) INCLUDE (s); CREATE INDEX ON "T" (n) WHERE n > 1'
    )
    database.sql(
        'CREATE INDEX ON "T" (s); CREATE INDEX ON "T" (s text_pattern_ops); CREATE INDEX ON "T" USING hash (s)'
    )
    indexes = doctor(database, "index-duplicate")
    indexes.healthy()
    database.sql('CREATE INDEX "Again" ON "T" (n)')
    found = indexes.sick()
    assert (found.id, found.severity) == ("index-duplicate:public.Again", Severity.WARNING)
    paste(database, found.remedy)
    indexes.healthy()


def test_a_constraint_that_is_there_twice(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t ADD CONSTRAINT again UNIQUE (id)")
    indexes = doctor(database, "index-duplicate")
    found = indexes.sick()
    assert (found.id, found.severity) == ("index-duplicate:public.again", Severity.WARNING)
    paste(database, found.remedy)
    indexes.healthy()


def test_an_index_of_a_partitioned_table(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE root (n int) PARTITION BY RANGE (n); CREATE TABLE part PARTITION OF root DEFAULT")
    database.sql("CREATE INDEX x ON root (n); CREATE INDEX again ON root (n)")
    indexes = doctor(database, "index-duplicate")
    found = indexes.sick()
    assert (found.id, found.severity) == ("index-duplicate:public.again", Severity.WARNING)
    paste(database, found.remedy)
    indexes.healthy()


def test_the_beginning_of_another_one(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (a int, b int); CREATE INDEX short ON t (a); CREATE UNIQUE INDEX sole ON t (b)")
    indexes = doctor(database, "index-duplicate", least_bytes=0)
    indexes.healthy()
    database.sql("CREATE INDEX long ON t (a, b); CREATE INDEX long_too ON t (b, a)")  # a unique one has its own purpose
    found = indexes.sick()
    assert (found.id, found.severity) == ("index-duplicate:public.short", Severity.INFO)
    paste(database, found.remedy)
    indexes.healthy()


INDEX = {
    "schemaname": "s",
    "relname": "t",
    "indexrelname": "x",
    "relkind": "i",
    "indisvalid": True,
    "size_bytes": 10 * MB,
}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"redundant_to": "y"}, [Severity.INFO]),
        ({"redundant_to": "y", "size_bytes": 10 * MB - 1}, []),
        ({"redundant_to": "y", "size_bytes": None}, []),
        ({"duplicate_of": "y", "size_bytes": 0}, [Severity.WARNING]),
        ({"duplicate_of": "y", "redundant_to": "z"}, [Severity.WARNING]),
        ({"duplicate_of": "y", "indisvalid": False}, []),  # that is another check's
        ({"duplicate_of": "y", "is_extension_member": True}, []),
        ({}, []),
    ],
)
def test_what_is_told(more: dict[str, object], told: list[Severity]) -> None:
    assert [each.severity for each in judged("index-duplicate", planted(indexes=[{**INDEX, **more}]))] == told


def test_a_replica_identity_is_moved_first(database: Database) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE UNIQUE INDEX again ON t (id)")
    database.sql("ALTER TABLE t REPLICA IDENTITY USING INDEX again")
    row = {**INDEX, "schemaname": "public", "indexrelname": "again", "duplicate_of": "t_pkey", "indisreplident": True}
    [found] = judged("index-duplicate", planted(indexes=[row]))
    assert "REPLICA IDENTITY locks the table for a moment" in found.caution
    paste(database, found.remedy)
    assert database.sql("SELECT indisreplident FROM pg_index WHERE indrelid = 't'::regclass") == [(True,)]


def test_a_locked_one_says_why_there_is_no_definition() -> None:
    row = {"schemaname": "s", "relname": "t", "indexrelname": "x", "duplicate_of": "y"}
    [held] = judged("index-duplicate", planted(indexes=[{**row, "definition": None, "locked": True}]))
    [free] = judged("index-duplicate", planted(indexes=[{**row, "definition": "CREATE INDEX", "locked": False}]))
    assert (held.evidence["locked"], free.evidence["locked"]) == (True, None)
