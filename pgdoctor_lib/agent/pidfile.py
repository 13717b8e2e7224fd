"""The PID file: a daemon runs for as long as the lock on it is held, whatever number is in it.

The lock is POSIX's record lock, because the kernel tells who holds one without taking it: the PID that
is shown and signalled comes from there, so a number that a dead daemon left behind means nothing. Its
one trap: a process loses the lock when it closes any descriptor of the file; the holder never looks.

The file may lie in a folder that others can write to. So it is never opened through a symlink, and is
refused when it is no plain file, has a second name, or belongs to another user. It is removed under the
lock, and whoever gets the lock makes sure that the path still leads to the file that is locked.
"""

import contextlib
import errno
import fcntl
import os
import signal
import stat
import struct
import sys
import time
from collections.abc import Iterator

from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import one_line

_POLL_S = 0.05
_TRIES = 20  # whoever had it may have ended between two looks


class AlreadyRunning(DaemonError):
    """Another process holds the lock."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"Daemon is already running (PID: {pid})")
        self.pid = pid


class PidFile:
    """The lock, held by this process from `acquire` until it ends."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: str) -> "PidFile":
        """Lock the file, made if need be, and write this process's PID into it.

        AlreadyRunning where another process has it, DaemonError where the file cannot be used.
        """
        make_folder(path)
        for _ in range(_TRIES):
            fd = open_own(path, os.O_RDWR | os.O_CREAT)
            try:
                if _lock(path, fd):
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
                    return cls(path, fd)
            except OSError as error:  # a network file system without locks, or a full disk
                os.close(fd)
                raise _unusable(path, error.strerror) from None
            except DaemonError:
                os.close(fd)
                raise
            os.close(fd)
            time.sleep(_POLL_S)
        raise _unusable(path, "nobody is known to hold it")

    def withdraw(self) -> None:
        """Remove the file, as the last thing: the lock itself ends with the process, so that whoever
        waits for the lock finds the process gone."""
        if _leads_to(self.path, self._fd):
            os.unlink(self.path)


class Holder:
    """The process that holds the lock of a PID file."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid = pid
        self._fd = fd

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing where it has ended meanwhile.

        It is pinned first, then the lock is looked at again: a number that the kernel gave to another
        process in between is never signalled. macOS cannot pin; there some microseconds remain.
        """
        with contextlib.suppress(ProcessLookupError), _pinned(self.pid) as pin:
            if _locked_by(self._fd) != self.pid:
                return
            if pin is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(pin, number)

    def wait(self, timeout_s: float) -> bool:
        """Whether the process let the lock go, which its end does, within `timeout_s`."""
        until = time.monotonic() + timeout_s
        while _locked_by(self._fd) == self.pid:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True


@contextlib.contextmanager
def holder(path: str) -> Iterator[Holder | None]:
    """Who runs with this PID file: None where nobody holds its lock. DaemonError: no file of this user's."""
    try:
        fd = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        pid = _locked_by(fd)
        yield Holder(pid, fd) if pid else None
    finally:
        os.close(fd)


def open_own(path: str, flags: int) -> int:
    """Open (or make, 0600) a plain file of this user's; DaemonError where it is anything else.

    FileNotFoundError comes through, for those to whom it is an answer.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be opened: {error.strerror}"
        raise DaemonError(f"{one_line(path)} {reason}") from None
    why = unfit(os.fstat(fd))
    if why:
        os.close(fd)
        raise DaemonError(f"{one_line(path)} {why}")
    return fd


def make_folder(path: str) -> None:
    """Make the folder that `path` lies in, and those above it, 0700, where they are missing."""
    folder = os.path.dirname(path)
    mask = os.umask(0o077)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise DaemonError(f"the folder {one_line(folder)} cannot be made: {error.strerror}") from None
    finally:
        os.umask(mask)


def unfit(found: os.stat_result) -> str:
    """Why a file is none that this user should write to; "" where it is one."""
    if not stat.S_ISREG(found.st_mode):
        return "is not a plain file"
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "has a second name (a hard link)" if found.st_nlink > 1 else ""


def _lock(path: str, fd: int) -> bool:
    """True: locked. False: try anew with what the path leads to now. AlreadyRunning: somebody has it."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        pid = _locked_by(fd)
        if pid and _leads_to(path, fd):
            raise AlreadyRunning(pid) from None
        return False
    return _leads_to(path, fd)


def _unusable(path: str, why: str | None) -> DaemonError:
    return DaemonError(f"{one_line(path)} cannot be locked: {why}", hint="--pid-file sets another place")


def _locked_by(fd: int) -> int | None:
    """The PID of the process that holds the lock, as the kernel knows it."""
    try:
        kind, pid = _asked(fd)
    except OSError as error:
        raise DaemonError(f"who holds the PID file is not told: {error.strerror}") from None
    if kind == fcntl.F_UNLCK:
        return None
    if pid < 1:
        raise DaemonError("the PID file is locked by a process out of sight", hint="look in other containers")
    return pid


def _asked(fd: int) -> tuple[int, int]:
    """Which lock there is, and whose. Source: fcntl(2), F_GETLK."""
    if sys.platform == "darwin":
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("qqihh", 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET))
        _, _, pid, kind, _ = struct.unpack("qqihh", answer)
    else:
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        kind, _, _, _, pid = struct.unpack("hhqqi", answer)
    return int(kind), int(pid)


def _leads_to(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _pinned(pid: int) -> Iterator[int | None]:
    """A descriptor of the process, which its number's next owner does not inherit; None where there is none."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    try:
        pin = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:  # an old kernel, or a sandbox that forbids it
        yield None
        return
    try:
        yield pin
    finally:
        os.close(pin)
