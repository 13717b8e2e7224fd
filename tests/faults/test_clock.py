"""Clocks: the wall clock jumps, the machine sleeps; cycles neither bunch nor stop."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.watching import ODD, configure
from tests.fix_daemon import Cli, Running
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

HOUR_S, DAY_S = 3600, 86_400


class Machine:
    """A daemon that watches one database each second, on a machine whose clock is set by `jump`."""

    def __init__(self, cli: Cli, endpoint: Endpoint, dsn: str, clock: Path) -> None:
        self.cli = cli
        self.endpoint = endpoint
        self._clock = clock
        clock.write_text("0")
        configure(cli, endpoint, {"app": dsn}, shutdown_timeout=1)
        self._options = {"env": {"ODD_CLOCK": str(clock)}}
        self._pid_file = str(cli.runtime / "odd.pid")
        self.daemon: Running = cli.start("daemon", "--pid-file", self._pid_file, **self._options)

    def jump(self, offset_s: float) -> None:
        """The wall clock is off by so much from now on."""
        aside = self._clock.with_suffix(".new")
        aside.write_text(str(offset_s))
        aside.replace(self._clock)

    def goes_on(self, cycles: int) -> None:
        """So many more snapshots arrive."""
        self.endpoint.wait_for_snapshots(len(self.endpoint.snapshots) + cycles, 30)

    def gaps_s(self) -> list[float]:
        """The times between arrivals, by a clock that does not jump."""
        moments = [request.at for request in self.endpoint.requests]
        return [later - earlier for earlier, later in pairwise(moments)]

    def status(self) -> str:
        """What `daemon status` says on that machine of the database."""
        done = self.cli.run("daemon", "status", "--pid-file", self._pid_file, **self._options)
        return "".join(done.stdout.splitlines()[1:]).strip()


@pytest.fixture
def machine(tmp_path: Path, endpoint: Endpoint, newest_server: Server) -> Iterator[Machine]:
    """The daemon at work."""
    database: Database = newest_server.new_database()
    cli = Cli(tmp_path / "home", ODD)
    yield Machine(cli, endpoint, database.dsn, tmp_path / "clock")
    cli.end()
    database.drop()


def test_a_wall_clock_that_jumps_changes_no_interval(
    machine: Machine, amount: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    machine.goes_on(1)
    jumps = [HOUR_S, -HOUR_S, DAY_S, -DAY_S] * amount(1, 12)
    for offset_s in jumps:
        machine.jump(offset_s)
        machine.goes_on(amount(1, 5))
    wait_for(lambda: re.search(r"last delivered \d s ago", machine.status()), "the status stays wrong")
    gaps = machine.gaps_s()
    assert len(gaps) <= sum(gaps) + 1, "more cycles than seconds"
    figure("the wall clock jumps by hours and days", f"{len(jumps)} jumps: {len(gaps) + 1} cycles a second apart, "
           f"the nearest {min(gaps):.2f} s, the farthest {max(gaps):.2f} s")  # fmt: skip
    ends_well(machine.daemon)


def test_a_machine_that_slept_goes_on_once(
    machine: Machine, amount: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    machine.goes_on(1)
    naps = amount(1, 10)
    for _ in range(naps):
        machine.daemon.send(signal.SIGSTOP)
        time.sleep(3.5)
        came = len(machine.endpoint.requests)
        machine.daemon.send(signal.SIGCONT)
        machine.goes_on(4)
        awake = [request.at for request in machine.endpoint.requests[came:]]
        assert awake[3] - awake[0] > 1  # one at once, then the old grid: what was missed is not made up for
    figure("the machine sleeps for intervals", f"{naps} naps: no cycle made up for, none bunched")
    ends_well(machine.daemon)


def ends_well(daemon: Running) -> None:
    """SIGTERM, and a graceful end."""
    daemon.send()
    done = daemon.finish(30)
    assert (done.returncode, done.stderr) == (0, "")
    wait_for(lambda: "Daemon stopped gracefully." in done.stdout, "it did not say that it ended")
