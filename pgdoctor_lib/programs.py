"""Other programs that the configuration names: started with nothing of ours, and ended with all that they started."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress


class CannotRun(Exception):
    """It could not be started: why, in the system's words."""


def start(command: Sequence[str], *, stdin: int, stdout: int) -> "subprocess.Popen[bytes]":
    """Without a shell, in a process group and a folder of its own. What it says on standard error goes nowhere."""
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            close_fds=True,
        )
    except (OSError, ValueError) as error:
        raise CannotRun(
            os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "cannot be run"
        ) from None


def how_it_ended(code: int) -> str:
    """Of what did not end well: "exit status 3", "killed by signal 9"."""
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


def end(process: "subprocess.Popen[bytes]") -> None:
    """It, and all that it started and left in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # in the kernel, which lets go of it some time
        process.wait(1)
