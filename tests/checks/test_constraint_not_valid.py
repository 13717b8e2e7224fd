"""constraint-not-valid."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pgdoctor_lib.checks.state import Watch
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database
from tests.waiting import wait_for

DAY = 86400


def _in_a_day(constraints: Doctor) -> Finding:
    wait_for(lambda: constraints.look() == [] and constraints.state.watched, "it is not seen, or told at once")
    aged = {key: Watch(watch.since - DAY, watch.times) for key, watch in constraints.state.watched.items()}
    constraints.state = replace(constraints.state, watched=aged)
    return constraints.sick()


@pytest.mark.parametrize("constraint", ["CHECK (n > 1)", "FOREIGN KEY (n) REFERENCES p"])
def test_a_constraint_that_is_not_validated(database: Database, doctor: Callable[..., Doctor], constraint: str) -> None:
    database.sql("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (n int)")
    constraints = doctor(database, "constraint-not-valid")
    constraints.healthy()
    database.sql(f'ALTER TABLE t ADD CONSTRAINT "C" {constraint} NOT VALID')
    found = _in_a_day(constraints)
    assert (found.id, found.severity) == ("constraint-not-valid:public.t.C", Severity.INFO)
    paste(database, found.remedy)
    constraints.healthy()


@pytest.mark.pg(">= 18")
def test_not_null_and_not_enforced(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (n int); ALTER TABLE t ADD CHECK (n > 1) NOT ENFORCED")
    constraints = doctor(database, "constraint-not-valid")
    constraints.healthy()
    assert not constraints.state.watched
    database.sql("ALTER TABLE t ADD CONSTRAINT c NOT NULL n NOT VALID")
    found = _in_a_day(constraints)
    assert found.summary.startswith("not-null constraint c")
    paste(database, found.remedy)
    constraints.healthy()


@pytest.mark.parametrize(
    ("more", "count"),
    [({}, 1), ({"convalidated": True}, 0), ({"convalidated": None}, 0), ({"is_extension_member": True}, 0)],
)
def test_what_is_told(more: dict[str, object], count: int) -> None:
    row = {"schemaname": "s", "relname": "t", "conname": "c", "contype": "c", "convalidated": False, **more}
    found = judged("constraint-not-valid", planted(constraints=[row]))
    assert [each.severity for each in found] == [Severity.INFO] * count
