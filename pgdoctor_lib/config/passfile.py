"""The passwords that libpq reads for itself, from ~/.pgpass: known here only so that no line shows one.

A server that asks for the password in clear has it, and may send it back in an error's text.
"""

import os
import re
import stat
from collections.abc import Iterator

from pgdoctor_lib.secret import Generations

_MAX_BYTES = 1024 * 1024
_LINE = re.compile(r"(?:(?:[^:\\]|\\.)*:){4}(.*)")
_seen: dict[str, tuple[int, ...]] = {}
_generations: dict[str, Generations] = {}


def remember_passwords(passfile: str) -> None:
    """Have the redactor know the passwords in `passfile` ("": in libpq's default one), anew when it changes."""
    path = passfile or os.environ.get("PGPASSFILE") or os.path.expanduser("~/.pgpass")
    try:
        now = version_of(os.stat(path))
        if _seen.get(path) != now:
            _generations.setdefault(path, Generations()).take(*_passwords(_text(path)))
            _seen[path] = now
    except OSError:
        return  # libpq says so itself, or does without


def _passwords(text: str) -> Iterator[str]:
    """As they stand there, and as they are meant."""
    for line in text.splitlines():
        if not line.startswith("#") and (match := _LINE.fullmatch(line)):
            yield from (match[1], re.sub(r"\\(.)", r"\1", match[1]))


def _text(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return opened.read(_MAX_BYTES).decode("utf-8", "surrogateescape")


def version_of(status: os.stat_result) -> tuple[int, ...]:
    """Which file it is, in which version: equal as long as it does not change."""
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
