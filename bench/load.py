"""`python -m bench.load`: a thousand databases' snapshots into one `serve`, its pages in use; then its ceiling.

A real server's snapshot is sent for each database at its interval, evenly spread, over kept connections, as agents do;
meanwhile somebody goes from page to page. Then snapshots are sent as fast as they are taken.
"""

import argparse
import http.client
import itertools
import json
import os
import queue
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench import proc
from bench.replay import move, real_snapshot, usual
from pgdoctor_lib.snapshot import iso_time, new_id
from tests.postgres.fetch import installed
from tests.postgres.server import Server, sweep

_TOKEN = "a-token-of-the-bench-0123456789"
_MINUTES = 60  # documents that differ: an hour's, so that each section is due as often as it is
_CONNECTIONS = 8  # deliveries at once, as an agent has
_VIEWS = ("", "?range=24h", "/queries", "/tables", "/locks", "/vacuum")
_PACK = 5


@dataclass
class Told:
    """What came of requests: seconds each, and how many were refused."""

    took_s: list[float] = field(default_factory=list)
    refused: int = 0

    def __str__(self) -> str:
        if not self.took_s:
            return "none"
        times = sorted(each * 1000 for each in self.took_s)
        return (
            f"{len(times):,}, median {statistics.median(times):.0f} ms, p95 {times[int(len(times) * 0.95)]:.0f} ms,"
            f" worst {times[-1]:.0f} ms, {self.refused} refused"
        )


class Fleet:
    """Databases, each an hour's documents further than it was at each turn."""

    def __init__(self, databases: int) -> None:
        self.databases = databases
        told = real_snapshot()
        self._pool = [_template(told, minute) for minute in range(_MINUTES)]

    def body(self, number: int, turn: int) -> tuple[str, bytes]:
        """The id, and the body as it goes over the wire, of a database's snapshot at this turn."""
        now = time.time()
        snapshot_id = new_id(now)
        head = {
            "schema_version": 1,
            "snapshot_id": snapshot_id,
            "collected_at": iso_time(now),
            "database": {"name": f"database-{number:04}", "interval_s": 60, "tags": {"team": f"team-{number % 20}"}},
        }
        rest = self._pool[(number * 7 + turn) % _MINUTES]
        packer = zlib.compressobj(_PACK, wbits=31)
        return snapshot_id, packer.compress(json.dumps(head).encode()[:-1] + b"," + rest) + packer.flush()


def _template(told: dict[str, Any], minute: int) -> bytes:
    """A document without its beginning."""
    move(told, minute * 60, is_hour=minute == 0)
    document = usual(told, minute * 60)
    head = ("schema_version", "snapshot_id", "collected_at", "database")
    return json.dumps({key: value for key, value in document.items() if key not in head}).encode()[1:]


