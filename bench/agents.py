"""The two agents, each as a real process: `Daemon` (PGDoctor) with its endpoint, `Exporter` with its scraper."""

import gzip
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import proc
from bench.cases import Place
from bench.measure import First, first
from tests.postgres.fetch import cache
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "prometheus-postgres-exporter"
_SETTLE_S = 0.3  # after a cycle's last byte: sessions end, files go
_TROUBLE = ("failed", "error", "warning")


class Daemon:
    """`pgdoctor daemon`, watching every database of the place."""

    name = "pgdoctor"

    def __init__(self, place: Place, process: "_Process", endpoint: str) -> None:
        self.pid = process.pid
        self.start_peak_mb = process.start_peak_mb
        self._case = place.case
        self._process = process
        self._endpoint = endpoint

    def cycles(self, number: int) -> int:
        """Wait until every database has been delivered so many times more; the bytes of the gzip bodies."""
        count, before = self._taken()
        end = time.monotonic() + 20 + 3 * number * self._case.interval_s
        while self._taken()[0] < count + number * self._case.watched:
            time.sleep(0.05)
            if time.monotonic() > end:
                raise RuntimeError(f"the daemon is not well:\n{self._process.output()[-2000:]}")
        time.sleep(_SETTLE_S)
        return self._taken()[1] - before

    def first(self) -> First | None:
        """Of one database; of several, the first snapshot tells little."""
        if self._case.watched > 1:
            return None
        with urllib.request.urlopen(f"{self._endpoint}/first", timeout=5) as answer:
            found = json.load(answer)
        ms = {name: cost["ms"] for name, cost in found["collectors"].items()}
        return first(found["at_s"] - self._process.began_s, ms)

    def troubles(self) -> list[str]:
        return [line for line in self._process.output().splitlines() if any(word in line for word in _TROUBLE)]

    def _taken(self) -> tuple[int, int]:
        with urllib.request.urlopen(self._endpoint, timeout=5) as answer:
            taken = json.load(answer)
        return taken["count"], taken["bytes"]


class Exporter:
    """Debian's prometheus-postgres-exporter, scraped at the case's interval."""

    def __init__(self, place: Place, process: "_Process", port: int, name: str) -> None:
        self.name = name
        self.pid = process.pid
        self.start_peak_mb = process.start_peak_mb
        self._interval_s = place.case.interval_s
        self._port = port
        self._process = process

    def cycles(self, number: int) -> int:
        """Scrape so many times; the bytes of the gzip bodies."""
        total, start = 0, time.monotonic()
        for turn in range(number):
            time.sleep(max(0.0, start + turn * self._interval_s - time.monotonic()))
            total += self._scrape()
        time.sleep(_SETTLE_S)
        return total

    def first(self) -> None:
        """A page is not sent, but fetched."""

    def troubles(self) -> list[str]:
        """None: a page that is not whole ends all."""
        return []

    def _scrape(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.getheader("Content-Encoding") != "gzip" or b"\npg_up 1\n" not in gzip.decompress(body):
            raise RuntimeError(f"the exporter is not well ({answer.status}):\n{self._process.output()}")
        return len(body)


class _Process:
    """A process that writes to the file `output`; `began_s` by time.monotonic()."""

    def __init__(self, process: "subprocess.Popen[bytes]", began_s: float, output: Path) -> None:
        self.pid = process.pid
        self.began_s = began_s
        self.start_peak_mb = 0.0
        self._output = output

    def output(self) -> str:
        return self._output.read_text()

    def is_up(self) -> None:
        """Its start is over, and the first cycle begins: memory's highest is counted anew."""
        self.start_peak_mb = proc.highest_mb(self.pid)
        proc.forget_highest(self.pid)


@contextmanager
def daemon(place: Place) -> Iterator[Daemon]:
    """PGDoctor at work, in a home of its own; ended by SIGTERM."""
    with _folder() as home, _endpoint() as endpoint:
        config = home / "pgdoctor.yaml"
        config.touch(0o600)
        config.write_text(json.dumps(_configuration(place, endpoint)))  # JSON is YAML
        command = [sys.executable, str(ROOT / "pgdoctor.py"), "daemon", "--config", str(config)]
        with _running(command, home, {"HOME": str(home)}) as process:
            wait_for(lambda: "daemon started" in process.output(), process.output)
            process.is_up()
            yield Daemon(place, process, endpoint)


def _configuration(place: Place, endpoint: str) -> dict[str, object]:
    entries: list[dict[str, object]] = []
    for number, server in enumerate(place.servers, 1):
        if place.case.discovers:
            entries.append({"name": f"server_{number}", "dsn": place.dsn(server, place.names[0]), "discover": True})
        else:
            entries += [{"name": name, "dsn": place.dsn(server, name)} for name in place.names]
    return {
        "endpoint": endpoint,
        "token": "token-of-the-benchmark",
        "interval": place.case.interval_s,
        "databases": entries,
        "budget": "100%",  # at such intervals it would leave out what is to be measured
        "mute": [{"check": "autovacuum-throttled", "reason": "the bench keeps autovacuum from coming"}],
    }


@contextmanager
def exporter(place: Place, program: Path, queries: Path | None = None) -> Iterator[Exporter]:
    """The exporter at work: on all databases where there are several, with `queries` (a queries.yaml) if given."""
    [server] = place.servers
    port = _free_port()
    command = [str(program), f"--web.listen-address=127.0.0.1:{port}"]
    command += ["--auto-discover-databases"] if place.case.databases > 1 else []
    command += [f"--extend.query-path={queries}"] if queries else []
    source = f"{place.dsn(server, place.names[0])}?sslmode=disable".replace("postgres://", "postgresql://")
    with _folder() as home, _running(command, home, {"DATA_SOURCE_NAME": source}) as process:
        wait_for(lambda: _answers(port), process.output)
        process.is_up()
        name = "postgres_exporter" + (" + queries.yaml" if queries else "")
        yield Exporter(place, process, port, name)


def find_exporter() -> tuple[Path, Path] | None:
    """The exporter and its queries.yaml: those installed, else out of Debian's package, unpacked but not installed."""
    unpacked = cache() / PACKAGE
    for root in (Path("/"), unpacked):
        program = root / "usr/bin" / PACKAGE
        if program.exists() or (root == unpacked and _unpack(root)):
            return program, root / "usr/share/doc" / PACKAGE / "examples/queries.yaml"
    return None


def _unpack(folder: Path) -> bool:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    with _folder() as downloads:
        command = ["apt-get", "-qq", "download", PACKAGE]
        # Once more after an update, which only root may do: a machine that was just made has no lists of packages.
        if not _quiet(command, downloads) and not (_quiet(["apt-get", "-qq", "update"]) and _quiet(command, downloads)):
            return False
        [package] = downloads.glob("*.deb")
        folder.mkdir(parents=True, exist_ok=True)
        return _quiet(["dpkg-deb", "-x", str(package), str(folder)])


def _quiet(command: list[str], folder: Path | None = None) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pgdoctor-bench-") as folder:
        yield Path(folder)


@contextmanager
def _running(command: list[str], home: Path, environment: dict[str, str]) -> Iterator[_Process]:
    with (home / "output").open("wb") as output:
        began_s = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=home,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with _ended(process):
            yield _Process(process, began_s, home / "output")


@contextmanager
def _endpoint() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.endpoint"]
    with _ended(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/api/snapshots"


@contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
