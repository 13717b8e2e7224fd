"""The daemon without a terminal, seen from outside: its files, and how it is started, stopped, reloaded and asked.

`start` runs a fresh interpreter with the foreground `daemon` in it and waits on a pipe for its "ok", or
for its reason: nothing forks under a live hub, and what the user reads is what really happened.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pgdoctor_lib
from pgdoctor_lib import programs
from pgdoctor_lib.agent import logfile, status
from pgdoctor_lib.agent.pidfile import AlreadyRunning, holder
from pgdoctor_lib.config import paths
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import one_line

READY_FD = "PGDOCTOR_READY_FD"
_UP_WITHIN_S = 60.0
_STOP_MARGIN_S = 10.0
_RELOADED_WITHIN_S = 30.0
_POLL_S = 0.1
_LONGEST_ANSWER = 4096


@dataclass(frozen=True)
class Files:
    """The background daemon's files: absolute paths."""

    pid: str
    log: str

    @property
    def status(self) -> str:
        """What `daemon status` reads lies beside the PID file."""
        return f"{self.pid}.json"

    @classmethod
    def chosen(cls, pid_file: str | None, log_file: str | None, environ: Mapping[str, str]) -> "Files":
        """The paths that the user gave, else the platform's."""
        return cls(
            os.path.abspath(pid_file) if pid_file else paths.pid_file(environ),
            os.path.abspath(log_file) if log_file else paths.log_file(environ),
        )


def start(files: Files, arguments: Sequence[str]) -> int:
    """Start the daemon with these further `arguments`; its PID, once it is up.

    AlreadyRunning, or DaemonError with the reason and the exit status that the daemon gave.
    """
    with holder(files.pid) as found:
        if found:
            raise AlreadyRunning(found.pid)
    log = logfile.open_log(files.log)
    written = os.fstat(log).st_size
    answers, child_end = os.pipe()
    try:
        process = _spawn(files, arguments, log, child_end)
    finally:
        os.close(child_end)
        os.close(log)
    try:
        return _outcome(_answer(answers), process, files.log, written)
    except BaseException:
        process.terminate()  # also at Ctrl+C: what is not known to be up does not stay
        process.wait(_STOP_MARGIN_S)
        raise
    finally:
        os.close(answers)


def stop(files: Files) -> int | None:
    """End the daemon gracefully and wait for it; its PID, or None where none runs. DaemonError: it goes on."""
    with holder(files.pid) as found:
        if found is None:
            return None
        patience_s = status.read(files.status, found.pid).shutdown_timeout_s + _STOP_MARGIN_S
        found.signal(signal.SIGTERM)
        if not found.wait(patience_s):
            raise DaemonError(
                f"the daemon (PID: {found.pid}) still runs {patience_s:g} s after SIGTERM",
                hint=f'see its log; "kill -9 {found.pid}" ends it at once',
            )
        return found.pid


def reload(files: Files) -> int | None:
    """Have the daemon read its configuration anew, and wait for what came of it; its PID, or None where none runs.

    DaemonError, with exit status 2, where the configuration makes no sense and the old one stays in force.
    """
    with holder(files.pid) as found:
        if found is None:
            return None
        before = status.read(files.status, found.pid).reloads
        found.signal(signal.SIGHUP)
        until = time.monotonic() + _RELOADED_WITHIN_S
        while (now := status.read(files.status, found.pid)).reloads == before:
            if time.monotonic() > until or found.wait(_POLL_S):
                raise DaemonError("the daemon did not say what came of the reload", hint="see its log")
        if now.reload_error:
            raise DaemonError(now.reload_error, hint="the old configuration stays in force", exit_status=2)
        return found.pid


def ask(files: Files) -> status.Status | None:
    """What is known of the daemon that runs, or None where none does."""
    with holder(files.pid) as found:
        return status.read(files.status, found.pid) if found else None


def _spawn(files: Files, arguments: Sequence[str], log: int, child_end: int) -> "subprocess.Popen[bytes]":
    """The child keeps this folder until it has read its configuration, whose path may be relative."""
    program = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(pgdoctor_lib.__file__))), "pgdoctor.py")
    daemon = [sys.executable, program, "daemon", "--pid-file", files.pid, "--log-file", files.log]
    return subprocess.Popen(
        [*daemon, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        pass_fds=(child_end,),
        env={**os.environ, READY_FD: str(child_end)},
    )


def _answer(fd: int) -> str:
    """The child's line, "" where it ended without one. DaemonError after a minute."""
    until = time.monotonic() + _UP_WITHIN_S
    text = b""
    while not text.endswith(b"\n"):
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            raise DaemonError(f"the daemon was not up within {_UP_WITHIN_S:g} s")
        piece = os.read(fd, _LONGEST_ANSWER)
        if not piece:
            return ""
        text += piece
    return text.decode("utf-8", "replace").rstrip("\n")


def _outcome(answer: str, process: "subprocess.Popen[bytes]", log: str, written: int) -> int:
    kind, _, rest = answer.partition(" ")
    if kind == "ok":
        return int(rest)
    code = process.wait(_STOP_MARGIN_S)
    if kind == "running":
        raise AlreadyRunning(int(rest))
    if kind == "failed":
        number, _, reason = rest.partition(" ")
        raise DaemonError(reason, exit_status=int(number))
    last = one_line(logfile.last_line(log, written)).removeprefix("pgdoctor: ")
    reason = last or programs.how_it_ended(code)
    raise DaemonError(
        f"the daemon did not start: {reason}", hint=f"see {one_line(log)}", exit_status=2 if code == 2 else 1
    )
