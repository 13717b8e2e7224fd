"""A database that was found and then dropped: it is looked for again when it is missed, not a minute later."""

import json
from collections.abc import Callable, Iterator

import gevent
import pytest

from pgdoctor_lib.agent.discovery import EVERY_S, Discovery
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.values import Discover
from tests.agent.at_home import configure
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Server
from tests.waiting import wait_for


def until(holds: Callable[[], bool], what: str) -> None:
    with gevent.Timeout(EVERY_S / 2, AssertionError(what)):
        while not holds():
            gevent.sleep(0.01)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def discovery(fresh_server: Server, notes: list[str]) -> Iterator[Discovery]:
    """It has found `production/app` and `production/postgres`."""
    fresh_server.create_database("app")
    entry = Target("production", Dsn.parse(fresh_server.dsn(), {}), discover=Discover())
    made = Discovery(SYSTEM, lambda text, *_, **__: notes.append(text), lambda: None, lambda _: None)
    made.follow([entry])
    until(lambda: notes == ["2 databases found"], "nothing is found")
    yield made
    gevent.joinall(made.stop())


def test_one_that_is_missed_is_looked_for_at_once(fresh_server: Server, discovery: Discovery, notes: list[str]) -> None:
    fresh_server.drop_database("app")
    discovery.look_now("production/app")
    until(lambda: len(notes) > 1, "it did not look")
    assert notes[1:] == ["1 database gone: production/app"]
    fresh_server.create_database("app")
    discovery.look_now("production/postgres")
    until(lambda: len(notes) > 2, "it did not look")
    assert notes[2:] == ["1 database found: production/app"]


def test_nobody_hurries_in_vain(fresh_server: Server, discovery: Discovery, notes: list[str]) -> None:
    wake = discovery._entries["production"].wake
    for name in ("another", "production", "production/other"):
        discovery.look_now(name)
    assert not wake.is_set(), "that was never found"
    fresh_server.stop()
    discovery.look_now("production/app")
    assert wake.is_set()
    until(lambda: len(notes) > 1, "it did not look")
    assert notes[1].startswith("looking for databases failed: ")
    discovery.look_now("production/app")
    assert not wake.is_set(), "the server is down, not a database: each failing cycle tells"


def test_a_daemon_misses_a_dropped_database_once(cli: Cli, fresh_server: Server, endpoint: Endpoint) -> None:
    fresh_server.create_database("app")
    entry = {"name": "production", "dsn": fresh_server.dsn(), "interval": 2, "discover": True}
    configure(cli, json.dumps({"endpoint": endpoint.url, "token": "tok", "databases": [entry]}))
    daemon = cli.start("daemon")
    daemon.wait_for_line(r"\[production/app\] Collecting .* ✓")
    fresh_server.drop_database("app")
    daemon.wait_for_line(r"\[production\] 1 database gone: production/app$")
    before = len(endpoint.snapshots)
    wait_for(lambda: len(endpoint.snapshots) >= before + 2, "the other is not collected")
    failed = [line for line in daemon.lines if "[production/app]" in line and "✗" in line]
    assert len(failed) <= 1, failed
    daemon.send()
    assert daemon.finish().returncode == 0
