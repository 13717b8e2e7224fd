"""One PostgreSQL cluster of the tests: made, started, asked, stopped, removed.

All clusters of a process lie in one folder, pgdoctor-tests-PID, owned by `postgres` when we are root: in memory, where
there is much of it (to make a cluster or a database takes a quarter of the time), else in /tmp.
What a killed run left behind is stopped and removed by the next one (`sweep`).
"""

import atexit
import fcntl
import os
import pwd
import random
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import psycopg2
from psycopg2 import sql as compose

from tests.waiting import wait_for

_MEMORY, _DISK = Path("/dev/shm"), Path("/tmp")
_ROOMY_BYTES = 8 << 30  # free; a run on all majors takes about a third of it
_SETTINGS = """
listen_addresses = '127.0.0.1'
shared_preload_libraries = 'pg_stat_statements'
password_encryption = 'scram-sha-256'
shared_buffers = '32MB'
"""
_NOTHING = compose.SQL("")
_HBA = """
local all,replication postgres trust
host all,replication postgres 127.0.0.1/32 trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
# A running server's files but its WAL, which is streamed. They may vanish under cp: the WAL tells what became of them.
_COPY = """
mkdir -m 700 "$1" "$1"/pg_wal
cp -a $(ls -d "$0"/* | grep -v -e /pg_wal$ -e /postmaster) "$1"
rm -rf "$1"/pg_replslot/*
"""
# Vacuumed, like what initdb leaves: else whoever first looks into a new database prunes its catalogs, and writes WAL.
_EXTEND = r"""
printf 'CREATE EXTENSION pg_stat_statements\nVACUUM FREEZE\n' | exec "$0" --single -D "$1" template1
"""


class Server:
    """A cluster. `postgres` comes in without a password, every other role with one (SCRAM)."""

    alive: ClassVar[list["Server"]] = []

    def __init__(self, major: int, programs: str, folder: Path) -> None:
        self.major = major
        self.programs = programs
        self.folder = folder
        self.data = folder / "data"
        self.socket_dir = str(folder)
        self.log = folder / "server.log"
        self.port = free_port()
        self.running = False
        self.used = False
        self.connections: list[Any] = []
        self.primary: Server | None = None

    def __repr__(self) -> str:
        return f"<PostgreSQL {self.major} on port {self.port}>"

    @classmethod
    def create(cls, major: int, programs: str, *, checksums: bool | None = None, **settings: object) -> "Server":
        """Make a cluster and start it, with `settings` in force until the first `restart`.

        `checksums`: whether it has data checksums; None for what its major comes with.
        """
        server = cls(major, programs, _new_folder(major))
        _run(["cp", "-a", str(_initialised(major, programs, checksums)), str(server.data)])
        server._append("postgresql.conf", f"{_SETTINGS}unix_socket_directories = '{server.socket_dir}'\n")
        (server.data / "pg_hba.conf").write_text(_HBA)
        cls.alive.append(server)
        server.start(**settings)
        return server

    @classmethod
    def create_standby(cls, primary: "Server") -> "Server":
        """Make a streaming hot standby of `primary`, and return when it has caught up."""
        server = cls(primary.major, primary.programs, _new_folder(primary.major))
        server.primary = primary
        slot = server._slot
        primary.sql("SELECT pg_create_physical_replication_slot(%s, true)", (slot,))
        with primary._backup():
            _run(["sh", "-c", _COPY, str(primary.data), str(server.data)])
        source = f"host={primary.socket_dir} port={primary.port} user=postgres"
        server._append("backup_label", primary._label)
        server._append(
            "postgresql.conf",
            f"unix_socket_directories = '{server.socket_dir}'\nhot_standby_feedback = on\n"
            f"primary_conninfo = '{source}'\nprimary_slot_name = '{slot}'\n",
        )
        server._append("standby.signal", "")
        cls.alive.append(server)
        server.start()
        server.catch_up()
        return server

    def catch_up(self) -> None:
        """Wait until this standby has replayed what its primary had written by now."""
        assert self.primary
        [(written,)] = self.primary.sql("SELECT pg_current_wal_lsn()")
        behind = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"

        def has_caught_up() -> bool:
            with suppress(psycopg2.OperationalError):  # what it replays may cancel even this
                return bool(self.sql(behind, (written,))[0][0])
            return False

        wait_for(has_caught_up, f"{self} has not caught up")

    def start(self, **settings: object) -> None:
        """Start it, with `settings` in force until it stops; returns when it takes connections."""
        options = [f"-p {self.port}", *(shlex.quote(f"--{name}={value}") for name, value in settings.items())]
        self._program("pg_ctl", "-l", str(self.log), "-w", "-t", "60", "-o", " ".join(options), "start")
        self.running = True

    def stop(self, mode: str = "fast") -> None:
        """Stop it (smart, fast or immediate). What pg_ctl looks for each 100 ms we look for more often."""
        if self.running:
            self._program("pg_ctl", "-m", mode, "-W", "stop")
            wait_for(lambda: not (self.data / "postmaster.pid").exists(), f"{self} does not stop")
            self.running = False

    def restart(self, **settings: object) -> None:
        """Stop it and start it with these settings; those of the last start are gone."""
        self.stop()
        self.start(**settings)

    def destroy(self) -> None:
        """Stop it and remove its files."""
        if self in Server.alive:
            Server.alive.remove(self)
        with suppress(RuntimeError, AssertionError):  # a test may have killed it
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.primary and self.primary.running:
            self._drop_slot(self.primary)

    def dsn(self, dbname: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """A URL over TCP for this server."""
        self.used = True
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgres://{quote(user, safe='')}{secret}@127.0.0.1:{self.port}/{quote(dbname, safe='')}"

    def connect(self, dbname: str = "postgres", user: str = "postgres", password: str | None = None) -> Any:
        """An autocommit psycopg2 connection, for the caller to close (a failed test's is closed after it)."""
        self.used = True
        connection = psycopg2.connect(
            host=self.socket_dir,
            port=self.port,
            dbname=dbname,
            user=user,
            password=password,
            application_name="tests",
            connect_timeout=20,
        )
        connection.autocommit = True
        self.connections.append(connection)
        return connection

    def sql(
        self, statement: Any, params: Sequence[object] | None = None, dbname: str = "postgres", user: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run `statement` in a connection of its own; its rows, where it has any."""
        with self._session(dbname, user) as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def _session(self, dbname: str = "postgres", user: str = "postgres") -> Iterator[Any]:
        """A cursor in a connection of its own.

        Its backend is gone then: one reports what it counted as it ends, which would come after the next one's VACUUM.
        """
        connection = self.connect(dbname, user)
        backend = Path("/proc", str(connection.info.backend_pid))
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()
            end = time.monotonic() + 2  # a stopped one does not end
            while backend.exists() and time.monotonic() < end:
                time.sleep(0.0005)

    def forget_connections(self) -> None:
        """What was connected so far stays open when `hang_up` comes."""
        self.connections.clear()

    def hang_up(self) -> None:
        """Close what was connected since: a failed test must not hold its locks on a shared server."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()

    def backends(self, application_name: str) -> list[int]:
        """The process ids of the backends of that application."""
        found = self.sql("SELECT pid FROM pg_stat_activity WHERE application_name = %s", (application_name,))
        return [pid for (pid,) in found]

    def create_database(self, name: str, encoding: str = "UTF8", owner: str = "postgres") -> None:
        """CREATE DATABASE from template0 in locale C, so that any encoding fits."""
        statement = "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'"
        self.sql(compose.SQL(statement).format(_name(name), _name(owner), compose.Literal(encoding)))

    def forget_statements(self, name: str) -> None:
        """Empty pg_stat_statements of what a database sent."""
        self.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", dbname=name)
        self.sql("SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = %s", (name,), dbname=name)

    def drop_database(self, name: str) -> None:
        """DROP DATABASE, whoever is in it."""
        with self._session() as cursor:
            self._drop_database(cursor, name)

    def create_role(self, name: str, password: str | None = None, grants: Sequence[str] = ("pg_monitor",)) -> None:
        """CREATE ROLE that may log in, a member of the roles in `grants`."""
        self.sql(_creating_role(name, password, grants))

    def new_database(self) -> "Database":
        """A database and a role with names of their own; `drop` removes both. One session: they are costly."""
        word = secrets.token_hex(4)
        made = Database(self, f"db_{word}", f"monitor_{word}", f"pw-{secrets.token_urlsafe(12)}")
        with self._session() as cursor:
            cursor.execute(_creating_role(made.role, made.password))
            cursor.execute(compose.SQL("CREATE DATABASE {} TEMPLATE template1").format(_name(made.name)))
        return made

    def drop(self, made: "Database") -> None:
        """Remove a database that `new_database` has made, and its role."""
        with self._session() as cursor:
            self._drop_database(cursor, made.name)
            cursor.execute(compose.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(_name(made.role)))

    def _drop_database(self, cursor: Any, name: str) -> None:
        force = " WITH (FORCE)" if self.major >= 13 else ""
        if not force:
            cursor.execute("UPDATE pg_database SET datallowconn = false WHERE datname = %s", (name,))
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        cursor.execute(compose.SQL("DROP DATABASE IF EXISTS {}" + force).format(_name(name)))

    @contextmanager
    def _backup(self) -> Iterator[None]:
        start, stop = ("pg_backup_start('tests', true)", "pg_backup_stop()")
        if self.major < 15:
            start, stop = ("pg_start_backup('tests', true, false)", "pg_stop_backup(false, false)")
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {start}")
                yield
                cursor.execute(f"SELECT labelfile FROM {stop}")
                [(self._label,)] = cursor.fetchall()
        finally:
            connection.close()

    def _drop_slot(self, primary: "Server") -> None:
        drop = (
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        )
        wait_for(lambda: primary.sql(drop, (self._slot,)), f"the slot of {self} is in use")

    @property
    def _slot(self) -> str:
        return re.sub(r"\W", "_", self.folder.name).lower()

    def _append(self, name: str, text: str) -> None:
        with (self.data / name).open("a") as file:
            file.write(text)
        shutil.chown(self.data / name, *_owner())

    def _program(self, name: str, *arguments: str) -> None:
        try:
            _run([f"{self.programs}/{name}", "-D", str(self.data), *arguments])
        except subprocess.CalledProcessError as error:
            log = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
            raise RuntimeError(f"{name} of PostgreSQL {self.major} failed: {error.stdout}\n{log}") from None


@dataclass(frozen=True)
class Database:
    """A database of one test, and the role that PGDoctor would use there."""

    server: Server
    name: str
    role: str
    password: str

    @property
    def dsn(self) -> str:
        """The URL with which PGDoctor comes in."""
        return self.server.dsn(self.name, self.role, self.password)

    def sql(self, statement: Any, params: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement there as the superuser."""
        return self.server.sql(statement, params, dbname=self.name)

    def drop(self) -> None:
        """Remove database and role."""
        if self.server.running:
            self.server.drop(self)


def stop_all() -> None:
    """Stop every server of this run and remove its files."""
    for server in list(Server.alive):
        server.primary = None
        server.destroy()
    shutil.rmtree(_root(os.getpid()), ignore_errors=True)


def sweep() -> None:
    """Stop and remove what a run left behind whose process is gone."""
    for root in (each for place in (_MEMORY, _DISK) for each in place.glob("pgdoctor-tests-*")):
        pid = root.name.rpartition("-")[2]
        if pid.isdigit() and not _is_running(int(pid)) and _is_ours(root):
            for lock in root.glob("*/data/postmaster.pid"):
                _end_postmaster(lock)
            shutil.rmtree(root, ignore_errors=True)


atexit.register(stop_all)


def _end_postmaster(lock: Path) -> None:
    pid = int(lock.read_text().split()[0])
    command = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    if str(lock.parent) in command:
        os.kill(pid, 3)  # SIGQUIT: the immediate shutdown


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_ours(root: Path) -> bool:
    try:
        return not root.is_symlink() and root.stat().st_uid in (os.getuid(), _account().pw_uid)
    except FileNotFoundError:  # another run has just removed it
        return False


def _account() -> pwd.struct_passwd:
    """Who runs the servers: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _owner() -> tuple[int, int]:
    return _account().pw_uid, _account().pw_gid


@cache
def _root(pid: int) -> Path:
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOMY_BYTES
    return (_MEMORY if roomy else _DISK) / f"pgdoctor-tests-{pid}"


def _new_folder(major: int) -> Path:
    return _made(_made(_root(os.getpid())) / f"pg{major}-{secrets.token_hex(3)}")


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(folder, *_owner())
    return folder


@cache
def _initialised(major: int, programs: str, checksums: bool | None) -> Path:
    """What initdb makes, once for all processes of a run, to be copied: its clusters share their system identifier.

    In template1 there is pg_stat_statements: to make it in each new database costs as much as the database.
    """
    options = ["-U", "postgres", "-A", "trust", "--no-locale", "-E", "UTF8", "--no-sync"]
    asked = ""
    if checksums is not None and checksums != (major >= 18):
        asked = "--data-checksums" if checksums else "--no-data-checksums"
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = _made(_made(_root(run)) / f"pg{major}{asked}")
    data, coming = folder / "data", folder / "coming"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not data.exists():
            shutil.rmtree(coming, ignore_errors=True)  # of a process that was killed
            _run([f"{programs}/initdb", "-D", str(coming), *options, *filter(None, [asked])])
            _run(["sh", "-c", _EXTEND, f"{programs}/postgres", str(coming)])
            coming.rename(data)
    return data


def _run(command: list[str]) -> None:
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        user = {"user": _account().pw_uid, "group": _account().pw_gid, "extra_groups": []}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    # A file, not a pipe: the server that pg_ctl leaves running would hold a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        done = subprocess.run(command, cwd="/", env=environment, check=False, **streams, **user)
        output.seek(0)
        text = output.read()
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, text)


def _creating_role(name: str, password: str | None, grants: Sequence[str] = ("pg_monitor",)) -> compose.Composed:
    member = compose.SQL("IN ROLE {}").format(compose.SQL(", ").join(map(_name, grants))) if grants else _NOTHING
    create = compose.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}")
    return create.format(_name(name), compose.Literal(password), member)


def _name(name: str) -> compose.Identifier:
    return compose.Identifier(name)


@cache
def _ports() -> Iterator[int]:
    """Those of this process, each once in a long while: below the range from which the kernel takes outgoing ones."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 10
    ports = list(range(15000 + worker, 30000, 10))
    random.shuffle(ports)
    return cycle(ports)


def free_port() -> int:
    """A port nobody has, nor will be given by another process of this run before it is taken."""
    for port in _ports():
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a cycle has no end")
