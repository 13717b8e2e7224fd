"""Servers that have TimescaleDB or Citus, which neither npm, PyPI nor Debian brings: the store is tried on them.

`PGDOCTOR_TEST_EXTENSIONS` names a PostgreSQL's folder of programs (`…/bin`); the servers that the tests have found
are looked at as well.
"""

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.postgres.fetch import installed
from tests.postgres.server import Database, Server

# What a server is started with: nothing of theirs goes anywhere.
SETTINGS: dict[str, dict[str, object]] = {
    "timescaledb": {"timescaledb.telemetry_level": "off", "max_worker_processes": 32},
    "citus": {
        "wal_level": "logical",
        "max_prepared_transactions": 200,
        "max_connections": 300,
        "max_worker_processes": 32,
        "citus.enable_statistics_collection": "off",
    },
}
_running: dict[str, Server] = {}


def is_available(extension: str) -> bool:
    """Whether some server has it."""
    return _programs(extension) is not None


def new_database(extension: str) -> Database:
    """On a server that could have it, without it; skips where there is none."""
    return _server(extension, "").new_database()


def extend(database: Database, extension: str, *, alone: bool = False) -> None:
    """CREATE EXTENSION there. Citus gets a node beside this one: the database of that name on `worker()`."""
    database.sql(f"CREATE EXTENSION {extension}")
    if extension == "citus" and not alone:
        worker().create_database(database.name)
        worker().sql("CREATE EXTENSION citus", dbname=database.name)
        database.sql("SELECT citus_set_coordinator_host('127.0.0.1', %s)", (database.server.port,))
        database.sql("SELECT citus_add_node('127.0.0.1', %s)", (worker().port,))


def drop(database: Database) -> None:
    """With what is on the other node."""
    database.drop()
    if database.server is _running.get("citus") and "citus, the other" in _running:
        worker().drop_database(database.name)


def worker() -> Server:
    """The other node of Citus."""
    return _server("citus", ", the other")


def _server(extension: str, which: str) -> Server:
    """The run's server of that name, started when first asked for."""
    name = extension + which
    if name not in _running:
        programs = _programs(extension)
        if programs is None:
            pytest.skip(f"{extension} is not available: set PGDOCTOR_TEST_EXTENSIONS, see tests/postgres/extensions.py")
        major = int(_told(programs, "version").split()[1].split(".")[0])
        loaded = f"{extension},pg_stat_statements"
        settings = SETTINGS[extension]
        _running[name] = Server.create(major, str(programs), shared_preload_libraries=loaded, **settings)
    return _running[name]


@cache
def _programs(extension: str) -> Path | None:
    named = os.environ.get("PGDOCTOR_TEST_EXTENSIONS")
    places = [*([Path(named)] if named else []), *installed().values()]
    known = [place for place in places if (place / "pg_config").exists()]
    return next(
        (each for each in known if Path(_told(each, "sharedir"), f"extension/{extension}.control").exists()), None
    )


def _told(programs: Path, what: str) -> str:
    return subprocess.run(
        [programs / "pg_config", f"--{what}"], capture_output=True, text=True, check=True
    ).stdout.strip()
