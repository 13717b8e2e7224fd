"""The fixtures themselves, tried once each: a test that leans on a broken one proves nothing."""

import json
import os
import signal
import sys
import urllib.error
import urllib.request

import psycopg2
import pytest

from tests.fix_daemon import Cli
from tests.fix_endpoint import Answer, Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for


def post(url: str, document: object) -> tuple[int, object]:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_each_major_is_the_one_that_it_says(server: Server) -> None:
    [(number,)] = server.sql("SELECT current_setting('server_version_num')::int / 10000")
    assert number == server.major


def test_a_database_has_a_role_that_needs_its_password(database: Database) -> None:
    with psycopg2.connect(database.dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role(current_user, 'pg_monitor', 'member'), count(*) >= 0 FROM pg_stat_statements"
        )
        assert cursor.fetchall() == [(True, True)]
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(database.server.dsn(database.name, database.role, "wrong"))


@pytest.mark.pg(">= 13, < 15")
def test_the_mark_limits_the_majors(server: Server) -> None:
    assert server.major in (13, 14)


def test_a_fresh_server_restarts_with_settings(fresh_server: Server) -> None:
    fresh_server.restart(log_line_prefix="it's %m", max_connections=12)
    assert fresh_server.sql("SHOW log_line_prefix") == [("it's %m",)]
    fresh_server.restart()
    assert fresh_server.sql("SHOW max_connections") == [("100",)]
    fresh_server.create_database("latin", encoding="LATIN1")
    assert fresh_server.sql("SHOW server_encoding", dbname="latin") == [("LATIN1",)]


def test_a_standby_follows(server: Server, standby) -> None:
    follower = standby(server)
    assert follower.sql("SELECT pg_is_in_recovery()") == [(True,)]
    server.create_role("seen_by_standby")
    follower.catch_up()
    assert follower.sql("SELECT 1 FROM pg_roles WHERE rolname = 'seen_by_standby'") == [(1,)]
    server.sql("DROP ROLE seen_by_standby")


def test_the_endpoint_answers_by_its_script_and_then_with_200(endpoint: Endpoint) -> None:
    endpoint.script([503, (201, {}, {"id": 7})])
    assert post(endpoint.url, {"n": 1})[0] == 503
    assert post(endpoint.url, {"n": 2}) == (201, {"id": 7})
    assert post(endpoint.url, {"n": 3}) == (200, {"id": "abc123"})
    assert endpoint.snapshots == [{"n": 2}, {"n": 3}]


def test_the_endpoint_goes_down_resets_and_comes_up_again(endpoint: Endpoint) -> None:
    endpoint.script([Answer(reset=True)])
    with pytest.raises(ConnectionResetError):
        post(endpoint.url, {})
    endpoint.down()
    with pytest.raises(urllib.error.URLError, match="refused"):
        post(endpoint.url, {})
    endpoint.up()
    assert post(endpoint.url, {})[0] == 200


def test_the_tls_endpoint_is_trusted_through_its_file_only(
    tls_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        post(tls_endpoint.url, {})
    monkeypatch.setenv("SSL_CERT_FILE", tls_endpoint.ca_file)
    assert post(tls_endpoint.url, {})[0] == 200


SLEEPER = "import os, sys, time; print('✓ up', os.isatty(1), flush=True); time.sleep(60)"


@pytest.mark.parametrize("tty", [False, True])
def test_a_started_process_is_read_signalled_and_ended(cli: Cli, tty: bool) -> None:
    cli.command = (sys.executable, "-c", SLEEPER)
    running = cli.start(tty=tty)
    assert running.wait_for_line(r"^✓ up (\w+)")[1] == str(tty)
    running.send(signal.SIGTERM)
    assert running.finish().returncode == -signal.SIGTERM


def test_what_a_test_leaves_in_the_background_is_killed(cli: Cli) -> None:
    cli.command = (
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], stdout=-3, stderr=-3)",
    )
    assert cli.run().returncode == 0
    [left] = wait_for(cli.leftovers, "no process in the background")
    cli.end()
    wait_for(lambda: not os.path.exists(f"/proc/{left}") or left not in cli.leftovers(), "it is still there")


def test_a_process_that_ends_without_the_line_says_so(cli: Cli) -> None:
    cli.command = (sys.executable, "-c", "print('other')")
    with pytest.raises(AssertionError, match="ended without a line"):
        cli.start().wait_for_line("never")


def test_a_connection_that_a_test_leaves_open_holds_its_lock_no_longer_than_the_test(newest_server: Server) -> None:
    newest_server.connect().cursor().execute("BEGIN; LOCK TABLE pg_catalog.pg_authid IN ACCESS EXCLUSIVE MODE")


def test_and_the_next_test_is_not_hindered(newest_server: Server) -> None:
    assert newest_server.sql("SELECT count(*) > 0 FROM pg_authid") == [(True,)]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_a_started_process_inherits_no_ignored_signal(cli: Cli, signum: int) -> None:
    cli.command = (sys.executable, "-c", f"import signal; print(signal.getsignal({int(signum)}) != signal.SIG_IGN)")
    assert cli.run().stdout == "True\n"
