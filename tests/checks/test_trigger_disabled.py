"""trigger-disabled."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database

TABLES = """
CREATE TABLE p (id int PRIMARY KEY);
CREATE TABLE "Child" (id int REFERENCES p);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER "T" BEFORE INSERT ON "Child" FOR EACH ROW EXECUTE FUNCTION nothing();
"""


def test_a_foreign_key_that_is_not_checked(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(TABLES)
    triggers = doctor(database, "trigger-disabled")
    triggers.healthy()
    database.sql("ALTER TABLE p DISABLE TRIGGER ALL")
    found = triggers.sick()
    assert (found.id, found.severity) == ("trigger-disabled:public.p.Child_id_fkey", Severity.WARNING)
    assert "constraint Child_id_fkey (foreign key of public.Child) is not enforced by table public.p" in found.summary
    paste(database, found.remedy)
    triggers.healthy()


def test_a_users_own_trigger(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(TABLES)
    triggers = doctor(database, "trigger-disabled")
    triggers.healthy()
    database.sql('ALTER TABLE "Child" DISABLE TRIGGER "T"')
    found = triggers.sick()
    assert (found.id, found.severity) == ("trigger-disabled:public.Child.T", Severity.INFO)
    assert "writes of the table wait for a moment (SHARE ROW EXCLUSIVE): set lock_timeout first" in found.caution
    paste(database, found.remedy)
    triggers.healthy()


@pytest.mark.pg(">= 13")
def test_a_partitioned_tables_triggers_are_told_once(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(TABLES)
    database.sql("CREATE TABLE tree (id int REFERENCES p) PARTITION BY LIST (id)")
    database.sql("CREATE TABLE tree_1 PARTITION OF tree FOR VALUES IN (1)")
    database.sql("CREATE TRIGGER t AFTER INSERT ON tree FOR EACH ROW EXECUTE FUNCTION nothing()")
    database.sql("ALTER TABLE tree DISABLE TRIGGER t")
    triggers = doctor(database, "trigger-disabled")
    assert triggers.sick().key == "public.tree.t"
    database.sql("ALTER TABLE tree ENABLE TRIGGER t; ALTER TABLE tree_1 DISABLE TRIGGER t")
    found = triggers.sick()
    assert found.key == "public.tree_1.t"
    paste(database, found.remedy)
    triggers.healthy()


def test_an_extensions_own_are_left_out() -> None:
    row = {"schemaname": "s", "relname": "t", "name": "x", "contype": None}
    assert len(judged("trigger-disabled", planted(triggers=[row]))) == 1
    assert judged("trigger-disabled", planted(triggers=[{**row, "is_extension_member": True}])) == []
    [found] = judged("trigger-disabled", planted(standby=True, triggers=[row]))
    assert "on its primary" in found.remedy.splitlines()[0]
