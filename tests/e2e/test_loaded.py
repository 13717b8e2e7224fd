"""What a running daemon has not loaded: modules that it does not use stay resident for as long as it runs."""

import signal
from collections.abc import Callable

from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Server

Single = Callable[..., dict[str, str]]

_UNUSED = (
    *("asyncio", "cProfile", "ctypes", "doctest", "ensurepip", "http.server", "multiprocessing", "pdb", "pydoc"),
    *("chardet.detector", "charset_normalizer.api", "html", "sqlite3", "tkinter", "unittest", "wsgiref", "xml"),
    *("pkg_resources", "setuptools", "pgdoctor_lib.demo", "pgdoctor_lib.receiver"),
)


def test_a_daemon_at_work_has_loaded_nothing_that_it_does_not_use(
    cli: Cli, single: Single, newest_server: Server, endpoint: Endpoint
) -> None:
    database = newest_server.new_database()
    daemon = cli.start("daemon", env={**single(database.dsn), "PYTHONPROFILEIMPORTTIME": "1"})
    daemon.wait_for_line(r"#2\.\.\. uploading\.\.\. ✓")
    daemon.send(signal.SIGTERM)
    told = [line.split("|")[-1].strip() for line in daemon.finish().stderr.splitlines() if "import time:" in line]
    database.drop()
    assert {"requests", "psycopg2", "pgdoctor_lib.agent.supervisor"} <= set(told)
    assert [name for name in told if f"{name}.".startswith(tuple(f"{each}." for each in _UNUSED))] == []
