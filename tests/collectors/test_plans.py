"""Plans of the worst statements: what is planned, what is refused and why, and that nothing is executed."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.collectors import plans
from pgdoctor_lib.collectors.statement_text import Refused, parse
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from tests.postgres.server import Database, Server


def read(database: Database, query_text: QueryText = "masked") -> Any:
    with connect(Dsn.parse(database.dsn, {})) as session:
        found = plans.read(session, query_text)
    assert found.errors == () and found.section
    return json.loads(found.section.json)["rows"]


def plan_of(database: Database, statement: str, query_text: QueryText = "masked", setup: str = "") -> Any:
    """Plan and reason of one statement, the only one that has "planted" in it."""
    if setup:
        database.sql(setup)
    database.server.forget_statements(database.name)
    database.sql(f"SELECT pg_sleep(0.01); {statement}")
    rows = read(database, query_text)
    queryids = [
        each for (each,) in database.sql("SELECT queryid::text FROM pg_stat_statements WHERE query LIKE '%%planted%%'")
    ]
    [row] = [row for row in rows if row["queryid"] in queryids]
    return row["plan"], row["reason"]


@pytest.fixture
def granted(newest_database: Database) -> Database:
    return planted(newest_database)


def planted(database: Database) -> Database:
    """The role may read all tables."""
    database.sql(f"GRANT pg_read_all_data TO {database.role}")
    database.sql("CREATE SCHEMA app; CREATE TABLE app.planted (id int PRIMARY KEY, x text, kind int)")
    return database


@pytest.mark.pg(">= 16")
def test_a_plan(granted: Database) -> None:
    granted.sql("ALTER TABLE app.planted ADD CHECK (x <> 'a word')")
    plan, reason = plan_of(granted, "SET search_path = app; SELECT x FROM planted WHERE id = 42")
    assert reason is None
    assert (plan["Node Type"], plan["Relation Name"], plan["Index Cond"]) == ("Index Scan", "planted", "(id = $1)")


@pytest.mark.pg(">= 16")
@pytest.mark.parametrize(
    ("statement", "relations"),
    [
        (
            "SELECT count(*) FROM app.planted p JOIN pg_class c ON c.oid = p.id, app.other o",
            {"planted", "pg_class", "other"},
        ),
        (
            "WITH w AS (SELECT id FROM planted) SELECT * FROM w, other WHERE w.id IN (SELECT id FROM other)",
            {"planted", "other"},
        ),
        (
            "SELECT substring(x FROM kind), planted.x FROM (planted JOIN other USING (id)) ORDER BY 2",
            {"planted", "other"},
        ),
        (
            'SELECT "Planted".x FROM "Planted", LATERAL (SELECT 1 FROM other WHERE id IS DISTINCT FROM 5) z',
            {"Planted", "other"},
        ),
        (
            "SELECT /* a 'comment' */ lower(x)::varchar(20), g FROM planted, generate_series(id, kind) g -- planted",
            {"planted"},
        ),
    ],
)
def test_what_is_planned(granted: Database, statement: str, relations: set[str]) -> None:
    granted.sql('CREATE TABLE app.other (id int PRIMARY KEY); CREATE TABLE app."Planted" (x int)')
    plan, reason = plan_of(granted, f"SET search_path = app; {statement} /* planted */")
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.update({value["Relation Name"]} if "Relation Name" in value else ())
            for each in value.values():
                walk(each)
        for each in value if isinstance(value, list) else ():
            walk(each)

    walk(plan)
    assert (reason, found) == (None, relations)


def logged(database: Database, since: int) -> str:
    return database.server.log.read_text(errors="replace")[since:]


EVIL = """CREATE FUNCTION app.evil({}) RETURNS {} IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN RAISE LOG ''evil ran for %'', current_setting(''application_name''); RETURN {}; END';"""


