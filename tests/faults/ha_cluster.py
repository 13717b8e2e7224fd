"""Several daemons with one configuration, as if on several hosts, and an endpoint that keeps the first of each slot."""

import json
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tests.fix_daemon import Cli, Running
from tests.fix_endpoint import Answer, Endpoint, Request
from tests.fix_proxy import PASS, SWALLOW, Proxy
from tests.waiting import wait_for

PROGRAM = Path(__file__).with_name("ha_daemon.py")


class FirstOfEach(Endpoint):
    """As `pgdoctor serve` does it: 201 to the first under an id, 409 to the rest."""

    def __init__(self) -> None:
        self.stored: dict[str, int] = {}  # id → the process that it came from
        self.again = 0
        self._one_by_one = threading.Lock()
        super().__init__()

    def take(self, request: Request) -> Answer:
        if len(request.body) != int(request.headers["Content-Length"]):
            return Answer(400, close=True)  # its sender was killed
        document = request.json
        key = document["snapshot_id"]
        with self._one_by_one:
            if key in self.stored:
                self.again += 1
                return Answer(409, body={"id": key})
            self.stored[key] = document["agent"]["pid"]
            return Answer(201, body={"id": key})

    @property
    def starts_ms(self) -> list[int]:
        """The stored slots' starts, in order: a time for each id, the same twice where a slot was stored twice."""
        return sorted(uuid.UUID(key).int >> 80 for key in list(self.stored))

    @property
    def latest_pid(self) -> int:
        """Who delivered last."""
        return list(self.stored.values())[-1] if self.stored else 0


@dataclass
class Host:
    """One daemon, where it lives, and what is the matter with it."""

    cli: Cli
    proxy: Proxy | None
    port: int
    clock_s: float = 0.0
    fault: str = ""
    daemon: Running | None = None
    daemons: list[Running] = field(default_factory=list)

    def start(self) -> None:
        """Start it, by its own way to the server."""
        self.daemon = self.cli.start("daemon", env={"HA_PORT": str(self.port), "HA_CLOCK": str(self.clock_s)})
        self.daemons.append(self.daemon)

    @property
    def pid(self) -> int:
        return self.daemon.pid if self.daemon else 0

    def spoil(self, fault: str) -> None:
        """ "killed", "frozen", "cut off" from the server, or "stopped"."""
        assert self.daemon
        self.fault = fault
        if fault == "killed":
            self.daemon.kill()
        elif fault == "frozen":
            self.daemon.send(signal.SIGSTOP)
        elif fault == "cut off":
            assert self.proxy
            self.proxy.does(SWALLOW)
        else:
            self.daemon.send(signal.SIGTERM)
            assert self.daemon.finish().returncode == 0, self.daemon

    def mend(self) -> None:
        """Make good what `spoil` did."""
        assert self.daemon
        if self.fault == "frozen":
            self.daemon.send(signal.SIGCONT)
        elif self.fault == "cut off":
            assert self.proxy
            self.proxy.does(PASS)
        elif self.fault:
            self.start()
        self.fault = ""


def configure(cli: Cli, url: str, dsn: str, interval_s: float) -> None:
    """The one configuration."""
    row = {"name": "app", "dsn": dsn, "interval": interval_s}
    document = {"endpoint": url, "token": "tok-of-many-hosts-0001", "ha": True, "databases": [row]}
    path = cli.cwd / "pgdoctor.yaml"
    path.touch(0o600)
    path.write_text(json.dumps(document))


def host(home: Path, endpoint: Endpoint, dsn: str, interval_s: float, port: int, proxy: Proxy | None = None) -> Host:
    """A host with its configuration; nothing runs there yet."""
    cli = Cli(home, (sys.executable, str(PROGRAM)))
    configure(cli, endpoint.url, dsn, interval_s)
    return Host(cli, proxy, port)


def told(hosts: list[Host], since_ms: int, until_ms: int) -> str:
    """What the daemons said between two moments, and a little before and after."""
    moments = time.localtime(since_ms / 1000 - 2), time.localtime(until_ms / 1000 + 2)
    first, last = (time.strftime("[%Y-%m-%d %H:%M:%S]", moment) for moment in moments)
    lines = []
    for number, each in enumerate(hosts, 1):
        for daemon in each.daemons:
            lines += [f"{line} (host {number}, {daemon.pid})" for line in daemon.lines if first <= line[:21] <= last]
    return "\n".join(sorted(lines))


def await_slots(endpoint: FirstOfEach, count: int, hosts: list[Host], timeout_s: float = 60) -> None:
    """Wait until so many slots are stored."""
    shown = [each.daemon for each in hosts]
    wait_for(lambda: len(endpoint.stored) >= count, f"{len(endpoint.stored)} of {count} slots; {shown}", timeout_s)


class Stalls:
    """How long this machine lets a thread wait for its turn: what no daemon on it can be better than."""

    def __init__(self) -> None:
        self.late: list[tuple[float, float]] = []  # when (epoch s), and by how much (s)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()

    def between(self, since_ms: int, until_ms: int) -> float:
        """The longest one then."""
        return max((by for at, by in self.late if since_ms / 1000 - 2 < at < until_ms / 1000 + 2), default=0.0)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._over.wait(0.05):
            now = time.monotonic()
            self.late.append((time.time(), now - before - 0.05))
            before = now
