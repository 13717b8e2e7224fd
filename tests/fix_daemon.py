"""The real command line in real processes: `cli.run("snapshot")`, `cli.start("daemon")`.

Each test has a home of its own, and an environment without anything of PostgreSQL's or PGDoctor's.
What a test leaves running, in the background too, is killed and fails nothing: tests that care look themselves.
"""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = (sys.executable, str(ROOT / "pgdoctor.py"))


class Running:
    """A started process. `lines` and `errors`: what came on standard output and error so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int | None) -> None:
        self.process = process
        self.pid = process.pid
        self.output = ""
        self.error = ""
        source = os.fdopen(terminal, "rb", buffering=0) if terminal is not None else process.stdout
        self._readers = [self._read(source, "output"), self._read(process.stderr, "error")]

    @property
    def lines(self) -> list[str]:
        """The lines of standard output so far, an unfinished last one among them."""
        return self.output.splitlines()

    @property
    def errors(self) -> list[str]:
        """The lines of standard error so far."""
        return self.error.splitlines()

    def wait_for_line(self, pattern: str, timeout_s: float = 30) -> re.Match[str]:
        """The first line of standard output that matches, waited for; AssertionError when it ends or time is up."""
        return wait_for(
            lambda: self._search(pattern) or self._ended(pattern), lambda: f"no line {pattern!r}; {self!r}", timeout_s
        )

    def send(self, signum: int = signal.SIGTERM) -> None:
        """Send it a signal (to the process alone, not to its group)."""
        self.process.send_signal(signum)

    def finish(self, timeout_s: float = 30) -> "subprocess.CompletedProcess[str]":
        """Wait for its end: status and whole output."""
        status = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(30)
        return subprocess.CompletedProcess(self.process.args, status, self.output, self.error)

    def kill(self) -> None:
        """SIGKILL, to its whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join(5)

    def __repr__(self) -> str:
        return f"<{self.process.args} status={self.process.poll()}\n--- output\n{self.output}--- errors\n{self.error}>"

    def _search(self, pattern: str) -> re.Match[str] | None:
        return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

    def _ended(self, pattern: str) -> None:
        if self.process.poll() is not None:
            self.finish()
            assert self._search(pattern), f"it ended without a line {pattern!r}: {self!r}"

    def _read(self, stream: IO[bytes] | None, attribute: str) -> threading.Thread:
        assert stream
        thread = threading.Thread(target=self._copy, args=(stream, attribute), daemon=True)
        thread.start()
        return thread

    def _copy(self, stream: IO[bytes], attribute: str) -> None:
        received = b""
        with stream:
            while chunk := _read_some(stream):
                received += chunk
                setattr(self, attribute, received.decode("utf-8", "replace"))


class Cli:
    """The command line in one test's home. `env` is added to every process's environment; None takes out."""

    def __init__(self, home: Path, command: tuple[str, ...] = CHECKOUT) -> None:
        self.home = home
        self.command = command
        self.cwd = home / "work"
        self.runtime = home / "run"
        self.state = home / ".local" / "state"
        self.env: dict[str, str | None] = {}
        self._started: list[Running] = []
        for folder in (self.cwd, self.runtime):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def run(
        self,
        *args: str,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 60,
        stdin: str = "",
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; text output, UTF-8."""
        environment = self.environment(env)
        where = cwd or self.cwd
        command = [*self.command, *args]
        return subprocess.run(
            command,
            env=environment,
            cwd=where,
            timeout=timeout_s,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def start(
        self, *args: str, env: Mapping[str, str | None] | None = None, cwd: Path | None = None, tty: bool = False
    ) -> Running:
        """Start a command, and read what it prints; with `tty` its standard output is a terminal."""
        terminal, output = pty.openpty() if tty else (None, subprocess.PIPE)
        process = subprocess.Popen(
            [*self.command, *args],
            env=self.environment(env),
            cwd=cwd or self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if tty:
            os.close(output)
        self._started.append(Running(process, terminal))
        return self._started[-1]

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """What a process of this test finds: PATH, a home of its own, UTF-8, and what `env` adds."""
        folders = {"HOME": self.home, "XDG_RUNTIME_DIR": self.runtime, "XDG_STATE_HOME": self.state}
        folders["XDG_CONFIG_HOME"] = self.home / ".config"
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **{name: str(path) for name, path in folders.items()}}
        asked = {**base, **self.env, **(env or {})}
        return {name: value for name, value in asked.items() if value is not None}

    def leftovers(self) -> list[int]:
        """The processes, of any parent, that run in this test's home (Linux: elsewhere none is found)."""
        mark = f"HOME={self.home}".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _environment(path)]

    def end(self) -> None:
        """Kill what is left, in the background too."""
        for running in self._started:
            running.kill()
        for pid in self.leftovers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _read_some(stream: IO[bytes]) -> bytes:
    try:
        return os.read(stream.fileno(), 65536)
    except OSError:  # a terminal whose other end is closed
        return b""


def _environment(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """PGDoctor from the checkout."""
    made = Cli(tmp_path / "home")
    yield made
    made.end()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that pip builds from a copy of the checkout (a build leaves files in its tree)."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests", "bench")
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    _pip("wheel", str(folder / "checkout"), "--no-deps", "-w", str(folder))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def console_script(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pgdoctor` as pip installs it: from the wheel, in a venv of its own that borrows our dependencies."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    [packages] = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    _pip("--python", str(venv / "bin" / "python"), "install", "--no-deps", "--ignore-installed", str(wheel))
    return venv / "bin" / "pgdoctor"


@pytest.fixture
def installed_cli(console_script: Path, tmp_path: Path) -> Iterator[Cli]:
    """PGDoctor as pip installs it."""
    made = Cli(tmp_path / "home", (str(console_script),))
    yield made
    made.end()


@pytest.fixture(params=["checkout", "installed"])
def each_cli(request: pytest.FixtureRequest) -> Cli:
    """Both ways in, one after the other."""
    return request.getfixturevalue("cli" if request.param == "checkout" else "installed_cli")


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
