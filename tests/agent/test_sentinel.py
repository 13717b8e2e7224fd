"""Between two cycles: when the recorder looks, and that the daemon tells of a crowd, and is late for nothing."""

import json
import math
from typing import Any

import pytest

from pgdoctor_lib.agent import sentinel
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.recorder import LOOK_S, SAMPLE_S
from tests.agent.at_home import configure
from tests.collectors.test_recorder import crowd
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database
from tests.waiting import wait_for


class Slept:
    """Time that goes by in sleep alone; each look takes `takes_s`."""

    def __init__(self, *wanted: float, takes_s: float = 0.0) -> None:
        self.now = 0.0
        self.looks: list[float] = []
        self._wanted, self._takes_s = iter(wanted), takes_s

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def record(self) -> float:
        self.looks.append(self.now)
        self.now += self._takes_s
        return next(self._wanted, LOOK_S)


@pytest.mark.parametrize(
    ("until", "first_s", "wanted", "looks"),
    [
        (1.4, LOOK_S, (), []),
        (5.0, LOOK_S, (), [3.5]),
        (32.0, LOOK_S, (), [10.0, 20.0, 30.0, 30.5]),
        (14.0, LOOK_S, (1.0, 1.0), [10.0, 11.0, 12.0, 12.5]),
        (60.0, LOOK_S, (10.0, math.inf), [10.0, 20.0]),
        (30.0, SAMPLE_S, (1.0, 1.0), [1.0, 2.0, 3.0, 13.0, 23.0, 28.5]),
    ],
)
def test_when_it_looks(
    until: float, first_s: float, wanted: tuple[float, ...], looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Slept(*wanted, takes_s=0.01)
    monkeypatch.setattr(sentinel.gevent, "sleep", time.sleep)
    clock = Clock(wall=time.monotonic, monotonic=time.monotonic)
    sentinel.watch(time.record, until, clock, first_s)
    assert [round(each, 1) for each in time.looks] == looks
    assert time.now + sentinel.SPARE_S <= until + 0.1 or not looks


def test_the_daemon_tells_of_a_crowd_in_its_next_snapshot(cli: Cli, endpoint: Endpoint, database: Database) -> None:
    database.sql("CREATE TABLE t (x int PRIMARY KEY, y int)")
    database.sql("INSERT INTO t VALUES (1, 0)")
    databases = [{"name": "app", "dsn": database.dsn, "interval": 5}]
    settings = {"endpoint": endpoint.url, "token": "tok-recorder", "recorder": {"waiters": 3}, "databases": databases}
    configure(cli, json.dumps(settings))
    with crowd(database, 6) as (root, _):
        daemon = cli.start("daemon")
        told = wait_for(lambda: incidents(endpoint), lambda: f"no incident: {daemon!r}", 60)
        assert f"up to 6 sessions waited for locks, behind pid {root} (idle in transaction" in told[0]["summary"]
        daemon.send()
        assert daemon.finish().returncode == 0


def incidents(endpoint: Endpoint) -> list[dict[str, Any]]:
    """The findings of all snapshots so far."""
    found = [finding for snapshot in endpoint.snapshots for finding in snapshot["findings"]]
    return [finding for finding in found if finding["check"] == "incident"]
