"""Passwords that change: read from a file, or printed by a command, when a connection needs one.

What a command prints is good for a few seconds, so that a hundred databases do not start it a hundred times; it runs
once at a time. Neither its output nor what it says on standard error is ever shown.
"""

import os
import select
import stat
import subprocess
import threading
import time
from dataclasses import replace

from pgdoctor_lib import programs
from pgdoctor_lib.config.dsn import Command, Dsn, PasswordSource
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.secret import Generations, Secret, one_line

COMMAND_S = 5.0
GOOD_FOR_S = 5.0  # what a command printed, or that it failed
MOST_OUTPUT_BYTES = 64 * 1024
_MOST_FILE_BYTES = 16384


class _Teller:
    """One source of passwords."""

    def __init__(self, source: PasswordSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._answer: Secret | DatabaseError | None = None
        self._asked_at = 0.0
        self._generations = Generations()

    def tell(self, since: float) -> Secret:
        """The password, asked for at `since` (monotonic) or later. DatabaseError says why there is none."""
        with self._lock:
            if self._answer is None or not self._source.command or self._asked_at < since:
                now = time.monotonic()
                try:
                    [self._answer] = self._generations.take(_ask(self._source))
                except DatabaseError as error:
                    self._answer = error
                self._asked_at = now
            if isinstance(self._answer, DatabaseError):
                raise DatabaseError(self._answer.message)
            return self._answer


_tellers: dict[PasswordSource, _Teller] = {}


def with_password(dsn: Dsn, since: float | None = None) -> Dsn:
    """`dsn` with the password that is in force now, where it has a source of passwords; else as it is.

    `since` (monotonic): nothing that was asked for before then will do. DatabaseError says why there is no password.
    """
    if dsn.password_from is None:
        return dsn
    oldest = time.monotonic() - GOOD_FOR_S if since is None else since
    teller = _tellers.setdefault(dsn.password_from, _Teller(dsn.password_from))
    return replace(dsn, secrets={**dsn.secrets, "password": teller.tell(oldest)})


def _ask(source: PasswordSource) -> str:
    if source.command:
        what = f"password_command {source.command.display}"
        data = _output(source.command, what)
    else:
        what = f"password_file {one_line(source.file, 200)}"
        data = _content(source.file, what)
    text = data.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        raise DatabaseError(f"{what}: empty" if source.file else f"{what}: printed nothing")
    if any(byte in text for byte in b"\0\n\r"):
        raise DatabaseError(f"{what}: more than one line" if b"\n" in text else f"{what}: no password, but binary data")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise DatabaseError(f"{what}: not UTF-8") from None


def _content(path: str, what: str) -> bytes:
    """A small plain file; links are followed, as secrets that are mounted are links. A pipe is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_FILE_BYTES:
                raise DatabaseError(f"{what}: not a small plain file")
            return opened.read(_MOST_FILE_BYTES)
    except OSError as error:
        raise DatabaseError(f"{what}: {os.strerror(error.errno or 0)}") from None


def _output(command: Command, what: str) -> bytes:
    """What it printed, once it has ended well. It has nothing of ours: no standard input, no descriptor, no folder."""
    try:
        process = programs.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except programs.CannotRun as why:
        raise DatabaseError(f"{what}: {why}") from None
    until = time.monotonic() + COMMAND_S
    assert process.stdout
    with process.stdout:
        try:
            data = _read(process.stdout.fileno(), until, what)
            code = process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            programs.end(process)
            raise _late(what) from None
        except BaseException:
            programs.end(process)
            raise
    if code:
        raise DatabaseError(f"{what}: {programs.how_it_ended(code)}")
    return data


def _read(descriptor: int, until: float, what: str) -> bytes:
    """All that comes until the pipe is closed. It is waited for as the sockets are: greenlets take turns."""
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    data = b""
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0 or not ready.poll(left_s * 1000):
            raise _late(what)
        piece = os.read(descriptor, MOST_OUTPUT_BYTES)
        if not piece:
            return data
        data += piece
        if len(data) > MOST_OUTPUT_BYTES:
            raise DatabaseError(f"{what}: printed more than {MOST_OUTPUT_BYTES // 1024} KiB")


def _late(what: str) -> DatabaseError:
    return DatabaseError(f"{what}: no password within {COMMAND_S:g} s")
