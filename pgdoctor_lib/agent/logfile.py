"""The log of a daemon without a terminal: opened for appending, opened anew after rotation, followed.

A rotation renames the file and sends SIGUSR1; the daemon then opens the name anew and puts the new file
in the place of its standard output and error. Whoever follows drains the renamed file first.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator

from pgdoctor_lib.agent.pidfile import make_folder, open_own
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import one_line

_BLOCK_BYTES = 65536
_POLL_S = 0.2
_in_place: list[str] = []  # the path of the log that is standard output, once there is one


def open_log(path: str) -> int:
    """A descriptor that appends to the log, made 0600 in a 0700 folder; DaemonError where it cannot be."""
    make_folder(path)
    try:
        return open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except FileNotFoundError as error:
        raise DaemonError(f"the log {one_line(path)} cannot be opened: {error.strerror}") from None


def put_in_place(path: str) -> None:
    """Make the log this process's standard output and error, and remember it for `reopen`."""
    fd = open_log(path)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    _in_place[:] = [path]


def reopen() -> None:
    """After a rotation: put the file that the log's name leads to now in place; nothing where there is none.

    Where it cannot be opened, the old one stays in place and says so. Never raises: a signal's handler.
    """
    for path in _in_place[:]:
        try:
            put_in_place(path)
        except DaemonError as error:
            line = f"pgdoctor: the log stays where it was: {error}\n"
            with contextlib.suppress(OSError):
                os.write(2, line.encode("utf-8", "backslashreplace"))


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
    """What was appended; after a rotation, the rest of the old file, then the new one (put at `fd`)."""
    here = os.fstat(fd)
    if here.st_size < os.lseek(fd, 0, os.SEEK_CUR):
        os.lseek(fd, 0, os.SEEK_SET)  # truncated
    yield from _rest(fd)
    with contextlib.suppress(OSError):
        there = os.stat(path, follow_symlinks=False)
        if os.path.samestat(here, there) or not stat.S_ISREG(there.st_mode) or not there.st_size:
            return  # while the new file is empty the writer may still be at the old one
        with _reading(path) as new:
            yield from _rest(fd)  # the writer has moved on by now: this is its last
            os.dup2(new, fd, inheritable=False)
        yield from _rest(fd)


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
