"""What is said to be granted: SQL that the server takes, and no more than what is everybody's unless taken away."""

import re

import pytest

from pgdoctor_lib.collectors.registry import FOLDER
from pgdoctor_lib.collectors.remedies import failed
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.server import Facts
from tests.postgres.server import Database

NAMES = sorted({name for path in FOLDER.glob("*.sql") for name in re.findall(r"\bpg_\w+", path.read_text())})
FUNCTIONS = """SELECT DISTINCT proname, 'function' FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (%s) OR proname ~ '^pg_stat_get'"""
RELATIONS = """SELECT relname, CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relname = ANY (%s)"""
WITHHELD = """SELECT relname FROM pg_class WHERE relacl::text !~ '[{,]=r' UNION
    SELECT proname FROM pg_proc WHERE proacl::text !~ '[{,]=X'"""


def remedy(message: str, facts: Facts) -> str:
    return failed("activity", DatabaseError(message, sqlstate="42501"), facts).hint


@pytest.fixture
def facts(database: Database) -> Facts:
    with connect(Dsn.parse(database.dsn, {})) as session:
        return session.facts


def test_each_remedy_is_taken_and_gives_nothing_that_is_withheld(database: Database, facts: Facts) -> None:
    withheld = {name for (name,) in database.sql(WITHHELD)}
    told = {}
    for name, kind in database.sql(f"{FUNCTIONS} UNION {RELATIONS}", (NAMES, NAMES)):
        statement = remedy(f"permission denied for {kind} {name}", facts)
        if statement.startswith("GRANT "):
            told[name] = statement
    assert told.keys().isdisjoint(withheld)
    assert len(told) > 150
    database.sql("".join(told.values()))


def test_what_is_not_certain_is_left_to_the_reader(facts: Facts) -> None:
    left = f'grant "{facts.role}" what the message names'
    assert remedy("keine Berechtigung für Sicht pg_locks", facts) == left
    assert remedy("permission denied for function pg_get_indexdef", facts) == left
    assert remedy("permission denied for function now", facts) == left
    assert remedy("permission denied for function pg_ls_waldir", facts) == left
    assert remedy("permission denied for table pg_subscription", facts) == left
