"""Standard output, written by a thread of its own.

A pipe that nobody reads, or a terminal that was stopped, holds up whoever writes to it: here that is one
thread, and never the hub. What waits meanwhile is bounded; what goes beyond is counted, and told afterwards.
"""

import os
import time
from collections import deque

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.threadpool import ThreadPool

STDOUT = 1
MOST_WAITING = 5000
_select = monkey.get_original("select", "select")


class Writer:
    """Writes in order, whole texts at a time. A full disk or a closed pipe costs the text, never the daemon."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._lost = 0
        self._writing = False
        self._news = Event()
        self._pool = ThreadPool(1)
        gevent.spawn(self._run)

    def write(self, text: str) -> None:
        """Have `text` written, soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            return
        if self._lost:
            self._waiting.append(f"({self._lost} lines are missing here: nobody read them)\n".encode())
            self._lost = 0
        self._waiting.append(text.encode("utf-8", "backslashreplace"))
        self._news.set()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is written, at most so long."""
        until = time.monotonic() + timeout_s
        while (self._waiting or self._writing) and time.monotonic() < until:
            gevent.sleep(0.005)

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            data = b"".join(self._waiting)
            self._waiting.clear()
            self._writing = True
            self._pool.apply(_write, (data,))
            self._writing = False


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(STDOUT, data) :]
        except BlockingIOError:  # whoever shares our standard output made it so
            _select([], [STDOUT], [])
        except OSError:
            return
