"""Unique secrets are planted wherever one can be given; then every byte that was written or shown is searched."""

import gzip
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.echoes import EchoEndpoint, EchoPostgres, forms, needles
from tests.fix_daemon import Cli, Running
from tests.postgres.server import Server
from tests.waiting import wait_for

SECRETS = {
    "token": "T0k/+%~\"'<>&\\=canary-token",
    "url": "pä ss/w@rd:%\"'\\&=canary-url",
    "keyword": "kw ' \\ \" %41 canary-keyword",
    "short": "Zq9x",
    "outer": "canary-Zq9x-outer",
    "environment": "canary-environment-ü+%",
    "passfile": "canary:pass\\file-é",
    "key": "canary-key-password",
    "right": "canary-right/päss word",
}
BUGGY = str(Path(__file__).with_name("buggy.py"))
IN_ENVIRONMENT = {"PGPASSWORD": SECRETS["environment"], "PGDOCTOR_DEBUG": "1"}
RUNS: list[tuple[tuple[str, ...], dict[str, str] | None]] = [
    (("--log-format", "text"), None),
    (("--log-format", "json"), IN_ENVIRONMENT),
    (("--log-format", "json", "--debug"), None),
    (("--debug",), IN_ENVIRONMENT),
]
PLANTED = ("pgdoctor.yaml", ".pgpass", "token")


@pytest.fixture
def echo() -> Iterator[EchoEndpoint]:
    made = EchoEndpoint()
    yield made
    made.end()


@pytest.fixture
def impostor() -> Iterator[EchoPostgres]:
    made = EchoPostgres()
    yield made
    made.end()


