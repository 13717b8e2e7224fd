"""upgrade-blockers."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


@pytest.mark.parametrize("data_type", ["regconfig", "regproc[]", "refused"])
def test_a_column_that_pg_upgrade_refuses(database: Database, doctor: Callable[..., Doctor], data_type: str) -> None:
    database.sql("CREATE DOMAIN refused AS regoperator")
    database.sql("CREATE TABLE kept (a regclass, b regtype, c regrole, d text, e regclass[])")
    blockers = doctor(database, "upgrade-blockers")
    blockers.healthy()
    database.sql(f'CREATE TABLE t (id int, "Language" {data_type})')
    found = blockers.sick()
    assert (found.id, found.severity) == ("upgrade-blockers:public.t.Language", Severity.INFO)
    paste(database, found.remedy)
    blockers.healthy()


def test_a_column_that_views_use(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(
        'CREATE TABLE t (id int, l regconfig); CREATE VIEW "V" AS SELECT l FROM t; CREATE VIEW v AS SELECT id FROM t'
    )
    blockers = doctor(database, "upgrade-blockers")
    remedy = blockers.sick().remedy
    assert '-- DROP VIEW public."V";\n' in remedy and "public.v" not in remedy
    paste(database, remedy.replace("-- DROP", "DROP"))
    blockers.healthy()


@pytest.mark.parametrize("column", ["made", "made[]", "over"])
def test_a_composite_type(database: Database, doctor: Callable[..., Doctor], column: str) -> None:
    database.sql("CREATE TYPE made AS (a int, b regproc); CREATE DOMAIN over AS made")
    blockers = doctor(database, "upgrade-blockers")
    blockers.healthy()  # it is in no table
    database.sql(f"CREATE TABLE t (c {column})")
    found = blockers.sick()
    assert (found.key, found.evidence["is_composite"]) == ("public.t.c", True)
    assert all(line.startswith("-- ") for line in found.remedy.splitlines())


def test_a_materialized_views_column_cannot_be_altered(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE MATERIALIZED VIEW v AS SELECT 'simple'::regconfig AS l")
    found = doctor(database, "upgrade-blockers").sick()
    assert (found.key, found.remedy.startswith("-- ")) == ("public.v.l", True)


@pytest.mark.pg("< 16")
def test_an_acl_changed_with_16(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (acl aclitem[])")
    assert doctor(database, "upgrade-blockers").sick().key == "public.t.acl"


def test_an_extensions_tables_are_left_out() -> None:
    row = {"schemaname": "s", "relname": "t", "attname": "x", "data_type": "regproc"}
    assert len(judged("upgrade-blockers", planted(upgrade=[row]))) == 1
    assert judged("upgrade-blockers", planted(upgrade=[{**row, "is_extension_member": True}])) == []
