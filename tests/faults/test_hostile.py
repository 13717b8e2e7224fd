"""A server full of hostile names, texts and code, watched from daemon to page: nothing breaks, and none of it runs."""

import json
import re
import socket
import struct
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql as compose

from tests.fix_daemon import Cli
from tests.postgres.server import Server
from tests.receiver.client import TOKEN, Client
from tests.receiver.pages import visit
from tests.waiting import wait_for

NAMES = [
    "<script>alert(1)</script>",
    "'; DROP TABLE t; --",
    '"quoted" \\ back',
    "two\nlines\r\ttab",
    "\x1b]0;title\x07\x1b[31mred\x9b31m",
    "\u202egnp.exe\u2066\u200b\u2028\ufeff",
    "%s %(x)s {} ${HOME} $1 :x :'y'",
    "</td>&lt;&amp;<!-- ]]>",
    "😀𝔘\ufffd",
]
Figure = Callable[[str, str], None]
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u202a-\u202e\u2066-\u2069\ufeff]")


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def raw_session(server: Server, application_name: bytes, query: bytes) -> socket.socket:
    """A session that no library would open: its names and its texts are whatever bytes are given."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    pairs = [b"user", b"postgres", b"database", b"postgres", b"application_name", application_name, b""]
    startup = struct.pack("!i", 196608) + b"\0".join(pairs) + b"\0"
    connection.sendall(struct.pack("!i", len(startup) + 4) + startup)
    received = b""
    while not re.search(rb"Z\0\0\0\x05", received):
        received += connection.recv(65536)
    connection.sendall(b"Q" + struct.pack("!i", len(query) + 5) + query + b"\0")
    return connection


def fill(server: Server, sessions: list[Any]) -> dict[str, dict[str, str]]:
    """Hostile roles, databases, tables, indexes, sessions and texts; the databases as the daemon is to watch them."""
    rows = {}
    for number, name in enumerate(NAMES):
        server.create_role(name, "pw", grants=("pg_monitor",))
        server.create_database(name, owner=name)
        quoted = identifier(name).replace("%", "%%")
        server.sql(f"CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} int)", (), name)
        server.sql(
            f"CREATE INDEX {identifier('ix' + name).replace('%', '%%')} ON {quoted}.{quoted} (({quoted} + 1))", (), name
        )
        server.sql("CREATE EXTENSION pg_stat_statements", None, name)
        server.sql(compose.SQL("COMMENT ON DATABASE {} IS {}").format(compose.Identifier(name), compose.Literal(name)))
        server.sql(
            compose.SQL("SELECT 1 AS {}, {} AS text").format(compose.Identifier(name), compose.Literal(name)),
            None,
            name,
        )
        session = server.connect(name, name, "pw")
        sessions.append(session)
        session.cursor().execute("SELECT set_config('application_name', %s, false)", (name,))
        session.cursor().execute(f"SELECT 1 /* {name.replace('/', '')} */ AS {quoted}".replace("%%", "%"))
        rows[f"db{number}"] = {"dsn": server.dsn(name, name, "pw")}
    rows["postgres"] = {"dsn": server.dsn()}
    sessions.append(raw_session(server, b"\xff\xfe<b>\x01", b'SELECT 1 AS "\xc3\xa9" -- \xff\xfe'))
    sessions.append(raw_session(server, b"large", b"SELECT '" + b"<x>\x1b" * 2_500_000 + b"'"))
    return rows


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_hostile_names_from_daemon_to_page(
    make_server: Callable[..., Server], cli: Cli, log_format: str, figure: Figure
) -> None:
    server = make_server(track_activity_query_size=1048576)
    receiver = Client(cli)
    sessions: list[Any] = []
    rows = fill(server, sessions)
    settings = {
        "endpoint": f"http://127.0.0.1:{receiver.port}/api/snapshots",
        "token": TOKEN,
        "interval": 1,
        "budget": "100%",  # at each second a busy machine spends more than the default
        "query_text": "full",
    }
    named = [{"name": name, **row} for name, row in rows.items()]
    (cli.cwd / "pgdoctor.yaml").touch(0o600)
    named += [{"name": f"refused{number}", "dsn": server.dsn(name, name, "no")} for number, name in enumerate(NAMES)]
    (cli.cwd / "pgdoctor.yaml").write_text(json.dumps({**settings, "databases": named}))
    daemon = cli.start("daemon", "--log-format", log_format)
    listed = wait_for(lambda: _all(receiver, len(rows)), "not all are there", 60)
    wait_for(lambda: daemon.output.count("script>alert(1)</script>") > 1, "no line names a role that was refused")
    daemon.send()
    done = daemon.finish()
    for session in sessions:
        session.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert not CONTROL.search(done.stdout)
    if log_format == "json":
        assert all(isinstance(json.loads(line), dict) for line in done.stdout.splitlines())
    assert {each["name"] for each in listed} == set(rows)
    seen = "".join(_check_pages(receiver, each["id"]) for each in listed)
    assert [name for name in NAMES if json.dumps(name, ensure_ascii=False)[1:-1] not in seen] == []
    assert receiver.running.errors == []
    figure(
        "hostile names and texts",
        f"{len(NAMES)} names in every place, {len(rows)} databases, {log_format}: nothing breaks",
    )


def _all(receiver: Client, count: int) -> list[dict[str, Any]] | None:
    listed = receiver.get("/api/databases").json["databases"]
    return listed if len(listed) == count else None


def _check_pages(receiver: Client, source: str) -> str:
    """The page shows text and nothing else; the newest snapshot, as text, is JSON without an error in it."""
    for path in ("/", f"/databases/{source}"):
        assert not CONTROL.search(visit(receiver, path).html)
    [newest] = receiver.get(f"/api/databases/{source}/snapshots?limit=1").json["snapshots"]
    body = receiver.get(f"/api/snapshots/{newest['id']}").body.decode("utf-8")
    document = json.loads(body)
    assert [error for error in document["errors"] if error["collector"] != "top_queries"] == []
    assert len(body) < 3_000_000
    return json.dumps(document, ensure_ascii=False)


TRAP = """
CREATE TABLE IF NOT EXISTS public.sprung (what text, who text, at timestamptz DEFAULT clock_timestamp());
GRANT ALL ON public.sprung TO PUBLIC;
"""
TRAPPED_TABLE = """
CREATE TABLE t (id int);
CREATE FUNCTION ix(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
 IF current_user <> 'evil' THEN INSERT INTO public.sprung VALUES ('index', current_user); END IF; RETURN $1; END $$;
CREATE INDEX ON t (ix(id)) WHERE ix(id) > 0;
INSERT INTO t VALUES (1);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (ix(id) > 0);
CREATE VIEW v WITH (security_barrier) AS SELECT ix(id) FROM t
"""
FUNCTIONS = """
pg_table_size(regclass) bigint
pg_table_size(name) bigint
pg_database_size(name) bigint
left(text, int) text
left(varchar, int) text
json_build_object(text, text) json
row_to_json(anyelement) json
age(int8) int
age(text) int
round(text, int) numeric
current_setting(name) text
set_config(text, text, boolean) text
regexp_matches(varchar, text, text) text
version() text
pg_stat_get_numscans(bigint) bigint
pg_backend_pid() int
pg_is_in_recovery() boolean
current_database() name
pg_get_indexdef(bigint) text
host(text) text
pg_has_role(name, text, text) boolean
split_part(varchar, text, int) text
pg_blocking_pids(bigint) int[]
"""
OPERATORS = ["=", "<>", "||", "-", ">", "~", "~*", "!~*", "*", ">="]
VIEWS = [
    "pg_stat_activity",
    "pg_locks",
    "pg_class",
    "pg_database",
    "pg_settings",
    "pg_roles",
    "pg_stat_statements",
    "pg_extension",
]


def plant(connection: Any, schema: str) -> int:
    """In one schema: functions, operators and views named like what PGDoctor asks for; how many could be made."""
    body = "BEGIN RAISE WARNING 'sprung'; INSERT INTO public.sprung VALUES ('{0}', current_user); RETURN NULL; END"
    statements = []
    for line in FUNCTIONS.strip().splitlines():
        function, _, result = line.rpartition(" ")
        language = f"LANGUAGE plpgsql AS $$ {body.format(function)} $$"
        statements.append(f"CREATE FUNCTION {schema}.{function} RETURNS {result} {language}")
    for number, operator in enumerate(OPERATORS):
        for left, right in (
            ("text", "text"),
            ("name", "text"),
            ("name", "name"),
            ("oid", "oid"),
            ("varchar", "text"),
            ("int", "int"),
        ):
            function = f"{schema}.op_{number}_{left}_{right}"
            language = f"LANGUAGE plpgsql AS $$ {body.format(operator)} $$"
            statements.append(f"CREATE FUNCTION {function}({left}, {right}) RETURNS boolean {language}")
            statements.append(
                f"CREATE OPERATOR {schema}.{operator} (LEFTARG={left}, RIGHTARG={right}, FUNCTION={function})"
            )
    sprung = f"CREATE FUNCTION {schema}.sprung() RETURNS int LANGUAGE plpgsql AS $$ {body.format('view')} $$"
    statements.append(sprung)
    statements += [f"CREATE VIEW {schema}.{view} AS SELECT {schema}.sprung() AS pid" for view in VIEWS]
    statements.append(
        f"CREATE AGGREGATE {schema}.json_agg (anyelement) (SFUNC = array_append, STYPE = anyarray, INITCOND = '{{}}')"
        if connection.server_version < 140000
        else f"CREATE AGGREGATE {schema}.json_agg (anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray)"
    )
    made = 0
    with connection.cursor() as cursor:
        for statement in statements:
            try:
                cursor.execute(statement)
                made += 1
            except (
                psycopg2.errors.InvalidFunctionDefinition,
                psycopg2.errors.DuplicateFunction,
                psycopg2.errors.DuplicateTable,
            ):
                pass
    return made


@pytest.mark.parametrize("superuser", [False, True], ids=["pg_monitor", "superuser"])
def test_no_planted_code_runs(
    make_server: Callable[..., Server], cli: Cli, superuser: bool, request: pytest.FixtureRequest, figure: Figure
) -> None:
    majors = {request.getfixturevalue("newest_server").major}
    if request.config.getoption("--full"):
        majors.add(request.getfixturevalue("oldest_server").major)
    made = sum(_watch_a_trapped_server(make_server(major), cli, superuser) for major in sorted(majors))
    figure("no planted code runs", f"{made} planted objects, agent {'superuser' if superuser else 'pg_monitor'}: 0 ran")


def _watch_a_trapped_server(server: Server, cli: Cli, superuser: bool) -> int:
    server.create_role("monitor", "pw")
    server.create_role("evil", "pw", grants=())
    server.create_database("trapped", owner="evil")
    server.sql("CREATE EXTENSION pg_stat_statements", None, "trapped")
    server.sql(TRAP, None, "trapped")
    server.sql("GRANT ALL ON SCHEMA public TO evil; CREATE SCHEMA monitor AUTHORIZATION evil", None, "trapped")
    with closing(server.connect("trapped", "evil", "pw")) as evil:
        made = plant(evil, "public") + plant(evil, "monitor")  # "$user" names the second
        evil.cursor().execute(TRAPPED_TABLE)
        evil.cursor().execute("ALTER DATABASE trapped SET search_path = public, monitor, pg_catalog")
        evil.cursor().execute("ALTER DATABASE trapped SET default_transaction_read_only = off")
        evil.cursor().execute("ALTER DATABASE trapped SET row_security = off")
    server.sql("ALTER ROLE monitor SET search_path = '$user', public, pg_catalog")
    if superuser:
        server.sql("ALTER ROLE monitor SUPERUSER")
    for command in ("snapshot", "config test"):
        env = {
            "PGDOCTOR_DSN": server.dsn("trapped", "monitor", "pw"),
            "PGDOCTOR_ENDPOINT": "http://127.0.0.1:1/",
            "PGDOCTOR_TOKEN": "x",
        }
        done = cli.run(*command.split(), env=env)
        if command == "snapshot":
            assert (done.returncode, json.loads(done.stdout)["errors"]) == (0, []), done.stderr
    assert server.sql("SELECT what, who FROM public.sprung", None, "trapped") == []
    assert "sprung" not in re.sub("STATEMENT:.*|ERROR:.*", "", server.log.read_text(errors="replace"))
    server.sql("SET search_path = public, pg_catalog; SELECT version()", None, "trapped")  # the traps do work
    assert server.sql("SELECT count(*) FROM public.sprung", None, "trapped") == [(1,)]
    return made
