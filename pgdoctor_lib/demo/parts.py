"""The demo's stage: one temporary folder, the processes that live in it, and the end of both.

Each process has a session of its own, so that Ctrl+C in a terminal reaches the demo alone, which
then ends them in order: the last one started goes first.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from pgdoctor_lib.demo import janitor
from pgdoctor_lib.errors import DeadlineExceeded, PGDoctorError
from pgdoctor_lib.secret import one_line

T = TypeVar("T")
POLL_S = 0.05
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_FOLDER = 70  # a socket's path, /…/socket/.s.PGSQL.65535.lock, has 103 bytes on macOS, 107 on Linux
Ends = tuple[tuple[signal.Signals, float], ...]


class Interrupted(Exception):
    """The user, or the system, asked the demo to end."""


class Wishes:
    """Counts the signals that ask for the end; the first is obeyed in order, the second at once."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Wishes":
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


@dataclass(frozen=True)
class Part:
    """One process of the demo. `ends`: the signals that end it, each with the seconds it is given."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path | None
    ends: Ends

    def text(self) -> str:
        """All that its log says."""
        return self.log.read_text("utf-8", "replace") if self.log else ""

    def last_words(self) -> str:
        """The last line of its log, or nothing."""
        lines = [line for line in self.text().splitlines() if line.strip()]
        return one_line(lines[-1], 300) if lines else ""

    def obituary(self) -> str:
        """What became of it: "PostgreSQL ended unexpectedly (SIGKILL): its last words"."""
        status = self.process.returncode
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        words = self.last_words()
        return f"{self.name} ended unexpectedly ({how})" + (f": {words}" if words else "")


class Stage:
    """A context: makes the folder, keeps the parts, and at the end stops and removes everything."""

    def __init__(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._parts: list[Part] = []

    def __enter__(self) -> "Stage":
        self.folder = Path(tempfile.mkdtemp(prefix="pgdoctor-demo-", dir=_parent()))
        try:
            self._furnish()
        except BaseException:
            janitor.remove(str(self.folder))
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for part in [*reversed(self._parts)]:
            self._end(part)
        left = not janitor.remove(str(self.folder))
        self._tell("done")
        with suppress(OSError):
            self._stdin().close()
        self._janitor.wait()
        if left:
            print(f"pgdoctor: demo: could not remove {self.folder}", file=sys.stderr)

    def _furnish(self) -> None:
        self.folder.chmod(0o711)  # PostgreSQL's user passes through to its own folder
        self.own = self.make("own")
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", janitor.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def make(self, name: str) -> Path:
        """A new folder in the stage's, 0700."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        return folder

    def start(
        self,
        name: str,
        argv: Sequence[object],
        *,
        env: Mapping[str, str],
        log: Path | None,
        ends: Ends = ((signal.SIGTERM, 5.0),),
        user: Mapping[str, Any] | None = None,
    ) -> Part:
        """Start a process. Its output goes to `log`, or with None where the demo's own goes."""
        output = None if log is None else log.open("ab")
        try:
            process = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output and subprocess.STDOUT,
                env=dict(env),
                cwd="/",
                start_new_session=True,
                **(user or {}),
            )
        finally:
            if output is not None:
                output.close()
        part = Part(name, process, log, ends)
        self._parts.append(part)
        self._tell(f"+{process.pid} {int(ends[-1][0])}")
        return part

    def finish(self, part: Part, seconds: float) -> int:
        """Wait for a part that ends by itself: its exit status."""
        self.wait_for(part.process.poll, seconds, part.name, watch=False)
        self.forget(part)
        return int(part.process.returncode)

    def forget(self, part: Part) -> None:
        """This part has ended, as it should."""
        self._parts.remove(part)
        self._tell(f"-{part.process.pid}")

    def watch(self) -> NoReturn:
        """Wait for the end, which is an exception: the one that `check` raises."""
        while True:
            self.check()
            time.sleep(POLL_S)

    def check(self) -> None:
        """Raise `Interrupted` after a signal, PGDoctorError when a part is no longer there."""
        if self._wishes.count:
            raise Interrupted
        for part in self._parts:
            if part.process.poll() is not None:
                raise PGDoctorError(f"demo: {part.obituary()}")

    def wait_for(self, condition: Callable[[], T | None], seconds: float, what: str, *, watch: bool = True) -> T:
        """Wait until the condition gives something; `watch` meanwhile (signals: in any case)."""
        deadline = time.monotonic() + seconds
        while (value := condition()) is None:
            if watch or self._wishes.count:
                self.check()
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"demo: {what} took longer than {seconds:g} s")
            time.sleep(POLL_S)
        return value

    def _end(self, part: Part) -> None:
        for number, seconds in (*part.ends, (signal.SIGKILL, 5.0)):
            if part.process.poll() is not None:
                break
            janitor.send(part.process.pid, number)
            deadline = time.monotonic() + seconds
            while part.process.poll() is None and time.monotonic() < deadline and self._wishes.count < 2:
                time.sleep(POLL_S)
        part.process.wait()
        self.forget(part)

    def _tell(self, line: str) -> None:
        with suppress(OSError):  # a janitor that was killed costs only the tidying after a kill -9
            self._stdin().write(f"{line}\n".encode())
            self._stdin().flush()

    def _stdin(self) -> Any:
        return self._janitor.stdin


def _parent() -> str:
    """Where temporary folders go: short enough for a socket's path, and passable for PostgreSQL's user."""
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 (mkdtemp makes the folder in it)
        path = Path(folder).resolve()
        if len(os.fsencode(path)) <= LONGEST_FOLDER and os.access(path, os.W_OK | os.X_OK) and _passable(path):
            return str(path)
    raise PGDoctorError("demo: no usable folder for temporary files", hint="set TMPDIR to a short path open to all")


def _passable(path: Path) -> bool:
    return os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
