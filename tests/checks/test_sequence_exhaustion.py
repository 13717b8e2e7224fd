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


TIED = """
CREATE TABLE t (id serial PRIMARY KEY, "Up" int REFERENCES t);
CREATE TABLE one (id int PRIMARY KEY REFERENCES t);
CREATE TABLE "Two" (a int REFERENCES one, b int REFERENCES t, c smallint REFERENCES t, d bigint REFERENCES t);
CREATE TABLE tree (id int REFERENCES t, n int) PARTITION BY LIST (n);
CREATE TABLE tree_1 PARTITION OF tree FOR VALUES IN (1);
SELECT setval('t_id_seq', 2000000000);
"""


def test_columns_that_reference_it(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(TIED)
    database.sql(f'GRANT SELECT, USAGE ON SEQUENCE t_id_seq TO "{database.role}"')
    sequences, keys = doctor(database, "sequence-exhaustion"), doctor(database, "int4-pk")
    found = sequences.sick()
    assert 'ALTER TABLE public."Two" ALTER COLUMN a TYPE bigint, ALTER COLUMN b TYPE bigint' in found.remedy
    assert 'ALTER TABLE public.t ALTER COLUMN "Up" TYPE bigint, ALTER COLUMN id TYPE bigint;\n' in found.remedy
    [same] = [each.remedy for each in keys.look() if each.key == "public.t.id"]
    assert found.remedy.rpartition("ALTER SEQUENCE")[0] == same.rpartition("ALTER SEQUENCE")[0]
    paste(database, found.remedy)
    sequences.healthy()
    keys.healthy()
    narrow = "SELECT attname FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0 AND atttypid IN (21, 23)"
    assert database.sql(f"{narrow} AND attname <> 'n' AND attrelid NOT IN (SELECT seqrelid FROM pg_sequence)") == []


def test_a_column_that_cannot_be_altered(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE t (id serial PRIMARY KEY); SELECT setval('t_id_seq', 2000000000)")
    database.sql("CREATE TABLE tree (id int REFERENCES t) PARTITION BY LIST (id)")
    database.sql(f'GRANT SELECT, USAGE ON SEQUENCE t_id_seq TO "{database.role}"')
    found = doctor(database, "sequence-exhaustion").sick()
    assert (
        "-- public.tree is partitioned by id, whose type cannot be changed: make it anew, and fill it\n" in found.remedy
    )
    paste(database, found.remedy)
    doctor(database, "sequence-exhaustion").healthy()


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


COLUMN = {"schemaname": "s", "relname": "t", "attname": "id", "referencing_count": 0, "referencing": []}
OWNER = {f"owner_{name}": COLUMN[name] for name in ("schemaname", "relname", "attname")}
OTHER = {"schemaname": "s", "relname": "u", "attname": "t_id", "size_bytes": 3 * 1024**2}
ASKED = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE confrelid = 's.t'::regclass;"


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], ["-- columns that reference it first; when", f"-- which are these: {ASKED}"]),
        ([{**COLUMN, "referencing_count": None, "referencing": None}], [f"-- which are these: {ASKED}"]),
        ([COLUMN], ["-- when nobody needs the table:"]),
        (
            [{**COLUMN, "referencing_count": 21, "referencing": [OTHER]}],
            ["-- columns that reference it first (3.0 MiB); when", f"-- 20 more columns are not named: {ASKED}", "s.u"],
        ),
    ],
)
def test_what_is_known_of_references(columns: list[dict[str, object]], words: list[str]) -> None:
    row = {**SEQUENCE, **OWNER, "owner_data_type": "integer"}
    [found] = judged("sequence-exhaustion", planted(sequences=[row], columns=columns))
    assert all(each in found.remedy for each in words)
    assert "\nALTER TABLE s.t ALTER COLUMN id TYPE bigint;\n" in found.remedy
    assert "locks out everybody" in found.caution


@pytest.mark.parametrize(
    ("used", "left", "limit", "words"),
    [
        (99.99, 1, 100, ("99.9 %", "100 on: the sequence's own limit")),
        (100, 1, 100, ("99.9 %", "")),  # the server has rounded it
        (100, 0, 100, ("100.0 %", "")),
        (99.65, 1, 2**31 - 1, ("99.7 %", "2147483647 on: what its column's type holds")),
    ],
)
def test_what_is_left_is_never_none_of_it(used: float, left: int, limit: int, words: tuple[str, str]) -> None:
    row = {**SEQUENCE, "used_percent": used, "values_left": left, "limit_value": limit}
    row |= {**OWNER, "owner_data_type": "integer"}
    [found] = judged("sequence-exhaustion", planted(sequences=[row]))
    assert words[0] in found.summary and words[1] in found.threshold


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
