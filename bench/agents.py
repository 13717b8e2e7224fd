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

from bench.cases import Place
from tests.postgres.fetch import cache
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "prometheus-postgres-exporter"
_SETTLE_S = 0.3  # after a cycle's last byte: sessions end, files go
_TROUBLE = ("failed", "error", "warning")


class Daemon:
    """`pgdoctor daemon`, watching every database of the place."""

    name = "pgdoctor"

    def __init__(self, place: Place, pid: int, endpoint: str, log: Path) -> None:
        self.pid = pid
        self._databases = place.case.databases
        self._interval_s = place.case.interval_s
        self._endpoint = endpoint
        self._log = log

    def cycles(self, number: int) -> int:
        """Wait until every database has been delivered so many times more; the bytes of the gzip bodies."""
        count, before = self._taken()
        end = time.monotonic() + 10 + 3 * number * self._interval_s
        while self._taken()[0] < count + number * self._databases:
            time.sleep(0.05)
            self._look_for_trouble(late=time.monotonic() > end)
        time.sleep(_SETTLE_S)
        return self._taken()[1] - before

    def _look_for_trouble(self, *, late: bool) -> None:
        log = self._log.read_text()
        if late or any(word in log for word in _TROUBLE):
            raise RuntimeError(f"the daemon is not well:\n{log[-2000:]}")

    def _taken(self) -> tuple[int, int]:
        with urllib.request.urlopen(self._endpoint, timeout=5) as answer:
            taken = json.load(answer)
        return taken["count"], taken["bytes"]


class Exporter:
    """Debian's prometheus-postgres-exporter, scraped at the case's interval."""

    def __init__(self, place: Place, pid: int, port: int, log: Path, name: str) -> None:
        self.name = name
        self.pid = pid
        self._interval_s = place.case.interval_s
        self._port = port
        self._log = log

    def cycles(self, number: int) -> int:
        """Scrape so many times; the bytes of the gzip bodies."""
        total, start = 0, time.monotonic()
        for turn in range(number):
            time.sleep(max(0.0, start + turn * self._interval_s - time.monotonic()))
            total += self._scrape()
        time.sleep(_SETTLE_S)
        return total

    def _scrape(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.getheader("Content-Encoding") != "gzip" or b"\npg_up 1\n" not in gzip.decompress(body):
            raise RuntimeError(f"the exporter is not well ({answer.status}):\n{self._log.read_text()}")
        return len(body)


@contextmanager
def daemon(place: Place) -> Iterator[Daemon]:
    """PGDoctor at work, in a home of its own; ended by SIGTERM."""
    with _folder() as home, _endpoint() as endpoint:
        config = home / "pgdoctor.yaml"
        config.touch(0o600)
        databases = [{"name": name, "dsn": place.dsn(name)} for name in place.names]
        config.write_text(
            json.dumps(  # JSON is YAML
                {
                    "endpoint": endpoint,
                    "token": "bench",
                    "interval": place.case.interval_s,
                    "databases": databases,
                    "budget": "100%",  # at such intervals it would leave out what is to be measured
                }
            )
        )
        command = [sys.executable, str(ROOT / "pgdoctor.py"), "daemon", "--config", str(config)]
        with _running(command, home, {"HOME": str(home)}) as process:
            yield Daemon(place, process.pid, endpoint, home / "output")


@contextmanager
def exporter(place: Place, program: Path, queries: Path | None = None) -> Iterator[Exporter]:
    """The exporter at work: on all databases where there are several, with `queries` (a queries.yaml) if given."""
    port = _free_port()
    command = [str(program), f"--web.listen-address=127.0.0.1:{port}"]
    command += ["--auto-discover-databases"] if place.case.databases > 1 else []
    command += [f"--extend.query-path={queries}"] if queries else []
    source = f"{place.dsn(place.names[0])}?sslmode=disable".replace("postgres://", "postgresql://")  # it knows but this
    with _folder() as home, _running(command, home, {"DATA_SOURCE_NAME": source}) as process:
        wait_for(lambda: _answers(port), f"the exporter does not answer: {(home / 'output').read_text()}")
        name = "postgres_exporter" + (" + queries.yaml" if queries else "")
        yield Exporter(place, process.pid, port, home / "output", name)


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
def _running(command: list[str], home: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The process; what it prints goes to the file `output` in `home`."""
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=home,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        with _ended(process):
            yield process


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
