"""Real PostgreSQL servers: one a major for the whole run, started when first asked for, and throw-away ones.

Fixtures: `server` (each major in turn), `newest_server`, `oldest_server`, `fresh_server`, `make_server`,
`standby`, `database`. `@pytest.mark.pg(">= 14")` limits the majors of a test; `--majors 12,15,18` those of a run.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from tests.postgres.fetch import MAJORS, installed
from tests.postgres.server import Database, Server, stop_all, sweep
from tests.waiting import wait_for

_PROGRAMS = installed()
_running: dict[int, Server] = {}
_MISSING = re.compile(r"(PostgreSQL \d+|timescaledb|citus) is not available: .*(tests/postgres/\w+\.py)")
_SPEC = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\d+)\s*")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--majors", default="", help="PostgreSQL majors to test on, for example 12,15,18 (default: all)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", 'pg(spec): PostgreSQL majors that the test is for, such as ">= 14" or ">= 13, < 17"'
    )
    if not hasattr(config, "workerinput"):  # of several processes (pytest-xdist) the first, before the others start
        sweep()


def pytest_unconfigure() -> None:
    stop_all()


def pytest_report_header(config: pytest.Config) -> str:
    have = [major for major in _majors(config) if major in _PROGRAMS]
    return f"PostgreSQL majors: {', '.join(map(str, have)) or 'none'}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = (str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    missed = Counter(found.groups() for why in skipped if (found := _MISSING.search(why)))
    for (what, place), tests in sorted(missed.items()):
        line = f"{what} is NOT AVAILABLE: {tests} tests did not run on it; see {place}"
        terminalreporter.write_line(line, red=True, bold=True)


# Nobody counts, cleans or analyzes on a shared server while a test looks.
_IN_PEACE = {"autovacuum_naptime": "1d"}
# What these read is tried on every major by the tests of collectors; they look at what is made of it.
_AT_THE_ENDS = (
    "tests/agent/test_sentinel.py",
    "tests/checks/",
    "tests/e2e/",
    *(f"tests/collectors/test_{name}.py" for name in ("plans", "recorder", "run", "texts")),
    "tests/collectors/test_sections.py::test_other_encodings",
    "tests/contrib/test_contrib.py::test_the_token",
    "tests/postgres_lib/test_lease.py",
)
# Costly, and of statements that hardly differ: every second major.
_HERE_AND_THERE = tuple(f"tests/collectors/test_{name}_sections.py" for name in ("table", "upkeep"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses `server`, directly or through another fixture, runs once a major."""
    if "server" in metafunc.fixturenames:
        majors = [major for major in _majors(metafunc.config) if _fits(metafunc.definition, major)]
        if not metafunc.config.getoption("--full"):
            majors = _fewer(metafunc.definition.nodeid, majors)
        metafunc.parametrize("server", majors, ids=[f"pg{major}" for major in majors], indirect=True, scope="session")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: a test for a server that cannot be had does not run."""
    if (callspec := getattr(item, "callspec", None)) and (major := callspec.params.get("server")):
        _programs(major)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """The connections of a test, not those of its fixtures, end with it."""
    for each in Server.alive:
        each.forget_connections()
    try:
        return (yield)
    finally:
        for each in Server.alive:
            each.hang_up()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    """The run's server of one major. Shared: leave its settings alone, and use `database`."""
    return _shared(request.param)


@pytest.fixture
def newest_server(request: pytest.FixtureRequest) -> Server:
    """The run's server of the newest major."""
    return _shared(_only(request, _majors(request.config)[-1]))


@pytest.fixture
def oldest_server(request: pytest.FixtureRequest) -> Server:
    """The run's server of the oldest major."""
    return _shared(_only(request, _majors(request.config)[0]))


@pytest.fixture
def make_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """`make_server(major=newest, checksums=None, **settings)`: a cluster for this test alone, started."""
    made: list[Server] = []

    def make(major: int | None = None, checksums: bool | None = None, **settings: object) -> Server:
        major = _majors(request.config)[-1] if major is None else major
        made.append(Server.create(major, _programs(_only(request, major)), checksums=checksums, **settings))
        return made[-1]

    yield make
    for each in made:
        each.destroy()


@pytest.fixture
def fresh_server(make_server: Callable[..., Server]) -> Server:
    """A cluster of the newest major for this test alone: stop it, restart it, spoil it."""
    return make_server()


@pytest.fixture
def standby() -> Iterator[Callable[[Server], Server]]:
    """`standby(primary)`: a streaming hot standby of any server above, caught up, with a slot of its own."""
    made: list[Server] = []

    def make(primary: Server) -> Server:
        made.append(Server.create_standby(primary))
        return made[-1]

    yield make
    for each in made:
        each.destroy()


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A new database on `server`, with pg_stat_statements, and a role that has pg_monitor and a password."""
    made = server.new_database()
    yield made
    made.drop()


@pytest.fixture
def newest_database(newest_server: Server) -> Iterator[Database]:
    """The same on the newest server alone."""
    made = newest_server.new_database()
    yield made
    made.drop()


@pytest.fixture(autouse=True)
def no_backend_left_behind() -> Iterator[None]:
    """After each test, no backend of PGDoctor is left on any server that the test used."""
    for each in Server.alive:
        each.used = False
    yield
    for each in [each for each in Server.alive if each.used and each.running]:
        wait_for(lambda each=each: not each.backends("pgdoctor"), f"backends of pgdoctor left on {each}")


def newest(config: pytest.Config) -> tuple[int, str]:
    """The run's newest major and its programs; skips, in CI fails, where it cannot be had."""
    major = _majors(config)[-1]
    return major, _programs(major)


def _majors(config: pytest.Config) -> list[int]:
    asked = config.getoption("--majors")
    if not asked:
        return list(MAJORS)
    majors = sorted({int(major) for major in asked.split(",")})
    if not set(majors) <= set(MAJORS):
        raise pytest.UsageError(f"--majors: {asked}: the majors are {', '.join(map(str, MAJORS))}")
    return majors


def _fewer(nodeid: str, majors: list[int]) -> list[int]:
    if nodeid.startswith(_AT_THE_ENDS):
        return sorted({*majors[:1], *majors[-1:]})
    return sorted({*majors[::2], *majors[-1:]}) if nodeid.startswith(_HERE_AND_THERE) else majors


def _fits(node: pytest.Item, major: int) -> bool:
    return all(_holds(mark.args[0], major) for mark in node.iter_markers("pg"))


def _holds(spec: str, major: int) -> bool:
    compare = {
        ">=": major.__ge__,
        "<=": major.__le__,
        "==": major.__eq__,
        "!=": major.__ne__,
        ">": major.__gt__,
        "<": major.__lt__,
    }
    parts = [_SPEC.fullmatch(part) for part in spec.split(",")]
    if not all(parts):
        raise pytest.UsageError(f"pg({spec!r}): not a list of conditions such as >= 14")
    return all(compare[part[1]](int(part[2])) for part in parts if part)


def _only(request: pytest.FixtureRequest, major: int) -> int:
    if not _fits(request.node, major):
        pytest.skip(f"not for PostgreSQL {major}")
    return major


def _programs(major: int) -> str:
    if major not in _PROGRAMS:
        _not_available(major)
    return str(_PROGRAMS[major])


def _not_available(major: int) -> NoReturn:
    reason = f"PostgreSQL {major} is not available: run python tests/postgres/fetch.py"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _shared(major: int) -> Server:
    if major not in _running:
        _running[major] = Server.create(major, _programs(major), **_IN_PEACE)
    if not _running[major].running:
        _running[major].start(**_IN_PEACE)
    return _running[major]
