"""Every SQL file on every major, as PGDoctor's role in a read-only transaction: the same columns everywhere."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg2
import pytest

from pgdoctor_lib.collectors import texts
from pgdoctor_lib.collectors.registry import FOLDER, fits, names, query
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from tests.postgres.server import Database, Server

RECORDED = Path(__file__).with_name("columns")  # a file each: a line a column, its name and its type
VARIABLES = {
    "pgss_schema": "public",
    "databases": "{5}",
    "limit": "20",
    "texts": "true",
    "own": "{}",
    "told": "{}",
    "names": '[[null, "pg_class", null, false], [null, "lower", null, true]]',
    **texts.variables("masked"),
}
TYPES = "SELECT oid, format_type(oid, NULL) FROM pg_type"


def columns(dsn: str) -> dict[str, list[str]]:
    """The columns of every file that is for this server, each with its type."""
    with connect(Dsn.parse(dsn, {})) as session:
        facts = session.facts
        statements = {name: query(name).sql(facts.has, **VARIABLES) for name in names() if fits(name, facts.kind)}
    connection = psycopg2.connect(dsn)
    connection.set_session(readonly=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(TYPES)
            types = dict(cursor.fetchall())
            found = {}
            for name, statement in statements.items():
                cursor.execute(statement)
                found[name] = [f"{column.name} {types[column.type_code]}" for column in cursor.description]
            return found
    finally:
        connection.close()


def test_columns_are_the_recorded_ones(database: Database) -> None:
    found = columns(database.dsn)
    if os.environ.get("RECORD"):  # RECORD=1 pytest --majors 18 tests/collectors/test_files.py
        for name, columns_of in found.items():
            (RECORDED / f"{name}.txt").write_text("".join(f"{column}\n" for column in columns_of))
    assert found == recorded(found)


def recorded(names: Iterable[str]) -> dict[str, list[str]]:
    return {name: (RECORDED / f"{name}.txt").read_text().splitlines() for name in names}


def test_a_role_without_privileges_gets_the_same_columns(database: Database) -> None:
    role = f"bare_{database.role}"
    database.server.create_role(role, "secret", grants=())
    try:
        found = columns(database.server.dsn(database.name, role, "secret"))
    finally:
        database.server.sql(f'DROP ROLE "{role}"')
    assert found == recorded(found)


def test_a_standby_gives_the_same_columns(database: Database, standby: Callable[[Server], Server]) -> None:
    follower = standby(database.server)
    found = columns(follower.dsn(database.name, database.role, database.password))
    assert {"wal_receiver", "conflicts"} <= found.keys()
    assert found == recorded(found)


@pytest.mark.skipif(not shutil.which("psql"), reason="psql is not installed")
def test_psql_runs_the_files_as_they_stand(newest_database: Database) -> None:
    variables = [f"--set={name}={value}" for name, value in VARIABLES.items()]
    files = [f"--file={FOLDER / name}.sql" for name in names()]
    command = ["psql", "-X", "-q", "--set=ON_ERROR_STOP=1", *variables, *files, newest_database.dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_texts_are_masked_in_the_same_way_everywhere() -> None:
    files = ("activity", "locks", "queries", "recorder.sample", "top_queries")
    statements = [query(name).sql(lambda condition: True, **VARIABLES) for name in files]
    masking = [re.search(r"CASE WHEN 'masked' = .*?\n *END", each, re.DOTALL)[0] for each in statements]
    assert len({re.sub(r"\s+|\d+(?=\))", " ", each) for each in masking}) == 1
