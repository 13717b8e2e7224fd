"""A file that a command writes for people to send on: whole or not at all, 0600, and never over another by accident."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO

from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.secret import one_line


@contextlib.contextmanager
def written(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """Open for writing what is at `path` when all went well. UsageError where a file is there, unless `force`."""
    check(path, force=force)
    aside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)[:100]}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(aside, flags, 0o600)
    except OSError as error:
        raise UsageError(f"{one_line(path)}: cannot be written: {error.strerror}") from None
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        _put_in_place(aside, path, force=force)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def check(path: str, *, force: bool) -> None:
    """UsageError where a file is there already, unless `force`: told before the work, not after."""
    if not force and os.path.lexists(path):
        raise _exists(path)


def _put_in_place(aside: str, path: str, *, force: bool) -> None:
    if not force:
        try:
            os.link(aside, path)
        except FileExistsError:
            raise _exists(path) from None
        except OSError:  # a file system without links
            check(path, force=force)
        else:
            return
    os.replace(aside, path)


def _exists(path: str) -> UsageError:
    return UsageError(f"{one_line(path)}: exists already", hint="name another file with -o, or say --force")


def name_for(what: str, whose: str, ending: str) -> str:
    """What a file in this folder is called: "pgdoctor-report-production-2026-01-31.html", whatever `whose` holds."""
    import re
    import time

    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", whose)[:60].strip("-.") or "databases"
    return f"pgdoctor-{what}-{safe}-{time.strftime('%Y-%m-%d')}{ending}"
