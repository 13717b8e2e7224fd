"""The log put aside by size: `x.log` becomes `x.log.1`, `.1` becomes `.2` and so on, the oldest goes.

Only plain files of this user's are renamed or removed, and nothing at all where there is another kind among
them. A rename follows no symbolic link.
"""

import contextlib
import os
from collections.abc import Iterator

from pgdoctor_lib.agent.pidfile import open_own, unfit
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import one_line

MOST_KEPT = 100


def rotate(path: str, keep: int) -> int:
    """Put the file at `path` aside, keep `keep` such files; a descriptor that appends to the new one.

    DaemonError or OSError where that is not possible; the file is then where it was, but perhaps under the name `.1`.
    """
    numbers = list(_numbers(path))
    for number in numbers:
        _refuse_foreign(f"{path}.{number}")
    # The new file comes first: on a full disk, or in a folder that nothing may be written to, no name changes.
    fd = open_own(f"{path}.new", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
    try:
        for number in reversed(numbers):
            _move_on(path, number, keep)
        os.rename(path, f"{path}.1")
        os.rename(f"{path}.new", path)
    except OSError:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(f"{path}.new")
        raise
    return fd


def newer(path: str, file: os.stat_result) -> str:
    """The name of what was begun when `file` was put aside: `x.log.2` for what is `x.log.3` now."""
    number = next((each for each in range(2, MOST_KEPT + 1) if is_at(f"{path}.{each}", file)), 1)
    name = f"{path}.{number - 1}"
    # Others number upwards: there the smaller number was written to before.
    return name if number > 1 and _last_written(name) >= file.st_mtime_ns else path


def is_at(path: str, file: os.stat_result) -> bool:
    """Whether `path` leads to this very file."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), file)
    except OSError:
        return False


def _last_written(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def _numbers(path: str) -> Iterator[int]:
    """1, 2, … up to the first number that is free: the others stay where they are."""
    number = 1
    while os.path.lexists(f"{path}.{number}"):
        yield number
        number += 1


def _move_on(path: str, number: int, keep: int) -> None:
    if number < keep:
        os.rename(f"{path}.{number}", f"{path}.{number + 1}")
    else:
        os.unlink(f"{path}.{number}")


def _refuse_foreign(path: str) -> None:
    why = unfit(os.stat(path, follow_symlinks=False))
    if why:
        raise DaemonError(f"{one_line(path)} {why}")
