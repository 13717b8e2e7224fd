"""row-security."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


def test_policies_that_are_not_in_force(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql('CREATE TABLE "Doc" (owner text)')
    security = doctor(database, "row-security")
    security.healthy()
    database.sql('CREATE POLICY mine ON "Doc" USING (owner = current_user)')
    found = security.sick()
    assert (found.id, found.severity) == ("row-security:public.Doc", Severity.WARNING)
    assert "has a policy, and row-level security is off" in found.summary
    assert found.caution.startswith("locks the table for a moment (ACCESS EXCLUSIVE): set lock_timeout first. ")
    paste(database, found.remedy)
    security.healthy()


def test_a_table_without_any_policy(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE doc (owner text); ALTER TABLE doc ENABLE ROW LEVEL SECURITY")
    security = doctor(database, "row-security")
    found = security.sick()
    assert (found.key, found.severity) == ("public.doc", Severity.INFO)
    database.sql(found.remedy.removeprefix("-- a policy, or: "))
    security.healthy()


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ("CREATE POLICY a ON doc USING (true)", "policy a of table public.doc lets every role"),
        ("CREATE POLICY a ON doc FOR INSERT WITH CHECK (true)", "policy a of"),
        ("CREATE POLICY a ON doc FOR DELETE USING (true)", "policy a of"),
        ("CREATE POLICY a ON doc FOR UPDATE USING (true) WITH CHECK (owner = 'x')", ""),
        ("CREATE POLICY a ON doc FOR SELECT USING (true)", ""),
        ("CREATE POLICY a ON doc AS RESTRICTIVE FOR ALL USING (true)", ""),
        ("CREATE POLICY a ON doc TO pg_monitor USING (true)", ""),
        ("CREATE POLICY a ON doc USING (false)", ""),
        (
            "CREATE POLICY a ON doc USING (owner = 'x'); CREATE POLICY b ON doc FOR SELECT USING (owner = 'y')",
            "has 2 permissive policies for SELECT by public",
        ),
        (
            "CREATE POLICY a ON doc FOR UPDATE USING (owner = 'x'); CREATE POLICY b ON doc FOR SELECT USING (false)",
            "",
        ),
    ],
)
def test_what_policies_let_through(
    database: Database, doctor: Callable[..., Doctor], policies: str, words: str
) -> None:
    database.sql("CREATE TABLE doc (owner text); ALTER TABLE doc ENABLE ROW LEVEL SECURITY")
    database.sql(policies)
    security = doctor(database, "row-security")
    if not words:
        security.healthy()
        return
    found = security.sick()
    assert words in found.summary
    assert found.severity is Severity.INFO


def told(**row: Any) -> list[Finding]:
    table = {"schemaname": "s", "relname": "t", "relrowsecurity": True, "policy_count": 1, **row}
    return judged("row-security", planted(policies=[table]))


def test_an_extensions_tables_are_left_out() -> None:
    assert told() == []
    assert [each.severity for each in told(relrowsecurity=False)] == [Severity.WARNING]
    assert told(relrowsecurity=False, is_extension_member=True) == []
