"""A password in a DSN on the command line: nobody reads it in the list of processes, and it works all the same."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fix_daemon import ROOT, Cli, Running
from tests.postgres.server import Database, Server

PASSWORD = "canary-pw 5'\\%ü@:/"
IN_URL = quote(PASSWORD, safe="")
ESCAPED = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
FORMS = {
    "url": f"postgres://u:{IN_URL}@127.0.0.1:{{port}}/app",
    "query": f"postgresql://u@127.0.0.1:{{port}}/app?password={IN_URL}&sslmode=disable",
    "keywords": f"host=127.0.0.1 port={{port}} user=u password='{ESCAPED}' dbname=app",
}
needs_proc = pytest.mark.skipif(
    not (Path("/proc/self/cmdline").exists() and shutil.which("ps")), reason="processes are looked at by /proc and ps"
)


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def as_module(cli: Cli) -> Cli:
    """`python -m pgdoctor`."""
    cli.command = (sys.executable, "-m", "pgdoctor")
    cli.env["PYTHONPATH"] = str(ROOT)
    return cli


@pytest.fixture(params=["checkout", "installed", "module"])
def any_cli(request: pytest.FixtureRequest) -> Cli:
    """Each way in."""
    names = {"checkout": "cli", "installed": "installed_cli", "module": "as_module"}
    return request.getfixturevalue(names[request.param])


@needs_proc
@pytest.mark.parametrize("form", FORMS)
def test_the_list_of_processes_has_no_password(any_cli: Cli, silent: socket.socket, form: str) -> None:
    running = any_cli.start("snapshot", FORMS[form].format(port=silent.getsockname()[1]), "--debug")
    connection, _ = silent.accept()
    with connection:
        listed = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(running.pid)], capture_output=True, text=True, check=True
        ).stdout
        arguments = Path(f"/proc/{running.pid}/cmdline").read_bytes().decode()
        for shown in (listed, arguments):
            assert "canary" not in shown
            assert "snapshot" in shown
            assert "--debug" in shown
        assert f"PGPASSWORD={PASSWORD}" in Path(f"/proc/{running.pid}/environ").read_bytes().decode().split("\0")
        assert Path(f"/proc/{running.pid}/environ").stat().st_mode & 0o077 == 0
        ended(running, signal.SIGINT, 130)


def ended(running: Running, signum: int, status: int) -> None:
    running.send(signum)
    done = running.finish()
    assert (done.returncode, done.stdout) == (status, "")
    assert "canary" not in done.stderr


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    made.sql(f"ALTER ROLE {made.role} PASSWORD %s", [PASSWORD])
    yield made
    made.drop()


def forms(db: Database) -> list[str]:
    """The three, of a real server."""
    at = f"127.0.0.1:{db.server.port}/{db.name}"
    return [
        f"postgres://{db.role}:{IN_URL}@{at}",
        f"postgres://{db.role}@{at}?password={IN_URL}",
        f"host=127.0.0.1 port={db.server.port} user={db.role} password='{ESCAPED}' dbname={db.name}",
    ]


def test_the_password_works_and_wins_over_every_other(any_cli: Cli, db: Database) -> None:
    passfile, services = any_cli.home / ".pgpass", any_cli.home / "services"
    passfile.write_text("*:*:*:*:wrong-in-passfile\n")
    passfile.chmod(0o600)
    services.write_text("[db]\npassword=wrong-in-service\n")
    env = {"PGPASSWORD": "wrong-in-environment", "PGSERVICEFILE": str(services), "PGSERVICE": "db"}
    for dsn in forms(db):
        done = any_cli.run("snapshot", dsn, env=env)
        assert (done.returncode, done.stderr) == (0, ""), dsn
        assert json.loads(done.stdout)["database"]["name"] == db.name
        assert "canary" not in done.stdout


def test_a_wrong_one_is_one_line_as_before(cli: Cli, db: Database) -> None:
    done = cli.run("snapshot", db.server.dsn(db.name, db.role, "canary-wrong"))
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f'pgdoctor: {db.name}: password authentication failed for user "{db.role}"')
    done = cli.run("snapshot", "postgres://u:canary-pw@h:1/app?sslmoed=require")
    assert (done.returncode, done.stdout) == (2, "")
    assert "canary" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["serve", "--stor={}"], ["serve", "--stor", "{}"], ["serve", "migrate", "--t={}"]], ids=" ".join
)
def test_an_option_has_one_name_by_which_it_is_hidden(cli: Cli, arguments: list[str]) -> None:
    done = cli.run(*(each.format(f"postgresql://u:{IN_URL}@127.0.0.1:1/app") for each in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert "unrecognized arguments: --" in done.stderr
    assert "canary" not in done.stderr


def test_it_stays_one_process_with_its_streams(cli: Cli, db: Database) -> None:
    with (cli.cwd / "snapshot.json").open("wb") as output:
        process = subprocess.Popen(
            [*cli.command, "snapshot", forms(db)[0]], stdout=output, env=cli.environment(), cwd=cli.cwd
        )
        assert process.wait(60) == 0
    assert json.loads((cli.cwd / "snapshot.json").read_text())["agent"]["pid"] == process.pid
