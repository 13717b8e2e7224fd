"""The door to PostgreSQL, on real servers: who is let in, what a session may do, and what cuts it short."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError, UnsupportedServer
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.server import require_supported
from tests.fix_daemon import ROOT
from tests.fix_proxy import DRIP, Proxy
from tests.postgres.server import Database, Server
from tests.postgres_lib.relay import Relay
from tests.waiting import wait_for

PLAIN = "sslmode=disable gssencmode=disable"
SOON_S = 20  # half a second, on a machine that is busy; what is not cut short takes 25 s and more


def dsn(text: str, **environ: str) -> Dsn:
    return Dsn.parse(text, environ)


def patched(which: str, text: str, cwd: Path = ROOT, **environ: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "tests/postgres_lib/hang.py"), which, text]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_facts_of_every_major(server: Server, database: Database) -> None:
    with connect(dsn(database.dsn)) as session:
        facts = session.facts
    assert facts.major == server.major
    assert facts.version.startswith(f"PostgreSQL {server.major}.")
    assert (facts.db_name, facts.role) == (database.name, database.role)
    assert (facts.has_pg_monitor, facts.in_recovery) == (True, False)
    assert facts.pg_stat_statements_loaded
    assert facts.extensions["pg_stat_statements"].schema == "public"
    assert facts.has(f"pg >= {server.major}") and not facts.has(f"pg < {server.major}")
    assert facts.has("pg_stat_statements >= 1.7") and not facts.has("pg_stat_statements < 1.7")
    assert not facts.has("postgis >= 1.0") and not facts.has("postgis < 1.0")


def test_a_session_is_read_only_bounded_and_named(server: Server, database: Database) -> None:
    with connect(dsn(database.dsn)) as session:
        with session.transaction(2.5):
            names = "application_name", "search_path", "statement_timeout", "lock_timeout", "transaction_read_only"
            [row] = session.query(f"SELECT {', '.join(f'current_setting($${name}$$)' for name in names)}")
        assert row == ("pgdoctor", "pg_catalog", "2500ms", "100ms", "on")
        with session.transaction(), pytest.raises(DatabaseError) as caught:
            session.query("CREATE TABLE planted ()")
        assert caught.value.sqlstate == "25006"


def test_what_is_asked_again_and_again_keeps_to_limits_that_are_the_sessions(
    server: Server, database: Database
) -> None:
    database.sql("CREATE SEQUENCE public.planted")
    names = "statement_timeout", "lock_timeout", "transaction_read_only", "search_path", "plan_cache_mode"
    asked = f"SELECT {', '.join(f'current_setting($${name}$$)' for name in names)}"
    with connect(dsn(server.dsn(database.name))) as session:
        session.prepares = True
        for timeout_s, told in ((2.5, "2500ms"), (2.5, "2500ms"), (1.0, "1s")):
            row = session.ask(asked, 5, timeout_s, again=True)
            assert row == (told, "100ms", "on", "pg_catalog", "force_generic_plan")
        for refused, sqlstate in (("nextval('public.planted')::text", "25006"), ("pg_sleep(5)::text", "57014")):
            for _ in range(2):
                with pytest.raises(DatabaseError) as caught:
                    session.ask(f"SELECT {refused}", 1, 0.2, again=True)
                assert caught.value.sqlstate == sqlstate
        assert session.ask(asked, 5, 2.5)[0] == "2500ms", "what brings its own has its own"
        assert session.ask(asked, 5, 0.2, again=True)[0] == "200ms"
        with session.transaction(3):
            assert session.query(asked)[0][0] == "3s"


def test_limits_end_with_the_transaction(newest_server: Server) -> None:
    """Behind a pooler the next client gets this very session."""
    with connect(dsn(newest_server.dsn())) as session:
        with session.transaction(1):
            pass
        assert session.query("SELECT current_setting('statement_timeout'), current_setting('search_path')") == [
            ("0", '"$user", public')
        ]


def test_a_statement_that_takes_too_long_costs_itself_only(newest_server: Server) -> None:
    with connect(dsn(newest_server.dsn())) as session:
        with pytest.raises(DatabaseError) as caught, session.transaction(0.2):
            session.query("SELECT pg_sleep(5)")
        assert caught.value.sqlstate == "57014"
        with session.transaction():
            assert session.query("SELECT 1, NULL, true, 'ä'") == [("1", None, "t", "ä")]


@pytest.mark.parametrize("which", ["cut", "killed"])
def test_a_wait_that_is_cut_short_is_cut_short_on_the_server(newest_server: Server, which: str) -> None:
    outcome = patched(which, newest_server.dsn())
    assert (outcome["took_s"] < SOON_S, outcome["gap_s"] < SOON_S) == (True, True)
    assert outcome["result"] in ("killed", "DeadlineExceeded: the cycle took longer than 0.5 s")
    wait_for(lambda: not newest_server.backends("pgdoctor"), "the statement goes on")


def test_the_error_of_a_statement_is_told_though_its_rollback_is_not_answered(newest_server: Server) -> None:
    assert patched("unanswered", newest_server.dsn())["result"] == "DatabaseError: division by zero"


def test_a_silent_host_is_passed_over_in_time(newest_server: Server, silent: int) -> None:
    outcome = patched(
        "through", f"host=127.0.0.1,127.0.0.1 port={silent},{newest_server.port} user=postgres dbname=postgres"
    )
    assert outcome["result"] == "postgres"
    assert outcome["gap_s"] < SOON_S


def test_a_silent_server_is_given_up_on(silent: int) -> None:
    outcome = patched("through", f"postgres://u@127.0.0.1:{silent}/app")
    assert outcome["result"] == "DatabaseError: no answer within 0.5 s"


def test_a_connection_that_is_given_up_on_is_closed_at_once(silent: int) -> None:
    assert patched("given_up", f"postgres://u@127.0.0.1:{silent}/app")["result"] == "0 left open"


def test_many_silent_hosts_share_the_time(newest_server: Server, silent: int) -> None:
    live = ",".join([str(newest_server.port)] * 3)  # each has 0.1 s to answer: on a busy machine one may miss it
    hosts = f"host={','.join(['127.0.0.1'] * 83)} port={f'{silent},' * 80}{live}"
    outcome = patched("shared", f"{hosts} user=postgres dbname=postgres {PLAIN}")
    assert outcome["result"] == "postgres"
    assert outcome["took_s"] < SOON_S  # not eighty times half a second


def test_a_server_that_does_not_accept_is_given_up_on(full_backlog: int) -> None:
    outcome = patched("through", f"postgres://u@127.0.0.1:{full_backlog}/app")
    assert outcome["result"] == "DatabaseError: no answer within 0.5 s"
    assert outcome["gap_s"] < SOON_S


@pytest.mark.parametrize("after", [0, 40])
def test_a_server_that_drips_is_given_up_on(
    newest_server: Server, make_proxy: Callable[..., Proxy], after: int
) -> None:
    proxy = make_proxy(newest_server.port, DRIP, after=after)
    outcome = patched("through", f"host=127.0.0.1 port={proxy.port} user=postgres dbname=postgres {PLAIN}")
    assert outcome["result"] == "DatabaseError: no answer within 0.5 s"
    assert outcome["gap_s"] < SOON_S


def test_a_server_that_is_silent_in_the_handshake_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yes = threading.Thread(target=_say_yes_to_tls, args=(listener,))
        yes.start()
        where = f"host=127.0.0.1 port={listener.getsockname()[1]}"
        outcome = patched("through", f"{where} user=u sslmode=require gssencmode=disable")
        yes.join()
    assert outcome["result"] == "DatabaseError: no answer within 0.5 s"
    assert outcome["gap_s"] < SOON_S


def _say_yes_to_tls(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        while client.recv(1000):
            client.sendall(b"S")
            client.recv(1000)


def test_an_answer_without_end_is_cut_short(newest_server: Server) -> None:
    outcome = patched("flooded", newest_server.dsn())
    assert outcome["result"] == "DatabaseError: the server sent more than 64 MiB in answer to one statement"
    # libpq makes room for a row as soon as it knows its length, and may fill it in one go where the network keeps up.
    assert outcome["rss_mb"] < 700
    assert outcome["gap_s"] < SOON_S
    wait_for(lambda: not newest_server.backends("pgdoctor"), "the statement goes on")


def test_to_close_a_connection_that_is_stuck_takes_no_time(newest_server: Server) -> None:
    outcome = patched("stuffed", newest_server.dsn())
    assert outcome["result"] == "DeadlineExceeded: the cycle took longer than 0.5 s"
    assert outcome["gap_s"] < SOON_S


def test_a_server_that_lets_in_and_hangs_is_passed_over_in_time(newest_server: Server) -> None:
    with Relay(newest_server.port, "hang") as relay:
        hosts = f"host=127.0.0.1,127.0.0.1 port={relay.port},{newest_server.port}"
        outcome = patched("through", f"{hosts} user=postgres dbname=postgres {PLAIN}")
        alone = patched("through", f"host=127.0.0.1 port={relay.port} user=postgres dbname=postgres {PLAIN}")
    assert outcome["result"] == "postgres"
    assert alone["result"] == "DatabaseError: no answer: the first query took longer than 0.5 s"


def test_behind_a_pooler_only_the_own_statement_is_cancelled(newest_server: Server) -> None:
    with Relay(newest_server.port, "pool") as relay:
        outcome = patched("cut", f"host=127.0.0.1 port={relay.port} user=postgres dbname=postgres {PLAIN}")
        assert outcome["result"] == "DeadlineExceeded: the cycle took longer than 0.5 s"
        wait_for(lambda: len(newest_server.backends("pgdoctor")) == len(relay.others), "the statement goes on")
        assert relay.answers_to_others() == ["SELECT 1"] * len(relay.others)
    assert relay.others  # on a busy machine they may be few: half a second is over soon


def test_connect_timeout_in_the_dsn_wins(silent: int) -> None:
    outcome = patched("through", f"postgres://u@127.0.0.1:{silent}/app?connect_timeout=1")
    assert outcome["result"] == "DatabaseError: no answer within 1 s"


def test_each_host_has_its_say_where_causes_differ(newest_server: Server) -> None:
    text = f"host=127.0.0.1,localhost port=1,{newest_server.port} user=postgres dbname=nosuch"
    with pytest.raises(DatabaseError) as caught:
        connect(dsn(text))
    assert str(caught.value) == (
        f'127.0.0.1:1: connection refused, localhost:{newest_server.port}: database "nosuch" does not exist'
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("host=127.0.0.1 port=1 user=u", "connection refused"),
        ("host=nosuch.invalid user=u", "host name nosuch.invalid does not resolve"),
        ("host=/nosuch/folder user=u", "no such file or directory"),
    ],
)
def test_the_shortest_true_cause(text: str, cause: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        connect(dsn(text))
    assert str(caught.value) == cause


def test_a_password_is_never_in_an_error(newest_server: Server) -> None:
    database = newest_server.new_database()
    canary = "canary pw/äö%"
    try:
        with pytest.raises(DatabaseError) as caught:
            connect(dsn(newest_server.dsn(database.name, database.role, canary)))
    finally:
        database.drop()
    assert str(caught.value) == f'password authentication failed for user "{database.role}"'


def test_every_way_to_say_where(newest_server: Server, tmp_path: Path) -> None:
    server, port = newest_server, newest_server.port
    services = tmp_path / "services"
    services.write_text(f"[mine]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname=postgres\n")
    folder = quote(server.socket_dir, safe="")
    for found in (
        dsn(server.dsn()),
        dsn(f"host={server.socket_dir} port={port} user=postgres dbname=postgres"),
        dsn(f"postgresql://postgres@{folder}:{port}/postgres"),
        dsn(f"postgres:///postgres?host={folder}&port={port}&user=postgres"),
        dsn("service=mine", PGSERVICEFILE=str(services)),
        dsn("dbname=postgres", PGHOST="localhost", PGPORT=str(port), PGUSER="postgres"),
        dsn(f"hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres"),
    ):
        with connect(found) as session:
            assert session.facts.db_name == "postgres"


def test_no_other_service_fills_in(newest_server: Server, tmp_path: Path) -> None:
    database = newest_server.new_database()
    place = f"host=127.0.0.1\nport={newest_server.port}\nuser={database.role}\ndbname={database.name}\n"
    (tmp_path / "services").write_text(f"[bare]\n{place}\n[full]\n{place}password={database.password}\n")
    environ = {"PGSERVICE": "full", "PGSERVICEFILE": "services", "PGPASSFILE": "/nonexistent"}
    try:
        assert patched("through", "service=bare", tmp_path, **environ)["result"].endswith("no password supplied")
        assert patched("through", "connect_timeout=2", tmp_path, **environ)["result"] == database.name
    finally:
        database.drop()


def test_target_session_attrs(newest_server: Server, standby: Callable[[Server], Server]) -> None:
    replica = standby(newest_server)
    both = f"host=127.0.0.1,127.0.0.1 user=postgres dbname=postgres port={replica.port},{newest_server.port}"
    reverse = f"host=127.0.0.1,127.0.0.1 user=postgres dbname=postgres port={newest_server.port},{replica.port}"
    replica.used = True
    for text, wanted, in_recovery in (
        (both, "any", True),
        (both, "read-write", False),
        (both, "primary", False),
        (reverse, "standby", True),
        (reverse, "prefer-standby", True),
    ):
        with connect(dsn(f"{text} target_session_attrs={wanted}")) as session:
            assert session.facts.in_recovery is in_recovery, (text, wanted)
    replica.stop()
    with connect(dsn(f"{both} target_session_attrs=prefer-standby")) as session:
        assert session.facts.in_recovery is False


@pytest.mark.parametrize(("encoding", "shown"), [("SQL_ASCII", "\ufffd"), ("LATIN1", "ä")])
def test_text_comes_back_whatever_the_encoding(newest_server: Server, encoding: str, shown: str) -> None:
    name = f"enc_{encoding.lower()}"
    newest_server.create_database(name, encoding)
    try:
        with connect(dsn(newest_server.dsn(name))) as session, session.transaction():
            [(text,)] = session.query("SELECT convert_from('\\xe4'::bytea, getdatabaseencoding())")
    finally:
        newest_server.drop_database(name)
    assert text == shown


def test_functions_that_somebody_planted_are_not_called(newest_server: Server) -> None:
    database = newest_server.new_database()
    try:
        database.sql(
            "CREATE FUNCTION public.pg_has_role(oid, text, text) RETURNS bool LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'planted'; END $$"
        )
        with connect(dsn(database.dsn)) as session:
            assert session.facts.has_pg_monitor
    finally:
        database.drop()


@pytest.mark.pg(">= 14")
def test_a_server_checks_for_its_client_where_it_can(server: Server) -> None:
    database = server.new_database()
    try:
        assert _client_check(database) == "1s"
        database.sql(
            "CREATE OR REPLACE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE AS "
            "$$ SELECT 'PostgreSQL 14.1, compiled by Visual C++ build 1914, 64-bit' $$"
        )
        assert _client_check(database) == "0"
    finally:
        database.drop()


def _client_check(database: Database) -> str | None:
    with connect(dsn(database.dsn)) as session, session.transaction():
        return session.query("SELECT current_setting('client_connection_check_interval')")[0][0]


@pytest.mark.parametrize(("number", "told"), [(110022, "PostgreSQL 11"), (90624, "PostgreSQL 9.6")])
def test_a_server_that_is_too_old_gets_one_clear_line(number: int, told: str) -> None:
    with pytest.raises(UnsupportedServer) as caught:
        require_supported(number)
    assert str(caught.value) == f"{told} is too old: PGDoctor needs PostgreSQL 12 or later; upgrade the server"
