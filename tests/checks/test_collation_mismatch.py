"""collation-mismatch."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

ICU = "SELECT 1 FROM pg_collation WHERE collname = 'de-x-icu' AND collversion IS NOT NULL"
OLDER = "UPDATE pg_collation SET collversion = '0.1' WHERE collname = 'de-x-icu'"
TABLE = 'CREATE TABLE t (id int, name text COLLATE "de-x-icu", tag text)'
INDEX = {"schemaname": "app", "indexrelname": "by name", "size_bytes": 8192, "indisexclusion": False}
ROW: dict[str, Any] = {
    "schemaname": "pg_catalog",
    "collname": "de-x-icu",
    "is_default": False,
    "collprovider": "i",
    "collversion": "1",
    "collversion_actual": "2",
    "index_count": 1,
    "indexes": [INDEX],
}


@pytest.fixture(autouse=True)
def with_icu(request: pytest.FixtureRequest) -> None:
    if "database" in request.fixturenames and not request.getfixturevalue("database").sql(ICU):
        pytest.skip("this PostgreSQL was built without ICU")


def test_a_collation_of_another_version(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(OLDER)
    collations = doctor(database, "collation-mismatch")
    collations.healthy()  # nothing uses it
    database.sql(TABLE)
    found = collations.sick()
    assert (found.id, found.severity) == ("collation-mismatch:pg_catalog.de-x-icu", Severity.WARNING)
    database.sql("CREATE SCHEMA app; ALTER TABLE t SET SCHEMA app")
    database.sql('CREATE INDEX "by name" ON app.t (name)')
    database.sql("CREATE INDEX by_id ON app.t (id, tag)")
    found = collations.sick()
    assert found.severity is Severity.CRITICAL
    assert "1 index sorted by it" in found.summary
    assert 'REINDEX INDEX CONCURRENTLY app."by name";\n' in found.remedy and "by_id" not in found.remedy
    paste(database, found.remedy)
    collations.healthy()


def test_indexes_by_an_expression_and_of_a_constraint(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(OLDER)
    database.sql("CREATE TABLE t (id int, tag text)")
    database.sql("CREATE INDEX compared ON t (id) WHERE tag COLLATE \"de-x-icu\" < 'm'")
    database.sql('CREATE TABLE u (name text COLLATE "de-x-icu", EXCLUDE USING btree (name WITH =))')
    database.sql('CREATE TABLE p (name text COLLATE "de-x-icu") PARTITION BY HASH (name)')
    database.sql("CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0); CREATE INDEX ON p (name)")
    collations = doctor(database, "collation-mismatch")
    found = collations.sick()
    assert "3 indexes sorted by it" in found.summary
    assert "REINDEX INDEX public.u_name_excl;" in found.remedy
    assert "REINDEX INDEX CONCURRENTLY public.p1_name_idx;" in found.remedy
    paste(database, found.remedy)
    collations.healthy()


def test_indexes_that_do_not_go_by_the_order(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(OLDER)
    database.sql(TABLE)
    database.sql("CREATE INDEX ON t (name text_pattern_ops); CREATE INDEX ON t USING hash (name)")
    database.sql("CREATE EXTENSION pg_trgm; CREATE INDEX ON t USING gin (name gin_trgm_ops)")
    assert doctor(database, "collation-mismatch").sick().severity is Severity.WARNING


@pytest.mark.pg(">= 15")
def test_the_databases_own(database: Database, doctor: Callable[..., Doctor]) -> None:
    server, name = database.server, f"{database.name}_icu"
    server.sql(f'CREATE DATABASE "{name}" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE "de"')
    try:
        dsn = server.dsn(name, database.role, database.password)
        collations = doctor(dsn, "collation-mismatch")
        collations.healthy()
        server.sql("CREATE TABLE t (name text PRIMARY KEY, id int UNIQUE)", dbname=name)
        server.sql("UPDATE pg_database SET datcollversion = '0.1' WHERE datname = %s", [name])
        found = collations.sick()
        assert (found.id, found.severity) == ("collation-mismatch", Severity.CRITICAL)
        assert "1 index sorted by it" in found.summary
        paste(Database(server, name, "", ""), found.remedy)
        collations.healthy()
    finally:
        server.drop_database(name)


@pytest.mark.pg(">= 15")
def test_another_databases(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'template0'")
    try:
        doctor(database, "collation-mismatch").healthy()
    finally:
        database.sql("UPDATE pg_database SET datcollversion = NULL WHERE datname = 'template0'")


def remedy(standby: bool = False, **more: Any) -> str:
    [found] = judged("collation-mismatch", planted(collations=[{**ROW, **more}], standby=standby))
    return found.remedy


def test_more_indexes_than_are_named() -> None:
    told = remedy(index_count=30)
    assert "-- and 29 indexes more; REINDEX DATABASE CONCURRENTLY app;" in told
    assert '-- when all are rebuilt: ALTER COLLATION pg_catalog."de-x-icu" REFRESH VERSION;' in told


def test_on_a_standby() -> None:
    assert "primary" not in remedy()
    assert remedy(standby=True).startswith("-- this is a standby")
    assert "this machine needs its libraries" in remedy(standby=True)