@pytest.mark.pg(">= 16")
@pytest.mark.parametrize(
    ("setup", "statement", "why"),
    [
        (EVIL.format("int", "int", "1"), "SELECT app.evil(1) FROM app.planted", "app.evil is no table"),
        (
            EVIL.format("int", "int", "1"),
            "SET search_path = app; SELECT evil(1) FROM planted",
            "function evil(unknown) does",
        ),
        (
            EVIL.format("int", "bool", "true") + "CREATE INDEX ON app.planted (id) WHERE app.evil(1)",
            "SELECT id FROM app.planted",
            "app.planted depends on function app.evil(integer), which is not PostgreSQL's own",
        ),
        (
            EVIL.format("int", "bool", "true")
            + "CREATE VIEW app.v_planted AS SELECT 1 FROM app.planted WHERE app.evil(1)",
            "SELECT * FROM app.v_planted",
            "app.v_planted is a view, which is not looked into",
        ),
        (
            EVIL.format("int", "bool", "true") + "CREATE TABLE app.child (CHECK (app.evil(1))) INHERITS (app.planted)",
            "SELECT id FROM app.planted",
            "app.planted depends on function app.evil(integer)",
        ),
        (
            EVIL.format("text", "bool", "true")
            + "CREATE DOMAIN app.d AS text CHECK (app.evil(VALUE)); ALTER TABLE app.planted ADD y app.d",
            "SELECT id FROM app.planted",
            "app.planted depends on type app.d",
        ),
        (
            EVIL.format("int, text", "bool", "true")
            + "CREATE OPERATOR public.= (LEFTARG = int, RIGHTARG = text, FUNCTION = app.evil)",
            "SELECT id FROM app.planted WHERE id = x",
            "operator does not exist",
        ),
        (
            EVIL.format("int", "bool", "true")
            + "ALTER TABLE app.planted ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON app.planted USING (app.evil(1))",
            "SELECT id FROM app.planted",
            "app.planted has row-level security",
        ),
        (
            EVIL.format("int", "int", "1") + "CREATE STATISTICS app.s ON (kind + app.evil(1)), id FROM app.planted",
            "SELECT id FROM app.planted",
            "app.planted depends on function app.evil(integer)",
        ),
        (
            "CREATE SCHEMA b; CREATE TABLE b.planted ()",
            "SET search_path = app; SELECT id FROM planted",
            "planted is in several schemas",
        ),
        ("", "INSERT INTO app.planted VALUES (1)", "the role lacks SELECT, INSERT on app.planted"),
        (
            'CREATE SCHEMA "O\'dd one"; CREATE TABLE "O\'dd one"."T\'able ""planted ""x" ()',
            'INSERT INTO "O\'dd one"."T\'able ""planted ""x" DEFAULT VALUES',
            'the role lacks SELECT, INSERT on "O\'dd one"."T\'able ""planted ""x"',
        ),
        ("", "SELECT id FROM app.planted FOR UPDATE", "the role lacks SELECT, UPDATE on app.planted"),
        (
            "",
            "SELECT table_to_xml(oid, true, true, '') AS planted FROM pg_class WHERE relname = 'pg_am'",
            "it calls table_to_xml()",
        ),
        ("", "SELECT id, interval '1 day' AS planted FROM app.planted", "syntax error"),
        (
            "",
            f"SELECT {', '.join('id AS x' + 'y' * 40 for _ in range(300))} FROM app.planted",
            "its text is longer than 10,000",
        ),
    ],
)
def test_what_is_refused(granted: Database, setup: str, statement: str, why: str) -> None:
    before = len(logged(granted, 0))
    plan, reason = plan_of(
        granted, f"{statement} /* planted */" if "planted" not in statement else statement, setup=setup
    )
    assert (plan, reason[: len(why)]) == (None, why)
    assert "evil ran for pgdoctor" not in logged(granted, before)


@pytest.mark.pg(">= 16")
def test_what_planning_runs_where_nobody_looks(granted: Database) -> None:
    """The danger that the refusals above are for: if this fails, they prove nothing."""
    granted.sql(EVIL.format("int", "bool", "true") + "CREATE INDEX ON app.planted (id) WHERE app.evil(1)")
    before = len(logged(granted, 0))
    with connect(Dsn.parse(granted.dsn, {})) as session, session.transaction():
        session.query("EXPLAIN (GENERIC_PLAN) SELECT id FROM app.planted WHERE id = $1")
    assert "evil ran for pgdoctor" in logged(granted, before)


@pytest.mark.pg(">= 16")
def test_a_locked_table_is_not_waited_for(granted: Database) -> None:
    granted.server.forget_statements(granted.name)
    granted.sql("SELECT pg_sleep(0.01), id FROM app.planted")
    holder = granted.server.connect(granted.name)
    holder.autocommit = False
    holder.cursor().execute("ALTER TABLE app.planted ADD y int")
    rows = read(granted)
    holder.close()
    assert "app.planted is locked" in [row["reason"] for row in rows]


@pytest.mark.pg(">= 16")
def test_constants_in_expressions_are_masked(granted: Database) -> None:
    statement = "SELECT id FROM app.planted WHERE kind = 1"
    setup = "ALTER TABLE app.planted ADD CHECK (kind > 2); CREATE VIEW pg_temp.x AS SELECT 1"
    plan, reason = plan_of(granted, statement, setup=setup)
    assert (reason, plan["Filter"]) == (None, "(kind = $1)")
    assert plan_of(granted, statement, "none")[0]["Filter"] is None
    mask = plans._masked
    told = {"Filter": "((x = 'it''s'::text) AND (\"a 1\" > 17) AND (y1 = E'\\\\'))", "Alias": "t 1"}
    assert mask(told, "masked") == {
        "Filter": "((x = '***'::text) AND (\"a 1\" > ***) AND (y1 = '***'))",
        "Alias": "t 1",
    }


