"""A real PgBouncer in front of a server: `bouncer = make_bouncer(server, pool_mode="session", default_pool_size=1)`.

Where it is not installed its tests are skipped, which the summary says; with CI=true they fail.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from tests.postgres.server import Server, free_port
from tests.waiting import wait_for

_PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
_MISSING = "PgBouncer is not available"


@dataclass
class Bouncer:
    """`port` leads to it; `stats` is a user of its console, `outsider` is none. Clients come in without a password."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    connections: list[Any] = field(default_factory=list)

    def dsn(self, dbname: str = "pgbouncer", user: str = "stats") -> str:
        """A URL for it."""
        return f"postgres://{quote(user, safe='')}@127.0.0.1:{self.port}/{quote(dbname, safe='')}"

    def connect(self, dbname: str, user: str = "stats") -> Any:
        """An autocommit psycopg2 connection through it, closed at the end."""
        connection = psycopg2.connect(self.dsn(dbname, user), connect_timeout=20, application_name="tests")
        connection.autocommit = True
        self.connections.append(connection)
        return connection

    def show(self, what: str) -> list[dict[str, Any]]:
        """What its console says to SHOW."""
        connection = self.connect("pgbouncer")
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {what}")
            rows = [
                dict(zip((column.name for column in cursor.description), row, strict=True)) for row in cursor.fetchall()
            ]
        connection.close()
        return rows

    def stop(self) -> None:
        """Kill it."""
        for connection in self.connections:
            connection.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def make_bouncer() -> Iterator[Callable[..., Bouncer]]:
    """`make_bouncer(server, users={}, databases={}, **settings)`: started; in transaction mode unless told otherwise.

    `users`: name → password, with which it goes to the server. `databases`: name → connection string, beside `*`.
    """
    if not _PROGRAM:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{_MISSING}: install pgbouncer")
    made: list[tuple[Bouncer, Path]] = []

    def make(
        server: Server,
        users: Mapping[str, str] | None = None,
        databases: Mapping[str, str] | None = None,
        **settings: object,
    ) -> Bouncer:
        server.used = True
        folder = server.folder / f"bouncer-{secrets.token_hex(3)}"
        bouncer = _start(folder, server.port, users or {}, databases or {}, settings)
        made.append((bouncer, folder))
        wait_for(lambda: bouncer.process.poll() is not None or _answers(bouncer), "PgBouncer does not start")
        assert bouncer.process.poll() is None, bouncer.log.read_text()
        return bouncer

    yield make
    for bouncer, folder in made:
        bouncer.stop()
        shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missed = sum(_MISSING in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if missed:
        terminalreporter.write_line(f"PgBouncer is NOT INSTALLED: {missed} tests did not run", red=True, bold=True)


def _start(
    folder: Path, to: int, users: Mapping[str, str], databases: Mapping[str, str], settings: Mapping[str, object]
) -> Bouncer:
    port = free_port()
    known = {"stats": "", "outsider": "", "postgres": "", **users}
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": folder / "users",
        "stats_users": "stats",
        "pool_mode": "transaction",
        **settings,
    }
    entries = {**databases, "*": f"host=127.0.0.1 port={to}"}
    folder.mkdir(mode=0o700)
    (folder / "users").write_text("".join(f'"{name}" "{password}"\n' for name, password in known.items()))
    lines = ["[databases]", *(f"{name} = {text}" for name, text in entries.items())]
    lines += ["[pgbouncer]", *(f"{name} = {value}" for name, value in options.items()), ""]
    (folder / "pgbouncer.ini").write_text("\n".join(lines))
    user: dict[str, Any] = {}
    if os.getuid() == 0:  # as which it refuses to run
        owner = folder.parent.stat()
        for each in (folder, *folder.iterdir()):
            os.chown(each, owner.st_uid, owner.st_gid)
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    with (folder / "log").open("wb") as log:
        command = [str(_PROGRAM), str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **user)
    return Bouncer(port, process, folder / "log")


def _answers(bouncer: Bouncer) -> bool:
    with suppress(psycopg2.OperationalError):
        bouncer.connect("pgbouncer").close()
        return True
    return False