def send_evenly(port: int, fleet: Fleet, seconds: float, interval: float) -> Told:
    """Each database once an interval; late ones are sent as soon as there is a connection."""
    told, due = Told(), queue.Queue[tuple[int, int] | None]()
    threads = [_started(_sender, port, fleet, due, told) for _ in range(_CONNECTIONS)]
    apart = interval / fleet.databases
    begun = time.monotonic()
    for count in range(int(seconds / apart)):
        time.sleep(max(0.0, begun + count * apart - time.monotonic()))
        due.put((count % fleet.databases, count // fleet.databases))
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    return told


def _sender(port: int, fleet: Fleet, due: "queue.Queue[tuple[int, int] | None]", told: Told) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while (each := due.get()) is not None:
        _post(connection, *fleet.body(*each), told)


def send_all(port: int, fleet: Fleet, seconds: float) -> Told:
    """As fast as they are taken."""
    told, end = Told(), time.monotonic() + seconds
    counter = itertools.count()

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < end:
            count = next(counter)
            _post(connection, *fleet.body(count % fleet.databases, 1_000 + count // fleet.databases), told)

    threads = [_started(send) for _ in range(_CONNECTIONS)]
    for thread in threads:
        thread.join()
    return told


def _post(connection: http.client.HTTPConnection, snapshot_id: str, body: bytes, told: Told) -> None:
    head = {
        "Authorization": f"Bearer {_TOKEN}",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Idempotency-Key": snapshot_id,
    }
    began = time.monotonic()
    connection.request("POST", "/api/snapshots", body, head)
    answer = connection.getresponse()
    answer.read()
    told.took_s.append(time.monotonic() - began)
    told.refused += answer.status != 201


class Visitor:
    """Somebody who looks: home, then the views of a database, one after the other, each a second after the last."""

    def __init__(self, port: int) -> None:
        self.told = Told()
        self._ended = threading.Event()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._thread = _started(self._look)

    def stop(self) -> Told:
        """What was seen."""
        self._ended.set()
        self._thread.join()
        return self.told

    def _look(self) -> None:
        while not self._ended.is_set():
            databases = json.loads(self._get("/api/databases?limit=100"))["databases"]
            self._visit("/")
            for view in _VIEWS if databases else ():
                self._visit(f"/databases/{random.choice(databases)['id']}{view}")

    def _visit(self, path: str) -> None:
        began = time.monotonic()
        self._get(path)
        self.told.took_s.append(time.monotonic() - began)
        self._ended.wait(1)

    def _get(self, path: str) -> bytes:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        self.told.refused += answer.status != 200
        return answer.read()


def _started(work: Callable[..., None], *given: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=given, daemon=True)
    thread.start()
    return thread


@contextmanager
def serving(store: str) -> Iterator[tuple[int, int]]:
    """A receiver: its port and process id."""
    with tempfile.TemporaryDirectory() as home:
        option = "--store" if "://" in store else "--database"
        command = [sys.executable, "pgdoctor.py", "serve", "--port", "0", option, store]
        environ = {**os.environ, "HOME": home, "PGDOCTOR_TOKEN": _TOKEN}
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        try:
            for line in process.stdout or ():
                if found := re.match(r"Receiver listening on http://\S+:(\d+)/$", line):
                    yield int(found[1]), process.pid
                    break
        finally:
            process.terminate()
            process.wait()


@contextmanager
def _places(options: argparse.Namespace) -> Iterator[dict[str, tuple[str, Server | None]]]:
    """Where there are stores: what was named, or a file and a PostgreSQL of their own."""
    if options.store:
        yield {"the store named": (options.store, None)}
        return
    major, programs = max(installed().items())
    server = Server.create(major, str(programs), fsync="on")
    try:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            yield {
                "SQLite": (f"{folder}/serve.db", None),
                "PostgreSQL": (server.dsn(), server),
            }
    finally:
        server.destroy()


def measure(what: str, store: str, server: Server | None, fleet: Fleet, options: argparse.Namespace) -> None:
    """One store: with the load that is asked for, then with all that it takes."""
    interval = options.interval
    with serving(store) as (port, pid):
        send_evenly(port, fleet, interval, interval)  # each database is known
        print(f"{what}, {fleet.databases:,} databases at {interval:g} s")
        _phase(port, pid, server, lambda: send_evenly(port, fleet, options.seconds, interval))
        print(f"{what}, as fast as it goes")
        _phase(port, pid, server, lambda: send_all(port, fleet, options.ceiling))


def _phase(port: int, pid: int, server: Server | None, send: Callable[[], Told]) -> None:
    visitor, begun = Visitor(port), time.monotonic()
    receiver_s, backends_s = proc.cpu_s(pid), _backends_s(server)
    told = send()
    took_s = time.monotonic() - begun
    receiver_s, backends_s = proc.cpu_s(pid) - receiver_s, _backends_s(server) - backends_s
    print(f"  {len(told.took_s) / took_s:.1f} snapshots a second; uploads: {told}")
    print(f"  pages: {visitor.stop()}")
    each_ms = receiver_s / len(told.took_s) * 1000
    print(f"  receiver: {receiver_s / took_s:.0%} of a core, {each_ms:.1f} ms a snapshot, pages within")
    print(f"  memory: {proc.resident_mb(pid):.0f} MB, at most {proc.highest_mb(pid):.0f} MB")
    if server:
        print(f"  its PostgreSQL: {backends_s / took_s:.0%} of a core")
    sys.stdout.flush()


def _backends_s(server: Server | None) -> float:
    """The CPU of all that the server has running."""
    if server is None:
        return 0.0
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    return proc.reaped_s(postmaster) + sum(map(proc.cpu_s, proc.children(postmaster, "postgres")))


def main() -> None:
    """Serve, send, look, print."""
    options = _options()
    sweep()
    fleet = Fleet(options.databases)
    body = fleet.body(0, 1)[1]
    print(f"a usual snapshot has {len(body):,} bytes on the wire")
    with _places(options) as places:
        for what, (store, server) in places.items():
            if options.only in ("", what.lower()):
                measure(what, store, server, fleet, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--databases", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=180, help="of the load that is asked for")
    parser.add_argument("--ceiling", type=float, default=60, help="seconds of all that it takes")
    parser.add_argument("--store", help="a file, or a PostgreSQL database's DSN; else one of each kind, new")
    parser.add_argument("--only", default="", choices=("", "sqlite", "postgresql"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
