"""A folder of files that only this user can have written, held open.

Nothing here is shared but the descriptor, so any thread may call it. Names are looked up from the
descriptor, never through a symbolic link. Raises OSError.
"""

import contextlib
import errno
import fcntl
import os
import stat
import weakref
from collections.abc import Iterator

_READ_BYTES = 1024**2


class Folder:
    """One folder. `parent`: the folder in which `path` is looked up."""

    def __init__(self, path: str, parent: "Folder | None" = None) -> None:
        above: int | None = parent._descriptor if parent else None
        if parent is None:
            _make_parents(path)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700, dir_fd=above)
        self._descriptor: int = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        # Also when nobody holds it any more: a thread may still be at work in a folder given up.
        self._closer = weakref.finalize(self, os.close, self._descriptor)
        try:
            _check_private(os.fstat(self._descriptor))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder, and of its lock."""
        self._closer()

    def lock(self) -> bool:
        """Whether no other process holds it; from now on we do, to the end of the process."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP):
                raise  # a network file system without locks on folders is no reason not to spool
        return True

    def write(self, name: str, data: bytes) -> None:
        """Put a file there whole, or not at all; when this returns, it has reached the disk."""
        aside = f".{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(aside, flags, 0o600, dir_fd=self._descriptor)
        try:
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(aside, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except OSError:
            self.remove(aside)
            raise
        os.fsync(self._descriptor)

    def read(self, name: str, limit: int) -> bytes:
        """A file's bytes. ValueError for what is no regular file of ours, or above `limit` bytes."""
        # Not to wait for a writer, should it be a pipe.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._descriptor)
        try:
            if not _ours(os.fstat(descriptor)):
                raise ValueError("not a file of ours")
            data = bytearray()
            while piece := os.read(descriptor, _READ_BYTES):
                data += piece
                if len(data) > limit:
                    raise ValueError("too large")
            return bytes(data)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> bool:
        """Whether the file could be removed; one that is not there counts as removed."""
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def move(self, name: str, to: "Folder", new_name: str | None = None) -> None:
        """Move a file, a link or whatever the name stands for, without opening it, over one that is there."""
        os.rename(name, new_name or name, src_dir_fd=self._descriptor, dst_dir_fd=to._descriptor)

    def times(self) -> Iterator[tuple[str, float]]:
        """Name and time of the last change (epoch seconds) of everything in the folder, unordered."""
        with os.scandir(self._descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.name, entry.stat(follow_symlinks=False).st_mtime

    def files(self) -> Iterator[tuple[str, int, bool]]:
        """Name, size, and whether it is a regular file of ours: everything in the folder, unordered."""
        with os.scandir(self._descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, status.st_size, _ours(status)


@contextlib.contextmanager
def opened(path: str, *names: str) -> Iterator[Folder]:
    """The folder `path`, or the one within it that these names lead to; what is missing is made."""
    with contextlib.ExitStack() as stack:
        folder = Folder(path)
        stack.callback(folder.close)
        for name in names:
            folder = Folder(name, folder)
            stack.callback(folder.close)
        yield folder


def _make_parents(path: str) -> None:
    missing: list[str] = []
    above = os.path.dirname(os.path.abspath(path))
    while not os.path.isdir(above) and above != os.path.dirname(above):
        missing.append(above)
        above = os.path.dirname(above)
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)


def _check_private(status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "other users can write to it")


def _ours(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]  # a full disk takes a part first
