"""fk-unindexed."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database
from tests.waiting import wait_for

NAMES = "SELECT relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid >= 16384"


def test_a_foreign_key_without_an_index(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql('CREATE TABLE "P" (a int, b int, PRIMARY KEY (a, b))')
    database.sql('INSERT INTO "P" SELECT n, n FROM generate_series(1, 20) n')
    database.sql('CREATE TABLE c (id int PRIMARY KEY, "A" int, b int)')
    database.sql("INSERT INTO c SELECT n, 1, 1 FROM generate_series(1, 2000) n")
    database.sql("ANALYZE c")
    keys = doctor(database, "fk-unindexed", warning_row_count=2000)
    keys.healthy()
    database.sql('ALTER TABLE c ADD CONSTRAINT f FOREIGN KEY ("A", b) REFERENCES "P" ON DELETE CASCADE')
    found = keys.sick()
    assert (found.id, found.severity) == ("fk-unindexed:public.c.f", Severity.INFO)
    database.sql('DELETE FROM "P" WHERE a > 10')
    wait_for(lambda: keys.sick().severity is Severity.WARNING, "the DELETEs are not counted")
    for _ in range(2):  # who pastes it again gets no second one
        paste(database, found.remedy)
    keys.healthy()
    [(index,)] = database.sql(f"{NAMES} AND indkey = '2 3' AND NOT indisprimary")
    assert index.startswith("c_A_b_")
    database.sql(f'DROP INDEX "{index}"')
    keys.sick()
    database.sql('CREATE INDEX ON c (b, "A", id)')
    keys.healthy()


def test_of_a_partitioned_table(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1)")
    database.sql("CREATE TABLE root (p int REFERENCES p) PARTITION BY RANGE (p)")
    database.sql("CREATE TABLE part PARTITION OF root DEFAULT; INSERT INTO root SELECT 1 FROM generate_series(1, 1000)")
    database.sql("ANALYZE part")
    keys = doctor(database, "fk-unindexed")
    found = keys.sick()
    assert (found.id, found.severity) == ("fk-unindexed:public.root.root_p_fkey", Severity.INFO)
    paste(database, found.remedy)
    keys.healthy()


def test_long_names(database: Database, doctor: Callable[..., Doctor]) -> None:
    """Each index has a name of its own, and that is not cut."""
    table = "é" * 31
    columns = [f"{'é' * 30}{n}" for n in range(2)]
    database.sql("CREATE TABLE p (id int PRIMARY KEY)")
    database.sql(f"""CREATE TABLE "{table}" ({", ".join(f'"{each}" int REFERENCES p' for each in columns)})""")
    database.sql(f'INSERT INTO "{table}" SELECT FROM generate_series(1, 1000); ANALYZE "{table}"')
    keys = doctor(database, "fk-unindexed")
    found = wait_for(lambda: [each.remedy for each in keys.look()], "nothing is found")
    assert len(found) == 2
    for remedy in found:
        paste(database, remedy)
    keys.healthy()
    names = database.sql(NAMES)
    assert len([name for (name,) in names if name.startswith("é" * 25) and f'"{name}"' in "".join(found)]) == 2


KEY = {
    "schemaname": "s",
    "relname": "t",
    "relkind": "r",
    "conname": "f",
    "contype": "f",
    "columns": ["a"],
    "is_indexed": False,
    "reltuples": 100_000,
    "ref_schemaname": "s",
    "ref_relname": "p",
    "ref_n_tup_del": 610,  # in 61 days
}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, [Severity.WARNING]),
        ({"ref_n_tup_del": 609}, [Severity.INFO]),
        ({"reltuples": 99_999}, [Severity.INFO]),
        ({"reltuples": 1_000}, [Severity.INFO]),
        ({"reltuples": 999}, []),
        ({"reltuples": None}, []),
        ({"is_indexed": True}, []),  # an index WHERE column IS NOT NULL is one: the section tells
        ({"is_extension_member": True}, []),
        ({"contype": "c", "is_indexed": None}, []),
    ],
)
def test_what_is_told(more: dict[str, object], told: list[Severity]) -> None:
    found = judged("fk-unindexed", planted(constraints=[{**KEY, **more}]))
    assert [each.severity for each in found] == told


def test_a_partial_index_will_do(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p)")
    database.sql("INSERT INTO c SELECT NULL FROM generate_series(1, 1000); ANALYZE c")
    keys = doctor(database, "fk-unindexed")
    keys.sick()
    database.sql("CREATE INDEX ON c (p) WHERE p IS NOT NULL")
    keys.healthy()
