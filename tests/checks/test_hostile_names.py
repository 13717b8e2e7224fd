"""Whoever may make a table chooses its name: no remedy, pasted as it is, does what a name says."""

from collections.abc import Iterator
from contextlib import suppress

import psycopg2
import pytest
from psycopg2.extensions import quote_ident
from psycopg2.sql import SQL, Composed, Identifier, Literal

from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.finding import Finding
from tests.checks.conftest import NOTHING, snapshot
from tests.checks.hostile import PAYLOAD, check_remedies, statements
from tests.postgres.server import Database

PLANTED: dict[str, dict[str, float]] = {
    "autovacuum-off-table": {"least_row_count": 0},
    "constraint-not-valid": {},
    "fk-unindexed": {"least_row_count": 0, "warning_row_count": 0},
    "idle-in-transaction": {"warning_s": 0},
    "index-duplicate": {"least_bytes": 0},
    "index-invalid": {},
    "int4-pk": {},
    "row-security": {},
    "secdef-search-path": {},
    "sequence-exhaustion": {},
    "table-no-pk": {"least_row_count": 0},
    "trigger-disabled": {},
    "upgrade-blockers": {},
}
SICK = """
CREATE TABLE canary (n int);
CREATE SCHEMA {name};
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO PUBLIC;
GRANT USAGE ON SCHEMA {name} TO PUBLIC;
CREATE SEQUENCE {name}.{other} AS int;
SELECT setval({sequence}::regclass, 2147483600);
CREATE TABLE {name}.{name} ({name} int PRIMARY KEY DEFAULT nextval({sequence}::regclass));
ALTER SEQUENCE {name}.{other} OWNED BY {name}.{name}.{name};
CREATE TABLE {name}.{third} ({name} int REFERENCES {name}.{name}, {other} regproc)
  WITH (autovacuum_enabled = off);
ALTER TABLE {name}.{third} ADD CONSTRAINT {other} CHECK ({name} > 1) NOT VALID;
ALTER TABLE {name}.{third} ENABLE ROW LEVEL SECURITY;
CREATE POLICY {name} ON {name}.{third} USING (true) WITH CHECK (true);
ALTER TABLE {name}.{third} DISABLE TRIGGER ALL;
CREATE INDEX ON {name}.{name} ({name});
CREATE INDEX ON {name}.{name} ({name});
CREATE FUNCTION {name}.{name}() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
INSERT INTO {name}.{name} SELECT g FROM generate_series(2, 2000) g;
INSERT INTO {name}.{third} SELECT g FROM generate_series(2, 2000) g;
CREATE UNIQUE INDEX {fourth} ON {name}.{third} ({name}, {other}) WHERE {name} > 5;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = {unique}::regclass;
ANALYZE;
"""


@pytest.mark.parametrize(
    "name",
    [
        f"t\n{PAYLOAD}",
        f't"\n;{PAYLOAD}',
        f"t'\r\\'; {PAYLOAD}",
        f"*/ $$\u2028\u202e\n{PAYLOAD}",
        f"{'é' * 20}\n{PAYLOAD}",
    ],
)
def test_no_name_is_run(database: Database, name: str) -> None:
    database.sql(_sick(database, name))
    database.server.create_role(name, "secret")
    with database.server.connect(database.name, name, "secret").cursor() as own:
        own.execute("BEGIN; SELECT 1")
        found = [each for check, limits in PLANTED.items() for each in _found(database, check, limits)]
    check_remedies(found)
    for statement in [each for finding in found for each in statements(finding.remedy)]:
        with suppress(psycopg2.Error):  # one may have taken away what the next one mends
            database.sql(statement)
    database.server.hang_up()
    database.server.sql(SQL("DROP ROLE {}").format(Identifier(name)))
    assert database.sql("SELECT to_regclass('canary') IS NOT NULL") == [(True,)]


def _sick(database: Database, name: str) -> Composed:
    names = {"name": name, "other": f"{name}b", "third": f"{name}c", "fourth": f"{name}d"}
    quoted = {key: quote_ident(each, database.server.connect()) for key, each in names.items()}
    return SQL(SICK).format(
        **{key: Identifier(each) for key, each in names.items()},
        sequence=Literal(f"{quoted['name']}.{quoted['other']}"),
        unique=Literal(f"{quoted['name']}.{quoted['fourth']}"),
    )


def _found(database: Database, check: str, limits: dict[str, float]) -> Iterator[Finding]:
    """What a check says now, whatever it wants of time and repetition."""
    now = snapshot(database.dsn, check)
    said = list(checks()[check].run(now, NOTHING, {**checks()[check].limits, **limits}))
    found = [each for each in said if isinstance(each, Finding)]
    assert found, check
    yield from found
