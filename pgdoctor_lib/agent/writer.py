"""Standard output, written by a thread of its own.

A pipe that nobody reads, or a terminal that was stopped, holds up whoever writes to it: here that is one
thread, and never the hub. What waits meanwhile is bounded; what goes beyond, or does not fit on the disk, is counted,
and told afterwards.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator

import gevent
from gevent import monkey
from gevent.event import Event

from pgdoctor_lib.agent import logfile
from pgdoctor_lib.agent.threads import Threads

STDOUT = 1
MOST_WAITING = 5000
_PIECE_BYTES = 65536
_select = monkey.get_original("select", "select")


class Writer:
    """Writes in order, whole texts at a time. A full disk or a closed pipe costs the text, never the daemon."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._lost, self._why = 0, ""
        self._writing = False
        self._news = Event()
        self._sink = _Sink()
        self._in_a_thread = Threads(1)
        gevent.spawn(self._run)

    def write(self, text: str) -> None:
        """Have `text` written, soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._lose(1, "nobody read them")
            return
        if self._lost:
            self._waiting.append(f"({self._lost} lines are missing here: {self._why})\n".encode())
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
            texts = list(self._waiting)
            self._waiting.clear()
            self._writing = True
            try:
                self._in_a_thread(self._sink.write, texts)
            except Exception as error:  # noqa: BLE001 (a border: whatever it is, this is where it would be told)
                self._lose(len(texts), type(error).__name__)
            finally:
                self._writing = False

    def _lose(self, count: int, why: str) -> None:
        self._lost, self._why = self._lost + count, why


class _Sink:
    """Standard output, in the thread. Lines that it does not take are counted, and told when it does again."""

    def __init__(self) -> None:
        self._lost = 0
        self._why = ""
        self._torn = False  # the last line there is not whole

    def write(self, texts: Iterable[bytes]) -> None:
        """Write whole texts in order, and have the log put aside in between when it is full."""
        for piece in _pieces(texts):
            logfile.tend()
            self._put(piece)

    def _put(self, data: bytes) -> None:
        note = b"\n" if self._torn else b""
        if self._lost:
            note += f"({self._lost} lines are missing here: {self._why})\n".encode()
        whole = note + data
        left, why = _write(whole)
        if left != len(whole):
            self._torn = bool(left) and whole[-left - 1 : -left] != b"\n"
        told = left <= len(data)
        missing = whole[len(whole) - min(left, len(data)) :].count(b"\n")
        self._lost, self._why = (missing if told else self._lost + missing), why or self._why


def _pieces(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The texts, as many together as make up a piece."""
    piece = b""
    for text in texts:
        if piece and len(piece) + len(text) > _PIECE_BYTES:
            yield piece
            piece = b""
        piece += text
    if piece:
        yield piece


def _write(data: bytes) -> tuple[int, str]:
    """How many bytes were not taken, and why."""
    while data:
        try:
            data = data[os.write(STDOUT, data) :]
        except BlockingIOError:  # whoever shares our standard output made it so
            _select([], [STDOUT], [])
        except OSError as error:
            return len(data), error.strerror or type(error).__name__
    return 0, ""
