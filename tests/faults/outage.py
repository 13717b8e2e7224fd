"""Run as the product runs, patched by gevent: one outage of the endpoint, in compressed time.

Argument: settings as JSON. It says "down" when the endpoint is to go, "a minute later", "up" when it is to return, each
answered by a line on standard input, and in the end how all went, as JSON. The outbox, its files and its HTTP are real;
the time is not: it goes on when this says so. fsync is left out: what a power cut does is another matter.
"""

from gevent import monkey

monkey.patch_all()

import heapq  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402

from pgdoctor_lib.agent.outbox import Outbox  # noqa: E402
from pgdoctor_lib.clock import Clock  # noqa: E402
from pgdoctor_lib.config import Endpoint, Spool  # noqa: E402
from pgdoctor_lib.errors import DeliveryError  # noqa: E402
from pgdoctor_lib.secret import Secret  # noqa: E402
from pgdoctor_lib.snapshot import Sealed, new_id  # noqa: E402

EPOCH = 1.7e9
MOST_AT_ONCE = 40  # cycles; those that wait between two attempts included


@dataclass(frozen=True)
class Settings:
    """What is told by the test: `count` snapshots during the outage, one every `step_s`."""

    url: str
    path: str
    count: int
    step_s: float
    max_bytes: int
    body_bytes: int


class Time:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, Event]] = []
        self.clock = Clock(lambda: self.now, lambda: EPOCH + self.now, self._sleep)

    def forward(self, seconds: float) -> None:
        """Wake those whose time has come, and let everybody run."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)[2].set()
        gevent.sleep(0)

    def _sleep(self, seconds: float) -> None:
        woken = Event()
        heapq.heappush(self._sleepers, (self.now + seconds, id(woken), woken))
        woken.wait()


class Outage:
    """The databases' cycles before, during and after it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.time = Time()
        self.lines: list[str] = []
        where = Endpoint(settings.url, token=Secret("tok-outage-1"), timeout_s=20)
        spool = Spool(settings.path, settings.max_bytes)
        self.outbox = Outbox(
            where, spool, self.time.clock, lambda text, **_: self.lines.append(text), lambda _name: None
        )
        self.noise = random.Random(1).randbytes(4 * settings.body_bytes).hex()
        self.sealed = 0
        self.failed = Path(f"{settings.path}.failed")  # in memory they would be most of what grows
        self.cycles: set[gevent.Greenlet[..., None]] = set()
        self.rss: list[int] = []
        self.fullest = 0

    def run(self) -> dict[str, object]:
        """All of it."""
        draining = gevent.spawn(self.outbox.drain_forever)
        for _ in range(100):  # all at once
            self.spawn_cycle()
        self.settle()
        ask("down")
        for number in range(self.settings.count):
            self.begin_cycle(self.settings.step_s)
            if number == 100:
                ask("a minute later")
            if number % 500 == 499:
                self.measure()
        self.settle()
        ask("up")
        while self.outbox.waiting:  # the databases' cycles go on meanwhile, at their pace
            self.begin_cycle(self.settings.step_s)
            for _ in range(20):
                self.time.forward(self.settings.step_s / 20)
                gevent.sleep(0.001)
        self.measure()
        draining.kill()
        self.outbox.close()
        return {
            "sealed": self.sealed, "failed": self.failed.read_text().split(), "dropped": self.outbox.dropped,
            "rss": self.rss, "fullest": self.fullest, "lines": self.lines, "now": self.time.now,
        }  # fmt: skip

    def begin_cycle(self, after_s: float) -> None:
        """One more snapshot, `after_s` after the one before."""
        self.time.forward(after_s)
        self.spawn_cycle().join(0.05)  # one that is not held waits for its next attempt
        while len(self.cycles) > MOST_AT_ONCE:
            gevent.sleep(0.001)

    def spawn_cycle(self) -> "gevent.Greenlet[..., None]":
        """One more snapshot, at work from now on."""
        cycle = gevent.spawn(self.cycle)
        self.cycles.add(cycle)
        cycle.link(self.cycles.discard)
        return cycle

    def settle(self) -> None:
        """Let all cycles come to their end."""
        while self.cycles:
            self.time.forward(0.1)
            gevent.sleep(0.001)

    def cycle(self) -> None:
        """What a database's greenlet does, without the database."""
        snapshot_id = new_id(self.time.clock.wall())
        self.sealed += 1
        start = random.Random(snapshot_id).randrange(6 * self.settings.body_bytes)
        noise = self.noise[start : start + 2 * self.settings.body_bytes]  # of which gzip makes half
        body = f'{{"snapshot_id":"{snapshot_id}","database":{{"name":"db"}},"noise":"{noise}"}}'
        parcel = self.outbox.keep(Sealed(snapshot_id, "db", body.encode()))
        try:
            self.outbox.deliver(parcel, lambda *_: None)
        except DeliveryError:
            with self.failed.open("a") as file:
                print(snapshot_id, file=file)

    def measure(self) -> None:
        """Memory of this process, and what lies in the spool."""
        self.rss.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        with os.scandir(self.settings.path) as files:
            held = sum(size for each in files if each.name.endswith(".gz") and (size := size_of(each)))
        self.fullest = max(self.fullest, held)


def size_of(entry: os.DirEntry[str]) -> int:
    """0 for a file that has just gone."""
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def ask(what: str) -> None:
    """Have the test do something."""
    print(what, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    os.fsync = lambda fd: None  # type: ignore[assignment]
    print(json.dumps(Outage(Settings(**json.loads(sys.argv[1]))).run()))
