"""Triggers that are disabled, policies, and columns that an upgrade refuses: what is said of planted situations."""

import pytest

from tests.collectors.conftest import Collect
from tests.postgres.server import Database

pytestmark = pytest.mark.collects("triggers", "policies", "upgrade", "database")


def test_disabled_triggers(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int, p_id int REFERENCES p)")
    database.sql("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    database.sql("CREATE TRIGGER t AFTER INSERT ON c FOR EACH ROW EXECUTE FUNCTION f()")
    assert collect(database.dsn).sections["triggers"]["rows"] == []
    database.sql("ALTER TABLE c DISABLE TRIGGER ALL; ALTER TABLE p DISABLE TRIGGER ALL")
    found = collect(database.dsn)
    rows = {(row["relname"], row["name"], row["contype"]) for row in found.sections["triggers"]["rows"]}
    assert rows == {("c", "t", None), ("c", "c_p_id_fkey", "f"), ("p", "c_p_id_fkey", "f")}
    assert found.sections["triggers"]["total"]["count"] == 3, "a constraint is one row, whatever it has of triggers"
    assert found.row("triggers", relname="p")["con_relname"] == "c"
    database.sql("ALTER TABLE c ENABLE REPLICA TRIGGER t; ALTER TABLE p ENABLE TRIGGER ALL")
    assert {row["name"] for row in collect(database.dsn).sections["triggers"]["rows"]} == {"c_p_id_fkey"}


def test_policies(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE plain (x int); CREATE TABLE shut (x int); ALTER TABLE shut ENABLE ROW LEVEL SECURITY")
    database.sql("CREATE TABLE loose (x int); CREATE POLICY one ON loose USING (x = 1)")
    database.sql("CREATE TABLE open (x int); ALTER TABLE open ENABLE ROW LEVEL SECURITY")
    database.sql("CREATE POLICY everybody ON open USING (true); CREATE POLICY those ON open FOR SELECT USING (x = 1)")
    database.sql("CREATE POLICY role ON open FOR UPDATE TO pg_monitor USING (x = 2)")
    found = collect(database.dsn)
    assert [row["relname"] for row in found.sections["policies"]["rows"]] == ["loose", "shut", "open"]
    rows = {row["relname"]: (row["relrowsecurity"], row["policy_count"]) for row in found.sections["policies"]["rows"]}
    assert rows == {"loose": (False, 1), "shut": (True, 0), "open": (True, 3)}
    row = found.row("policies", relname="open")
    assert row["open_policies"] == ["everybody"]
    assert row["overlapping"] == [{"role": "public", "command": "SELECT", "count": 2}]
    assert found.row("policies", relname="loose")["open_policies"] == []


def test_columns_that_an_upgrade_refuses(database: Database, collect: Collect) -> None:
    database.sql(
        "CREATE DOMAIN way AS regoper; CREATE TABLE t (a regconfig, b way, c regproc[], d regclass, e regtype)"
    )
    database.sql("CREATE TABLE tree (a regconfig, n int) PARTITION BY RANGE (n)")
    database.sql("CREATE TABLE leaf PARTITION OF tree DEFAULT; CREATE VIEW v AS SELECT * FROM t")
    found = collect(database.dsn)
    rows = [(row["relname"], row["attname"], row["data_type"]) for row in found.sections["upgrade"]["rows"]]
    assert rows == [
        ("t", "a", "regconfig"),
        ("t", "b", "public.way"),
        ("t", "c", "regproc[]"),
        ("tree", "a", "regconfig"),
    ]
