"""Every SQL file on every major, as PGDoctor's role in a read-only transaction: the same columns everywhere."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg2
import pytest

from pgdoctor_lib.collectors import texts
from pgdoctor_lib.collectors.registry import FOLDER, fits, names, query
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from tests.postgres.server import Database

RECORDED = Path(__file__).with_name("columns")  # a file each: a line a column, its name and its type
VARIABLES = {
    "pgss_schema": "public",
    "dbid": "0",
    "limit": "20",
    "texts": "true",
    "known": "{}",
    "names": '[[null, "pg_class", null, false], [null, "lower", null, true]]',
    **texts.variables("masked"),
}
TYPES = "SELECT oid, format_type(oid, NULL) FROM pg_type"


def columns(database: Database) -> dict[str, list[str]]:
    """The columns of every file that is for this server, each with its type."""
    with connect(Dsn.parse(database.dsn, {})) as session:
        facts = session.facts
        statements = {name: query(name).sql(facts.has, **VARIABLES) for name in names() if fits(name, facts)}
    connection = psycopg2.connect(database.dsn)
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
    found = columns(database)
    if os.environ.get("RECORD"):  # RECORD=1 pytest --majors 18 tests/collectors/test_files.py
        for name, columns_of in found.items():
            (RECORDED / f"{name}.txt").write_text("".join(f"{column}\n" for column in columns_of))
    assert found == {name: (RECORDED / f"{name}.txt").read_text().splitlines() for name in found}


@pytest.mark.skipif(not shutil.which("psql"), reason="psql is not installed")
def test_psql_runs_the_files_as_they_stand(newest_database: Database) -> None:
    variables = [f"--set={name}={value}" for name, value in VARIABLES.items()]
    files = [f"--file={FOLDER / name}.sql" for name in names()]
    command = ["psql", "-X", "-q", "--set=ON_ERROR_STOP=1", *variables, *files, newest_database.dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_texts_are_masked_in_the_same_way_everywhere() -> None:
    files = ("activity", "locks", "queries", "top_queries")
    statements = [query(name).sql(lambda condition: True, **VARIABLES) for name in files]
    masking = [re.search(r"CASE WHEN 'masked' = .*?\n *END", each, re.DOTALL)[0] for each in statements]
    assert len({re.sub(r"\s+|\d+(?=\))", " ", each) for each in masking}) == 1
