"""Ends what a demo left behind when it could not do so itself, for example after `kill -9`.

A process of its own, run by its path with nothing but the standard library. It holds the reading
end of a pipe whose writing end only the demo has: lines `+PID SIGNAL` and `-PID` tell what runs
and how it is ended, `done` that nothing is left to do. When the pipe closes without `done`, the
demo is gone: the processes get their signal, five seconds later SIGKILL, and the folder is removed.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 5.0


def main(folder: str) -> None:
    """Wait for the demo's end, and tidy up if it was not in order."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    running: dict[int, int] = {}
    for line in sys.stdin:
        if line == "done\n":
            return
        if line.startswith("+"):
            pid, number = line[1:].split()
            running[int(pid)] = int(number)
        else:
            running.pop(int(line[1:]), None)
    end(running)
    remove(folder)


def end(running: dict[int, int]) -> None:
    """Send each process group its own signal; what is still there after a while is killed."""
    for pid, number in running.items():
        send(pid, number)
    deadline = time.monotonic() + GRACE_S
    while alive(running) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in running:
        send(pid, signal.SIGKILL)


def alive(pids: Iterable[int]) -> bool:
    """True while one of these process groups exists."""
    return any(send(pid, 0) for pid in pids)


def send(pid: int, number: int) -> bool:
    """Send the process group a signal; False when there is none."""
    try:
        os.killpg(pid, number)
    except OSError:
        return False
    return True


def remove(folder: str) -> bool:
    """Remove the folder, again while something still writes into it; False when it stayed."""
    deadline = time.monotonic() + GRACE_S
    while os.path.lexists(folder) and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
    return not os.path.lexists(folder)


if __name__ == "__main__":
    main(sys.argv[1])
