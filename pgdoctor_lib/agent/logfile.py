"""The log of a daemon without a terminal: opened for appending, put aside by size, opened anew, followed.

At `log.max_size` the writer's thread puts the file aside. A rotation from outside renames the file and sends SIGUSR1;
the daemon then opens the name anew. Either way the new file takes the place of standard output and error, and
whoever follows drains the old one first.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

from gevent import monkey

from pgdoctor_lib.agent import rotation
from pgdoctor_lib.agent.pidfile import make_folder, open_own
from pgdoctor_lib.config import Log
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import one_line

_BLOCK_BYTES = 65536
_POLL_S = 0.2
_RETRY_S = 60.0


class _Place:
    """The log that is standard output and error, once there is one.

    The lock is a real one: the writer's thread may wait for it. The hub never does.
    """

    def __init__(self) -> None:
        self.path: str | None = None
        self.rules = Log()
        self.lock = monkey.get_original("_thread", "allocate_lock")()
        self.reopening_asked = False
        self.failed = False
        self.next_try = 0.0


_place = _Place()


def open_log(path: str) -> int:
    """A descriptor that appends to the log, made 0600 in a 0700 folder; DaemonError where it cannot be."""
    make_folder(path)
    try:
        return open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except FileNotFoundError as error:
        raise DaemonError(f"the log {one_line(path)} cannot be opened: {error.strerror}") from None


def put_in_place(path: str, log: Log) -> None:
    """Make the log this process's standard output and error, and remember it for `reopen` and `tend`."""
    _occupy(open_log(path))
    _place.path, _place.rules = path, log


def configure(log: Log) -> None:
    """From now on these sizes hold, for the log that is in place."""
    _place.rules, _place.next_try = log, 0.0


def reopen() -> None:
    """After a rotation: put the file that the log's name leads to now in place; nothing where there is none.

    Where it cannot be opened, the old one stays in place and says so. Never raises, never waits: a signal's handler.
    """
    _place.reopening_asked = _place.path is not None
    _reopen_if_asked()


def tend() -> None:
    """Before something is written: put a full log aside, and begin a new one where it was removed.

    Where that fails, the old file stays in place, says so once, and it is tried again a minute later. For the
    writer's thread: it may take as long as the disk does.
    """
    if _place.path is None or time.monotonic() < _place.next_try or not _is_due(os.fstat(1)):
        return
    with _place.lock:
        why = _replace(_fresh)
        if why and not _place.failed:
            _say(f"the log cannot be put aside, it goes on in the old file: {why}")
        _place.failed = bool(why)
        _place.next_try = time.monotonic() + _RETRY_S if why else 0.0
    _reopen_if_asked()  # a signal that came meanwhile


def _is_due(found: os.stat_result) -> bool:
    full = _place.rules.keep > 0 and found.st_size >= _place.rules.max_bytes
    return full or found.st_nlink == 0


def _fresh(path: str) -> int:
    with contextlib.suppress(FileNotFoundError):
        if rotation.is_at(path, os.fstat(1)):
            return rotation.rotate(path, _place.rules.keep)
    return open_log(path)  # somebody else renamed or removed it


def _reopen_if_asked() -> None:
    while _place.reopening_asked and _place.lock.acquire(False):  # whoever has the lock looks again afterwards
        try:
            _place.reopening_asked = False
            why = _replace(open_log)
            if why:
                _say(f"the log stays where it was: {why}")
        finally:
            _place.lock.release()


def _replace(make: Callable[[str], int]) -> str:
    """Put what `make` opens in place; "", or why it cannot be opened."""
    assert _place.path is not None
    try:
        _occupy(make(_place.path))
    except DaemonError as error:
        return str(error)
    except OSError as error:
        return one_line(f"{error.filename or _place.path}: {error.strerror}")
    return ""


def _occupy(fd: int) -> None:
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"pgdoctor: {line}\n".encode("utf-8", "backslashreplace"))


def last_line(path: str, since: int = 0) -> str:
    """The last line with something on it that was written after the offset `since`, or ""."""
    with contextlib.suppress(OSError, DaemonError), _reading(path) as fd:
        size = os.fstat(fd).st_size
        tail = os.pread(fd, _BLOCK_BYTES, max(since, size - _BLOCK_BYTES)).decode("utf-8", "replace")
        return next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")
    return ""


def read(path: str, lines: int, follow: bool) -> Iterator[bytes]:
    """The last `lines` lines, in pieces; with `follow` then whatever comes, across rotation, without end.

    DaemonError where there is no log.
    """
    with _reading(path) as fd:
        os.lseek(fd, _start_of_tail(fd, lines), os.SEEK_SET)
        yield from _rest(fd)
        while follow:
            time.sleep(_POLL_S)
            yield from _news(path, fd)


def _news(path: str, fd: int) -> Iterator[bytes]:
    """What was appended; after rotations, the rest of the old file, then those begun since (put at `fd`)."""
    if os.fstat(fd).st_size < os.lseek(fd, 0, os.SEEK_CUR):
        os.lseek(fd, 0, os.SEEK_SET)  # truncated
    yield from _rest(fd)
    while (new := _successor(path, os.fstat(fd))) is not None:
        try:
            yield from _rest(fd)  # the writer has moved on by now: this is its last
            os.dup2(new, fd, inheritable=False)
        finally:
            os.close(new)
        yield from _rest(fd)


def _successor(path: str, here: os.stat_result) -> int | None:
    """A descriptor of the file that was begun after this one; None while there is none, or a rotation is at work."""
    if rotation.is_at(path, here):
        return None
    name = rotation.newer(path, here)
    try:
        fd = open_own(name, os.O_RDONLY)
    except (OSError, DaemonError):
        return None
    # An empty log: the writer may still be at the old one. Another number meanwhile: this is not the next one.
    if (name == path and not os.fstat(fd).st_size) or rotation.newer(path, here) != name:
        os.close(fd)
        return None
    return fd


def _rest(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _BLOCK_BYTES):
        yield piece


def _start_of_tail(fd: int, lines: int) -> int:
    """The offset at which the last `lines` lines begin."""
    position = os.fstat(fd).st_size
    breaks = 0
    ended = position and os.pread(fd, 1, position - 1) == b"\n"
    wanted = lines + (1 if ended else 0)
    if lines == 0:
        return position
    while position:
        start = max(0, position - _BLOCK_BYTES)
        block = os.pread(fd, position - start, start)
        if breaks + block.count(b"\n") >= wanted:
            return start + _after_break(block, wanted - breaks)
        breaks += block.count(b"\n")
        position = start
    return 0


def _after_break(block: bytes, number: int) -> int:
    """The offset just after the `number`th line break, counted from the block's end."""
    at = len(block)
    for _ in range(number):
        at = block.rindex(b"\n", 0, at)
    return at + 1


@contextlib.contextmanager
def _reading(path: str) -> Iterator[int]:
    try:
        fd = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        raise DaemonError(f"there is no log {one_line(path)} yet", hint='"daemon start" makes it') from None
    try:
        yield fd
    finally:
        os.close(fd)
