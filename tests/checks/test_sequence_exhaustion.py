"""sequence-exhaustion."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.registry import Sample, checks
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Database


def test_a_serial_column(database: Database, doctor: Callable[..., Doctor]) -> None:
    sequences = doctor(database, "sequence-exhaustion")
    database.sql('CREATE TABLE t ("Id" serial PRIMARY KEY)')
    assert sequences.look() == []
    assert "may not read 1 of the sequences" in sequences.not_examined
    database.sql(f'GRANT SELECT, USAGE ON SEQUENCE "t_Id_seq" TO "{database.role}"')
    sequences.healthy()
    database.sql("SELECT setval('\"t_Id_seq\"', 2000000000)")
    found = sequences.sick()
    assert (found.id, found.severity) == ("sequence-exhaustion:public.t_Id_seq", Severity.CRITICAL)
    paste(database, found.remedy)
    sequences.healthy()
    database.sql("SELECT setval('\"t_Id_seq\"', 3000000000); INSERT INTO t VALUES (DEFAULT)")
    assert database.sql("SELECT * FROM t") == [(3000000001,)]


def test_an_identity_and_one_that_counts_down(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (id smallint GENERATED ALWAYS AS IDENTITY); CREATE SEQUENCE down AS int INCREMENT -1")
    database.sql("CREATE SEQUENCE wheel MAXVALUE 10 CYCLE")
    database.sql(f'GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO "{database.role}"')
    database.sql("SELECT setval('t_id_seq', 25000), setval('wheel', 10)")
    sequences = doctor(database, "sequence-exhaustion")
    found = sequences.sick()
    assert (found.id, found.severity) == ("sequence-exhaustion:public.t_id_seq", Severity.WARNING)
    paste(database, found.remedy)
    sequences.healthy()
    database.sql("SELECT setval('down', -2000000000)")
    found = sequences.sick()
    assert (found.id, found.severity) == ("sequence-exhaustion:public.down", Severity.CRITICAL)
    paste(database, found.remedy)
    sequences.healthy()


SEQUENCE = {
    "schemaname": "s",
    "sequencename": "q",
    "increment_by": 1,
    "last_value": 75,
    "limit_value": 100,
    "used_percent": 75,
    "values_left": 25,
}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, [Severity.WARNING]),
        ({"used_percent": 97.6, "limit_value": -(2**63), "values_left": 223_372_036_900_000_000}, []),  # for ever
        ({"used_percent": 74.99}, []),
        ({"used_percent": 90}, [Severity.CRITICAL]),
        ({"used_percent": 100, "cycle": True}, []),
        ({"used_percent": 100, "is_extension_member": True}, []),
        ({"used_percent": 0, "last_value": None}, []),  # never used
        ({"used_percent": None, "last_value": None, "readable": False}, []),
    ],
)
def test_what_is_told(more: dict[str, object], told: list[Severity]) -> None:
    found = judged("sequence-exhaustion", planted(sequences=[{**SEQUENCE, **more}]))
    assert [each.severity for each in found] == told


@pytest.mark.parametrize(("sign", "limit"), [(1, 100), (-1, -100)])
def test_days_left(sign: int, limit: int) -> None:
    now = planted(sequences=[{**SEQUENCE, "increment_by": sign, "last_value": sign * 75, "limit_value": limit}])
    now.trends = {"sequence:s.q": [(now.server_time - 2 * 86400, sign * 65)]}
    [found] = judged("sequence-exhaustion", now)
    assert found.days_left == pytest.approx(5)


def test_the_five_most_used_are_remembered() -> None:
    rows = [{**SEQUENCE, "sequencename": f"q{n}", "used_percent": n, "last_value": n} for n in range(8)]
    said = checks()["sequence-exhaustion"].run(planted(sequences=rows), NOTHING, {})
    assert {each.trend for each in said if isinstance(each, Sample)} == {f"sequence:s.q{n}" for n in range(3, 8)}
