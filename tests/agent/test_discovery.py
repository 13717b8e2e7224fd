"""Databases that come and go under a running daemon, and passwords that change under it."""

import json
import os
import re
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql as compose

from pgdoctor_lib.agent import discovery
from pgdoctor_lib.agent.leader import Leader
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import Config, Spool, Target
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.values import Discover
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.discover import databases
from tests.agent.at_home import configure
from tests.faults.bad_server import message
from tests.fix_daemon import Cli, Running
from tests.fix_endpoint import Endpoint
from tests.fix_proxy import Proxy
from tests.postgres.server import Server
from tests.waiting import wait_for

QUICK = str(Path(__file__).with_name("quick_discovery.py"))
ENTRY = Target("production", Dsn.parse("host=h dbname=postgres", {}), discover=Discover())
PASSWORD = "canary-pw-first"
HOSTILE = ("a=b", "postgres://u@h/x", "line\nbreak", "line\\x0abreak", ' "quo\'ted" ', "größe 🐘", "%s;--")


class Cluster:
    """A server of its own, a role with a password, and databases that this test makes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        server.create_role("watcher", PASSWORD)

    def dsn(self, dbname: str = "postgres", password: str | None = PASSWORD) -> str:
        return self.server.dsn(dbname, "watcher", password)

    def create(self, *names: str) -> None:
        for name in names:
            self.server.create_database(name)

    def drop(self, *names: str) -> None:
        for name in names:
            self.server.drop_database(name)

    def alter(self, statement: str, *names: str) -> None:
        self.server.sql(compose.SQL(statement).format(*map(compose.Identifier, names)))

    def rotate(self, password: str) -> None:
        self.server.sql("ALTER ROLE watcher PASSWORD %s", (password,))


@pytest.fixture
def cluster(fresh_server: Server) -> Cluster:
    return Cluster(fresh_server)


@pytest.fixture
def quick(cli: Cli) -> Cli:
    """A command line whose daemon looks each 200 ms."""
    cli.command = (sys.executable, QUICK)
    cli.env["EVERY_S"] = "0.2"
    return cli


@pytest.fixture
def write(cli: Cli, endpoint: Endpoint) -> Callable[..., None]:
    """`write({"name": …}, ha=True)`: ./pgdoctor.yaml."""

    def make(*databases: dict[str, Any], **settings: object) -> None:
        configure(cli, json.dumps({"endpoint": endpoint.url, "token": "tok", **settings, "databases": databases}))

    return make


def entry(cluster: Cluster, **given: object) -> dict[str, Any]:
    return {"name": "production", "dsn": cluster.dsn(), "interval": 1, "discover": True, **given}


def seen(endpoint: Endpoint) -> set[str]:
    return {snapshot["database"]["name"] for snapshot in endpoint.snapshots}


def count(endpoint: Endpoint, name: str) -> int:
    return [snapshot["database"]["name"] for snapshot in endpoint.snapshots].count(name)


def end(daemon: Running) -> str:
    daemon.send()
    done = daemon.finish()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_which_there_are_on_every_major(server: Server) -> None:
    made = server.new_database()
    names = {what: f"{what}_{made.name}" for what in ("open", "closed", "refused", "template")}
    try:
        for name in names.values():
            server.create_database(name)
        server.sql(f"ALTER DATABASE {names['closed']} ALLOW_CONNECTIONS false")
        server.sql(f"ALTER DATABASE {names['template']} IS_TEMPLATE true")
        server.sql(f"REVOKE CONNECT ON DATABASE {names['refused']} FROM PUBLIC")
        found = databases(Dsn.parse(made.dsn, {}))
        assert {made.name, names["open"], "postgres"} <= set(found)
        assert not {names["closed"], names["refused"], names["template"], "template1"} & set(found)
        server.sql(f"GRANT CONNECT ON DATABASE {names['refused']} TO {made.role}")
        assert names["refused"] in databases(Dsn.parse(made.dsn, {}))
        assert server.sql("SELECT datname FROM pg_database WHERE datname ~ %s", (made.name,))
    finally:
        server.sql(f"ALTER DATABASE {names['template']} IS_TEMPLATE false")
        for name in names.values():
            server.drop_database(name)
        made.drop()


@pytest.mark.pg(">= 16")
def test_what_a_drop_left_behind_is_no_database(fresh_server: Server) -> None:
    fresh_server.create_database("invalid")
    fresh_server.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'invalid'")
    assert databases(Dsn.parse(fresh_server.dsn(), {})) == ("postgres",)


@pytest.mark.parametrize("width", [1, 4])
def test_an_answer_of_another_width_is_an_error_of_one_line(
    newest_server: Server, make_proxy: Callable[..., Proxy], width: int
) -> None:
    proxy = make_proxy(newest_server.port)
    proxy.rewrite = lambda piece: with_width(piece, width)
    with pytest.raises(DatabaseError, match="^the server's answer makes no sense$"):
        databases(Dsn.parse(f"{proxy.dsn(newest_server.dsn())}?sslmode=disable", {}))


def with_width(piece: bytes, width: int) -> bytes:
    """The list of databases with that many columns; all else as it is."""
    if b"datname" not in piece:
        return piece
    column = b"datname\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
    rows = [
        message(b"T", struct.pack("!h", width) + column * width),
        message(b"D", struct.pack("!h", width) + struct.pack("!i1s", 1, b"t") * width),
        message(b"C", b"SELECT 1\0"),
    ]
    return piece[: piece.rfind(b"T", 0, piece.index(b"datname"))] + b"".join(rows) + message(b"Z", piece[-1:])


def test_created_and_dropped_under_a_running_daemon(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    cluster.create("first", "closed", "refused")
    cluster.alter("ALTER DATABASE {} ALLOW_CONNECTIONS false", "closed")
    cluster.alter("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", "refused")
    write(entry(cluster, tags=["of-the-entry"]))
    daemon = quick.start("daemon")
    daemon.wait_for_line(r"\[production\] 2 databases found$")
    wait_for(lambda: seen(endpoint) == {"production/first", "production/postgres"}, lambda: str(seen(endpoint)))
    assert endpoint.snapshots[0]["database"]["tags"] == ["of-the-entry"]
    cluster.create("second")
    daemon.wait_for_line(r"\[production\] 1 database found: production/second$")
    wait_for(lambda: "production/second" in seen(endpoint), "it is not collected")
    cluster.drop("first")
    daemon.wait_for_line(r"\[production\] 1 database gone: production/first$")
    before = count(endpoint, "production/second")
    wait_for(lambda: count(endpoint, "production/second") > before + 1, "the others go on")
    cluster.alter("ALTER DATABASE {} ALLOW_CONNECTIONS true", "closed")
    cluster.alter("GRANT CONNECT ON DATABASE {} TO watcher", "refused")
    wait_for(lambda: {"production/closed", "production/refused"} <= seen(endpoint), "what was allowed is not noticed")
    text = end(daemon)
    assert "internal error" not in text
    last = [line for line in text.splitlines() if "[production/first]" in line][-1]
    assert text.index(last) < text.index("[production/closed] Collecting")


def test_a_renamed_one_goes_and_comes(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    cluster.create("before")
    write(entry(cluster, discover={"exclude": ["postgres"]}))
    daemon = quick.start("daemon")
    wait_for(lambda: seen(endpoint) == {"production/before"}, "no snapshot")
    cluster.alter("ALTER DATABASE {} RENAME TO {}", "before", "after")
    daemon.wait_for_line("1 database found: production/after")
    daemon.wait_for_line("1 database gone: production/before")
    wait_for(lambda: seen(endpoint) == {"production/before", "production/after"}, "no snapshot")
    end(daemon)


def test_a_failing_look_keeps_what_was_known(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    cluster.create("app", "maintenance")
    write(entry(cluster, dsn=cluster.dsn("maintenance"), discover={"include": ["app"]}))
    daemon = quick.start("daemon", "--pid-file", str(quick.runtime / "pgdoctor.pid"))
    wait_for(lambda: count(endpoint, "production/app") > 0, "no snapshot")
    cluster.drop("maintenance")
    daemon.wait_for_line(r"\[production\] looking for databases failed: database \"maintenance\" does not exist")
    before = count(endpoint, "production/app")
    wait_for(lambda: count(endpoint, "production/app") > before + 1, "it is not collected any more")
    told = json.loads(quick.run("daemon", "status", "--json").stdout)["databases"]
    assert [(one["name"], one["last_error"]) for one in told] == [
        ("production", 'looking for databases failed: database "maintenance" does not exist'),
        ("production/app", None),
    ]
    cluster.create("maintenance")
    wait_for(lambda: "looking for" not in quick.run("daemon", "status").stdout, "the error stays")
    assert end(daemon).count('looking for databases failed: database "maintenance" does not exist') == 1


def test_a_server_that_comes_up_later(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    cluster.server.stop()
    write(entry(cluster))
    daemon = quick.start("daemon")
    daemon.wait_for_line(r"\[production\] looking for databases failed: connection refused$")
    cluster.server.start()
    wait_for(lambda: seen(endpoint) == {"production/postgres"}, "no snapshot")
    end(daemon)


def test_a_reload_leaves_alone_what_did_not_change(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    cluster.create("one", "two")
    write(entry(cluster, interval=60), {"name": "other", "dsn": cluster.dsn(), "interval": 60})
    quick.env["EVERY_S"] = "600"
    daemon = quick.start("daemon")
    everything = {"production/one", "production/two", "production/postgres", "other"}
    wait_for(lambda: seen(endpoint) == everything, "not all")
    cluster.create("three")
    write(entry(cluster, interval=60), {"name": "added", "dsn": cluster.dsn(), "interval": 60})
    daemon.send(signal.SIGHUP)
    daemon.wait_for_line("configuration reloaded: 1 database added, 1 database removed")
    daemon.wait_for_line("1 database found: production/three")  # a reload looks at once
    wait_for(lambda: {"added", "production/three"} <= seen(endpoint), "the new ones")
    assert [count(endpoint, name) for name in sorted(everything)] == [1, 1, 1, 1], "an unchanged one began anew"
    write(entry(cluster, interval=60, discover={"include": ["t*"]}))
    daemon.send(signal.SIGHUP)
    daemon.wait_for_line("2 databases gone: production/one, production/postgres")
    assert count(endpoint, "production/two") == 1, "an unchanged one began anew"
    write(entry(cluster, interval=60, limit=7, discover={"include": ["t*"]}))
    daemon.send(signal.SIGHUP)
    wait_for(lambda: count(endpoint, "production/two") == 2, "a changed one goes on as before")
    end(daemon)


def test_the_same_server_twice_and_a_name_that_is_taken(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    cluster.create("app")
    write(
        entry(cluster, interval=60),
        entry(cluster, interval=60, name="again", discover={"include": "app"}),
        {"name": "production/app", "dsn": cluster.dsn("postgres"), "interval": 60, "tags": ["configured"]},
    )
    daemon = quick.start("daemon")
    wait_for(lambda: {"production/postgres", "again/app", "production/app"} == seen(endpoint), "not all")
    [named] = [each for each in endpoint.snapshots if each["database"]["name"] == "production/app"]
    assert named["database"]["tags"] == ["configured"] and named["meta"]["db_name"] == "postgres"
    end(daemon)


def test_hostile_names(quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint) -> None:
    cluster.create(*HOSTILE)
    write(entry(cluster, interval=60, discover={"exclude": ["postgres"]}))
    daemon = quick.start("daemon")
    wait_for(lambda: {each["meta"]["db_name"] for each in endpoint.snapshots} == set(HOSTILE), lambda: repr(daemon))
    names = seen(endpoint)
    assert len(names) == len(HOSTILE) and all(name.isprintable() for name in names)
    assert {"production/a=b", "production/line\\x0abreak", "production/größe 🐘"} <= names
    [odd] = [name for name in names if re.fullmatch(r"production/line\\x0abreak#[0-9a-f]{6}", name)]
    end(daemon)
    for name, dbname in ((odd, "line\nbreak"), ("production/postgres://u@h/x", "postgres://u@h/x")):
        done = quick.run("upload", name)
        assert done.returncode == 0, done
        assert endpoint.snapshots[-1]["meta"]["db_name"] == dbname


def test_one_at_a_time_by_name(cli: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint) -> None:
    cluster.create("app")
    write(entry(cluster), {"name": "down", "dsn": "host=127.0.0.1 port=1", "discover": True})
    done = cli.run("snapshot", "production/app")
    assert done.returncode == 0, done
    assert (json.loads(done.stdout)["database"]["name"], json.loads(done.stdout)["meta"]["db_name"]) == (
        "production/app",
        "app",
    )
    assert cli.run("upload", "production/app").stdout.startswith("uploaded snapshot")
    assert seen(endpoint) == {"production/app"}
    for name in ("production", "production/nobody"):
        done = cli.run("snapshot", name)
        assert done.returncode == 2
        assert done.stderr == (
            f"pgdoctor: no database is called {name}; name one of: production/app, production/postgres, down/…\n"
        )
    done = cli.run("snapshot", "down/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"pgdoctor: down: looking for databases failed: connection refused.*\n", done.stderr)


def test_config_show_and_test_look_once(cli: Cli, cluster: Cluster, write: Callable[..., None]) -> None:
    cluster.create("app")
    down = {"name": "down", "dsn": "host=127.0.0.1 port=1", "discover": True}
    write(entry(cluster), down)
    shown = cli.run("config", "show")
    assert shown.returncode == 0, shown
    lines = shown.stdout.splitlines()
    assert lines[-3:-1] == [
        "# discovered by production: production/app",
        "# discovered by production: production/postgres",
    ]
    assert lines[-1].startswith("# discovered by down: down: looking for databases failed: connection refused")
    document = json.loads(cli.run("config", "show", "--json").stdout)
    assert document["discovered"]["production"] == ["production/app", "production/postgres"]
    tested = cli.run("config", "test")
    assert tested.returncode == 1
    assert "✓ production: 2 databases found\n" in tested.stdout
    assert "✗ down: looking for databases failed: connection refused" in tested.stdout
    assert "✓ production/app: PostgreSQL" in tested.stdout and "✓ production/postgres: PostgreSQL" in tested.stdout
    write(entry(cluster))
    assert cli.run("config", "test").returncode == 0
    write(entry(cluster, discover={"include": ["nothing"]}))
    tested = cli.run("config", "test")
    assert tested.returncode == 1
    assert "✗ production: no database lets this role in and fits include and exclude" in tested.stdout


def test_a_thousand_and_more() -> None:
    names = [f"db{number:04}" for number in range(1200)]
    targets = discovery.members(ENTRY, names)
    assert len(targets) == discovery.MOST == 1000
    assert (targets[0].name, targets[-1].name) == ("production/db0000", "production/db0999")
    assert targets[5].dsn.dbname == "db0005" and targets[5].discover is None


def test_names_are_told_apart() -> None:
    names = [target.name for target in discovery.members(ENTRY, ["a\nb", "a\\x0ab", " a", "a", "a\u200b", "x" * 63])]
    assert len(set(names)) == 6 and all(name.isprintable() and name == name.strip() for name in names)


def test_the_group_of_daemons_is_the_entry_s() -> None:
    """Two daemons, one of which knows of a new database already, want the same lease; another rule is another one."""

    def identity(target: Target) -> object:
        return Leader([target], SYSTEM, lambda text, level="info": None).identity

    config = Config("multi", "x", None, (ENTRY,), Spool("/s"))
    assert config.databases == (ENTRY,)
    assert identity(ENTRY) == identity(Target("production", ENTRY.dsn, discover=Discover()))
    plain = Target("production", ENTRY.dsn)
    narrow = Target("production", ENTRY.dsn, discover=Discover(("a",)))
    assert len({str(identity(each)) for each in (ENTRY, plain, narrow)}) == 3


def test_with_ha_the_lease_outlives_what_comes_and_goes(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    keys = "SELECT classid, objid, pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    cluster.create("one")
    write(entry(cluster), ha=True)
    first = quick.start("daemon")
    first.wait_for_line("this daemon collects")
    lease = wait_for(lambda: cluster.server.sql(keys), "no lease")
    second = quick.start("daemon", env={"XDG_STATE_HOME": str(quick.home / "second")})
    second.wait_for_line("another daemon collects; standing by")
    cluster.create("two")
    for daemon in (first, second):
        daemon.wait_for_line("1 database found: production/two")
    wait_for(lambda: count(endpoint, "production/two") >= 3, "it is not collected")
    cluster.drop("one")
    for daemon in (first, second):
        daemon.wait_for_line("1 database gone: production/one")
    assert cluster.server.sql(keys) == lease
    assert "Collecting" not in second.output
    ids = [snapshot["snapshot_id"] for snapshot in endpoint.snapshots]
    assert len(ids) == len(set(ids)), "both collected"
    end(first)
    second.wait_for_line(r"\[production/two\] Collecting")
    end(second)


@pytest.fixture
def rotating(quick: Cli) -> Path:
    """What the password command prints: the first word of this file, which is there."""
    path = quick.home / "password"
    path.write_text(PASSWORD)
    return path


def test_rotation_under_a_running_daemon(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint, rotating: Path
) -> None:
    script = quick.home / "ask"
    script.write_text('#!/bin/sh\necho "canary-stderr $(cat "$1")" >&2\nexec cat "$1"\n')
    script.chmod(0o700)
    bare = cluster.dsn(password=None)
    write(
        {"name": "file", "dsn": bare, "interval": 1, "password_file": str(rotating)},
        {"name": "command", "dsn": bare, "interval": 1, "password_command": [str(script), str(rotating)]},
        {"name": "all", "dsn": bare, "interval": 1, "password_file": str(rotating), "discover": True},
    )
    quick.run("daemon", "start")
    names = ("file", "command", "all/postgres")
    wait_for(lambda: seen(endpoint) == set(names), "not all")
    for password in ("canary-pw-second", "canary-pw-third", "canary-pw-fourth"):
        cluster.rotate(password)
        with pytest.raises(Exception, match="password authentication failed"):
            cluster.server.connect("postgres", "watcher", PASSWORD)
        rotating.write_text(password)
        before = {name: count(endpoint, name) for name in names}
        wait_for(lambda b=before: all(count(endpoint, name) > b[name] + 1 for name in names), "one is locked out")
    shown = [quick.run("daemon", "status").stdout, quick.run("daemon", "status", "--json").stdout]
    shown += [quick.run("config", "show").stdout, quick.run("config", "test").stdout]
    for pid in quick.leftovers():
        shown.append(Path(f"/proc/{pid}/cmdline").read_text())
    quick.run("daemon", "stop")
    shown.append((quick.state / "pgdoctor.log").read_text())
    shown += [request.body.decode("utf-8", "replace") for request in endpoint.requests]
    assert not [text for text in shown if "canary" in text]


def test_commands_that_go_wrong_cost_their_database_alone(
    quick: Cli, cluster: Cluster, write: Callable[..., None], endpoint: Endpoint
) -> None:
    bare = cluster.dsn(password=None)
    given = {
        "hangs": "echo canary; sleep 600",
        "floods": "yes canary | head -c 10000000",
        "fails": "echo canary >&2; echo canary; exit 7",
    }
    rows = [{"name": name, "dsn": bare, "password_command": ["sh", "-c", text]} for name, text in given.items()]
    write(*rows, {"name": "well", "dsn": cluster.dsn(), "interval": 1})
    daemon = quick.start("daemon")
    daemon.wait_for_line(r"\[fails\] .*✗ collection failed: password_command sh: exit status 7$")
    daemon.wait_for_line(r"\[floods\] .*✗ collection failed: password_command sh: printed more than 64 KiB$")
    daemon.wait_for_line(r"\[hangs\] .*✗ collection failed: password_command sh: no password within 5 s$")
    assert count(endpoint, "well") >= 4, "the hub stood still"
    assert set(quick.leftovers()) <= {daemon.pid}, "a command goes on"
    assert "canary" not in end(daemon)


def test_in_the_environment(cli: Cli, cluster: Cluster, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text(PASSWORD + "\n")
    bare = {"PGDOCTOR_DSN": cluster.dsn(password=None), "PGDOCTOR_ENDPOINT": endpoint.url, "PGDOCTOR_TOKEN": "t"}
    for given in ({"PGDOCTOR_PASSWORD_FILE": f"{tmp_path}/pw"}, {"PGDOCTOR_PASSWORD_COMMAND": f"cat {tmp_path}/pw"}):
        done = cli.run("snapshot", env={**bare, **given})
        assert done.returncode == 0, done
    done = cli.run("snapshot", env={**bare, "PGDOCTOR_PASSWORD_COMMAND": "false"})
    assert done.returncode == 1
    assert done.stderr.startswith("pgdoctor: postgres: password_command false: exit status 1 (127.0.0.1:")
    assert os.linesep not in done.stderr.rstrip("\n")