class Searched:
    """What was written and shown, by where it was."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        self.found: dict[str, bytes] = {}
        self.needles = {(name, form) for name, secret in SECRETS.items() for form in needles(secret)}

    def add(self, where: str, *texts: str | bytes) -> None:
        data = b"\n".join(text.encode() if isinstance(text, str) else text for text in texts)
        self.found[f"{where} #{len(self.found)}"] = data
        with suppress(OSError, EOFError):
            self.found[f"{where} gunzipped #{len(self.found)}"] = gzip.decompress(data)

    def add_process(self, running: Running) -> None:
        """What `ps` shows of all processes of this home."""
        for pid in self.cli.leftovers():
            with suppress(OSError):
                for name in ("cmdline", "comm", "status"):
                    self.add(f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes())
        with suppress(OSError):
            limits = Path(f"/proc/{running.pid}/limits").read_text()
            assert "Max core file size        0 " in limits

    def add_files(self) -> None:
        for path in self.cli.home.rglob("*"):
            self.add(f"name of {path}", str(path))
            if path.is_file() and path.name not in PLANTED:
                self.add(str(path), path.read_bytes())

    def run(self, *args: str, env: Mapping[str, str | None] | None = None) -> None:
        done = self.cli.run(*args, env=env)
        assert "Traceback" not in done.stderr or "--debug" in args
        self.add(f"pgdoctor {' '.join(args)}", done.stdout, done.stderr)

    def leaks(self) -> list[tuple[str, str, str]]:
        """Which secret, where, and around it."""
        return [
            (name, where, data[max(0, at - 80) : at + 80].decode("utf-8", "replace"))
            for where, data in self.found.items()
            for name, needle in self.needles
            if (at := data.find(needle.encode())) >= 0
        ]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.found.values()))


@pytest.fixture
def planted(cli: Cli, newest_server: Server, echo: EchoEndpoint, impostor: EchoPostgres) -> Iterator[list[str]]:
    """A configuration full of secrets; the names of its databases. PGPASSWORD where ~/.pgpass must not be read."""
    newest_server.create_role("canary_monitor", SECRETS["right"])
    port, fake = newest_server.port, impostor.port
    right = newest_server.dsn("postgres", "canary_monitor", SECRETS["right"])
    dsns = {
        "right": right,
        "wrong": newest_server.dsn("postgres", "canary_monitor", SECRETS["url"]),
        "keyword": f"host=127.0.0.1 port={port} user=canary_monitor dbname=postgres password={_quoted('keyword')}",
        "echo-url": f"{right.partition('//')[0]}//u:{forms(SECRETS['url'])[1]}@127.0.0.1:{fake}/db",
        "echo-keyword": f"host=127.0.0.1 port={fake} user=u dbname=db password={_quoted('keyword')}",
        "echo-short": f"host=127.0.0.1 port={fake} user=u dbname=db password={SECRETS['short']}",
        "echo-outer": f"host=127.0.0.1 port={fake} user=u dbname=db password={SECRETS['outer']}",
        "key": f"host=127.0.0.1 port={port} user=u sslmode=require sslcert=/no sslkey=/no sslpassword={SECRETS['key']}",
        "elsewhere": f"host=127.0.0.1 port={fake} user=u dbname=db",
        "nobody": f"host=127.0.0.1 port=1 user=u dbname=db password={SECRETS['outer']}",
    }
    databases = [{"name": name, "dsn": dsn} for name, dsn in dsns.items()]
    document = {
        "endpoint": echo.url,
        "token": SECRETS["token"],
        "interval": 1,
        "shutdown_timeout": 1,
        "databases": databases,
    }
    (cli.cwd / "pgdoctor.yaml").touch(0o600)
    (cli.cwd / "pgdoctor.yaml").write_text(json.dumps(document))
    (cli.home / ".pgpass").touch(0o600)
    escaped = SECRETS["passfile"].replace("\\", "\\\\").replace(":", "\\:")
    (cli.home / ".pgpass").write_text(f"# canary\n*:*:*:*:{escaped}\n")
    yield list(dsns)
    newest_server.sql("DROP ROLE canary_monitor")


def _quoted(name: str) -> str:
    escaped = SECRETS[name].replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@pytest.mark.long
def test_no_secret_is_written_or_shown(
    cli: Cli,
    planted: list[str],
    echo: EchoEndpoint,
    impostor: EchoPostgres,
    newest_server: Server,
    amount: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    searched = Searched(cli)
    begun = newest_server.log.stat().st_size
    for options, env in RUNS[: amount(2, len(RUNS))]:
        running = cli.start("daemon", *options, env=env)
        seen = len(impostor.passwords), echo.count
        wanted = seen[0] + amount(6, 60), seen[1] + amount(3, 20)
        wait_for(lambda wanted=wanted, running=running: _has_come(wanted, impostor, echo, running), "no traffic", 300)
        searched.add_process(running)
        running.send()
        done = running.finish(60)
        searched.add(f"daemon {options}", done.stdout, done.stderr)
    searched.run("daemon", "start")
    wait_for(lambda: (cli.state / "pgdoctor.log").stat().st_size > 2000, "an empty log")
    for words in ("daemon status", "daemon status --json", "daemon logs"):
        searched.run(*words.split())
    searched.run("daemon", "stop")
    for words in ("config show", "config show --json", "config path", "config test", "config test --json"):
        searched.run(*words.split(), "--debug")
    for name in planted[: amount(1, 10)]:
        searched.run("snapshot", name)
        searched.run("upload", name, "--debug")
    for words in ("report", "bundle", "bundle right -o right.tar.gz", "bundle echo-url -o echo.tar.gz"):
        searched.run(*words.split(), "--debug", env=IN_ENVIRONMENT)
    searched.add_files()
    assert len([where for where in searched.found if ".tar.gz gunzipped" in where]) == 3
    searched.add("bodies", *echo.bodies)
    for body in echo.bodies:
        searched.add("body", body)
    searched.add("server's log", newest_server.log.read_bytes()[begun:])
    assert {SECRETS[name] for name in ("url", "keyword", "short", "outer", "environment", "passfile")} <= set(
        impostor.passwords
    )
    shown = b"".join(searched.found.values())
    assert b"for you" in shown  # the servers' own words do come through
    assert searched.leaks() == []
    told = f"{len(SECRETS)} secrets in {len(searched.needles)} forms, {len(searched.found)} outputs and files, "
    figure("no secret is written or shown", f"{told}{searched.bytes:,} bytes searched: 0 found")


def _has_come(wanted: tuple[int, int], impostor: EchoPostgres, echo: EchoEndpoint, running: Running) -> bool:
    assert running.process.poll() is None, running
    return len(impostor.passwords) >= wanted[0] and echo.count >= wanted[1]


@pytest.mark.parametrize("bug", ["connect,send", pytest.param("send", marks=pytest.mark.full), "urlopen"])
def test_a_library_that_tells_all_it_was_given(cli: Cli, planted: list[str], bug: str) -> None:
    cli.command = (sys.executable, BUGGY)
    searched = Searched(cli)
    env: dict[str, str | None] = {"BUGS": bug, "PGPASSWORD": SECRETS["environment"]}
    for command in ("upload right", "snapshot echo-url"):
        searched.run(*command.split(), "--debug", env=env)
    running = cli.start("daemon", "--debug", env=env)
    wait_for(lambda: len([line for line in running.lines if "✗" in line]) >= 10, f"nothing failed: {running!r}")
    running.send()
    done = running.finish(60)
    searched.add("daemon", done.stdout, done.stderr)
    searched.add_files()
    assert b" failed with " in b"".join(searched.found.values())
    assert searched.leaks() == []


def test_without_a_file(cli: Cli, echo: EchoEndpoint, impostor: EchoPostgres, newest_server: Server) -> None:
    searched = Searched(cli)
    (cli.home / "token").touch(0o600)
    (cli.home / "token").write_text(SECRETS["token"])
    environment: dict[str, Any] = {
        "PGDOCTOR_DSN": f"host=127.0.0.1 port={impostor.port} user=u dbname=db password={_quoted('keyword')}",
        "PGDOCTOR_ENDPOINT": echo.url,
        "PGDOCTOR_TOKEN": SECRETS["token"],
    }
    for command in ("config show", "config test", "snapshot", "upload"):
        searched.run(*command.split(), "--debug", env=environment)
    for wrong in (f"{SECRETS['token']} x\n", f"é{SECRETS['token']}"):
        searched.run("upload", env={**environment, "PGDOCTOR_TOKEN": wrong})
    for dsn in (
        "host=h password=canary-outer",
        "postgres://u:pä%zzcanary-key-password@h/db",
        "password='canary-Zq9x-outer",
    ):
        searched.run("snapshot", env={**environment, "PGDOCTOR_DSN": dsn})
        searched.run("snapshot", dsn, "--debug")
    searched.add_files()
    assert searched.leaks() == []
