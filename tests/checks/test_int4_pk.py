"""int4-pk."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database


def test_a_key_that_runs_out(database: Database, doctor: Callable[..., Doctor]) -> None:
    keys = doctor(database, "int4-pk")
    database.sql('CREATE TABLE "T" (id serial PRIMARY KEY)')
    assert keys.look() == []
    assert "may not read the sequences of 1 columns" in keys.not_examined
    database.sql(f'GRANT SELECT, USAGE ON SEQUENCE "T_id_seq" TO "{database.role}"')
    keys.healthy()
    database.sql("SELECT setval('\"T_id_seq\"', 1700000000)")
    found = keys.sick()
    assert (found.id, found.severity) == ("int4-pk:public.T.id", Severity.CRITICAL)
    assert found.evidence["last_value"] == 1700000000
    paste(database, found.remedy)
    keys.healthy()


def test_a_narrow_reference(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE p (id bigserial PRIMARY KEY); CREATE TABLE c (p int REFERENCES p)")
    database.sql(f'GRANT SELECT, USAGE ON SEQUENCE p_id_seq TO "{database.role}"')
    database.sql("SELECT setval('p_id_seq', 1200000000)")
    keys = doctor(database, "int4-pk")
    found = keys.sick()
    assert (found.id, found.severity) == ("int4-pk:public.c.p", Severity.WARNING)
    paste(database, found.remedy)
    keys.healthy()


def test_a_domain_is_what_it_is_over(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE DOMAIN positive AS int CHECK (value > 0); CREATE DOMAIN key AS positive; CREATE SEQUENCE s")
    database.sql("CREATE TABLE t (id key PRIMARY KEY DEFAULT nextval('s')); SELECT setval('s', 1700000000)")
    database.sql("CREATE DOMAIN wide AS bigint; CREATE TABLE w (id wide PRIMARY KEY DEFAULT nextval('s'))")
    database.sql("CREATE TABLE c (w key REFERENCES w)")
    database.sql(f'GRANT SELECT, USAGE ON SEQUENCE s TO "{database.role}"')
    keys = doctor(database, "int4-pk")
    found = keys.look()
    assert {each.id for each in found} == {"int4-pk:public.t.id", "int4-pk:public.c.w"}
    assert found[0].summary.startswith("public.key column public.")
    for each in found:
        paste(database, each.remedy)
    keys.healthy()


COLUMN = {
    "schemaname": "s",
    "relname": "t",
    "attname": "id",
    "data_type": "integer",
    "is_primary_key": True,
    "sequence_schemaname": "s",
    "sequencename": "q",
    "last_value": 500,
    "limit_value": 1000,
    "used_percent": 50,
}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, [Severity.WARNING]),
        ({"used_percent": 49.99}, []),  # that it is an integer is no fault
        ({"used_percent": 75}, [Severity.CRITICAL]),
        ({"used_percent": None}, []),
        ({"is_primary_key": False}, []),
        ({"is_primary_key": False, "ref_relid": 7}, [Severity.WARNING]),
        ({"is_extension_member": True}, []),
    ],
)
def test_what_is_told(more: dict[str, object], told: list[Severity]) -> None:
    rows = [{**COLUMN, **more}, {**COLUMN, **more, "used_percent": 0}]
    assert [each.severity for each in judged("int4-pk", planted(columns=rows))] == told
    assert [each.severity for each in judged("int4-pk", planted(columns=rows[:1] * 2))] == told


@pytest.mark.parametrize(
    ("used", "last", "words"), [(99.65, 997, "99.7 %"), (100, 999, "99.9 %"), (100, 1000, "100.0 %")]
)
def test_what_is_left_is_never_none_of_it(used: float, last: int, words: str) -> None:
    [found] = judged("int4-pk", planted(columns=[{**COLUMN, "used_percent": used, "last_value": last}]))
    assert f"has used {words} of the numbers" in found.summary


def test_days_left_and_whose_end_it_is() -> None:
    now = planted(columns=[COLUMN])
    now.trends = {"sequence:s.q": [(now.server_time - 86400, 400)]}
    [found] = judged("int4-pk", now)
    assert found.days_left == pytest.approx(5)
    assert found.because_of == "sequence-exhaustion:s.q"
    [found] = judged("int4-pk", planted(columns=[{**COLUMN, "last_value": None, "greatest_value": 500}]))
    assert found.days_left is None