@pytest.mark.pg(">= 16")
def test_nothing_is_executed(make_server: Callable[..., Server]) -> None:
    granted = planted(make_server(autovacuum="off").new_database())  # whose transactions have numbers, too
    granted.sql(f"GRANT INSERT, UPDATE, DELETE ON app.planted TO {granted.role}")
    granted.sql("CREATE TABLE app.noted (x int); ALTER TABLE app.planted SET (autovacuum_enabled = off)")
    granted.sql(
        "CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO app.noted VALUES (1); RETURN NULL; END';"
        "CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON app.planted FOR EACH STATEMENT "
        "EXECUTE FUNCTION app.note()"
    )
    granted.sql("INSERT INTO app.planted SELECT generate_series(1, 20000)")
    granted.server.forget_statements(granted.name)
    granted.sql("INSERT INTO app.planted SELECT id + 20000 FROM app.planted")
    granted.sql("DELETE FROM app.planted WHERE id > 10")
    granted.sql("UPDATE app.planted SET x = 'y' WHERE id = 1")
    untracked = "SET pg_stat_statements.track = 'none';"
    counts = "(SELECT count(*) FROM app.noted), (SELECT count(*) FROM app.planted)"
    state = f"{untracked} SELECT {counts}, pg_snapshot_xmax(pg_current_snapshot())"
    before = granted.sql(state)
    calls = f"{untracked} SELECT sum(calls) FROM pg_stat_statements WHERE query ~ '^(INSERT|DELETE|UPDATE)'"
    ran = granted.sql(calls)
    rows = read(granted)
    assert sorted(row["plan"]["Operation"] for row in rows if row["plan"]) == ["Delete", "Insert", "Update"]
    assert (granted.sql(state), granted.sql(calls)) == (before, ran)
    assert before[0][:2] == (4, 10)


@pytest.mark.pg(">= 16")
def test_a_superuser_plans_nothing(newest_database: Database) -> None:
    newest_database.sql(f"ALTER ROLE {newest_database.role} SUPERUSER")
    with connect(Dsn.parse(newest_database.dsn, {})) as session:
        found = plans.read(session, "masked")
    assert found.section is None
    assert "is a superuser" in found.errors[0].error


@pytest.mark.pg(">= 16")
def test_own_statements_are_marked_and_not_planned(granted: Database) -> None:
    granted.server.forget_statements(granted.name)
    read(granted)
    planned = {row["queryid"] for row in read(granted)}
    sent = granted.sql(
        "SELECT queryid::text, query FROM pg_stat_statements JOIN pg_roles r ON r.oid = userid WHERE rolname = %s",
        (granted.role,),
    )
    assert [text for _, text in sent if not re.match(r"(SELECT|EXPLAIN|BEGIN|COMMIT) /\* pgdoctor:", text)] == []
    assert len(sent) > 5
    assert planned.isdisjoint(queryid for queryid, _ in sent)


@pytest.mark.pg("< 16")
def test_before_16(database: Database) -> None:
    with connect(Dsn.parse(database.dsn, {})) as session:
        [error] = plans.read(session, "masked").errors
    assert error.error == "EXPLAIN (GENERIC_PLAN) came with PostgreSQL 16"


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE t",
        "SELECT 1; DROP TABLE t",
        "SELECT $1; DROP TABLE t",
        "SELECT 'x'",
        "SELECT E'\\''",
        "SELECT $$x$$",
        "SELECT $a$x$a$",
        'SELECT U&"\\0065vil"',
        "SELECT /* /* nested */ */ x",
        "SELECT /* open",
        'SELECT "open',
        "SELECT x FROM t)",
        "SELECT 5",
        "SELECT repeat(x, 9999)",
        "SELECT x INTO y FROM t",
        "SELECT é",
        "SELECT 1e5",
        f"SELECT {'x' * 64}",
        "COPY t FROM PROGRAM x",
        "EXPLAIN ANALYZE DELETE FROM t",
        "",
    ],
)
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "select from a" + ",a" * 4990,
        "select " + ",a(" * 3300,
        "select " + "f(a," * 1990 + "a" + ")" * 1990,
        "select " + "a " * 4990,
        "select " + "(" * 4990 + ")" * 4990,
    ],
)
def test_a_long_text_is_quickly_read(text: str) -> None:
    """Nothing else of PGDoctor's runs meanwhile, and anybody who may ask the server for something can write it."""
    before = time.process_time()
    parse(text)
    assert time.process_time() - before < 0.5


def test_tables_are_found() -> None:
    def tables(text: str) -> dict[str, str]:
        statement = parse(text)
        return {statement.tokens[place].text: statement.privileges[place] for place in statement.tables}

    assert tables("UPDATE a SET x = $1 FROM b, c WHERE b.d = e RETURNING f") == {
        "a": "UPDATE",
        "b": "SELECT",
        "c": "SELECT",
    }
    assert tables("DELETE FROM a USING b WHERE a.id = b.id") == {"a": "DELETE", "b": "SELECT"}
    assert tables("INSERT INTO a (x, y) SELECT x, y FROM b") == {"a": "INSERT", "b": "SELECT"}
    assert tables("SELECT substring(a FROM $1), b FROM ONLY c d, e WHERE f IN (SELECT g FROM h)") == dict.fromkeys(
        "ceh", "SELECT"
    )
    assert tables("WITH RECURSIVE a (x) AS (SELECT x FROM b), c AS (SELECT y FROM a) SELECT z FROM c") == {
        "b": "SELECT"
    }
    assert tables("SELECT x FROM s.a JOIN b ON a.x = b.x AND b.y = c.z") == {"b": "SELECT"}
