"""The texts of a bundle: what is in it, versions, the spool's listing; and how a text is made fit to be sent."""

import os
import platform
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata

from pgdoctor_lib import __version__
from pgdoctor_lib.secret import printable, redact
from pgdoctor_lib.units import format_bytes, format_span

_DEPENDENCIES = ("gevent", "greenlet", "psycogreen", "psycopg2-binary", "requests", "urllib3", "PyYAML", "argh")
_OURS = ("PG", "PGDOCTOR_", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "LANG", "LC_", "TZ")
_MOST_FILES = 5000
ABOUT = """\
This is a bundle of PGDoctor's, made for somebody who helps. Look at it before you send it.

What is in it:
  version.txt       PGDoctor, Python, what it needs, the platform; names of variables, without their values
  config.txt        the configuration in force, as "pgdoctor config show" prints it
  config-test.txt   what "pgdoctor config test" says
  status.txt        what "pgdoctor daemon status" says
  log.txt           the last 1,000 lines of the daemon's log (where systemd keeps it: journalctl -u pgdoctor -n 1000)
  spool.txt         names, sizes and ages of the files in the spool
  databases.txt     which databases' snapshots are in it, and why others are not
  databases/…/      of each the last snapshot, and what is wrong by it: findings, and checks that could not tell

What was masked: passwords and tokens, wherever they stood, are ***. Statements have *** in place of values, as far as
the option query_text says so ("masked", unless it was set otherwise).

What was not: names of hosts, databases, roles, schemas, tables, columns, indexes and programs, addresses of clients,
settings of the server, and statements without their values.
"""


def clean(text: str) -> str:
    """Line by line without secrets, and without what a terminal takes for a command."""
    return "".join(f"{printable(redact(line))}\n" for line in text.split("\n")).rstrip("\n") + "\n"


def versions(environ: Mapping[str, str]) -> str:
    """What runs here."""
    names = sorted(name for name in environ if name.startswith(_OURS) or name.upper().startswith(_OURS))
    return "\n".join(
        [
            f"pgdoctor {__version__}",
            f"Python {sys.version}",
            f"{platform.platform()}",
            *(f"{name} {_version(name)}" for name in _DEPENDENCIES),
            f"variables that are set: {', '.join(names) or 'none'}",
        ]
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def spooled(path: str, now: float) -> str:
    """The files below the spool's folder; not what is in them."""
    if not os.path.isdir(path):
        return f"{path}: there is no spool yet"
    found = list(_files(path))
    lines = [
        f"{size:>12} {format_bytes(size):>10}  {format_span(now - at):>12} old  {name}" for name, size, at in found
    ]
    head = f"{path}: {len(found)} files, {format_bytes(sum(size for _, size, _ in found))}"
    more = [f"and {len(found) - _MOST_FILES} more"] if len(found) > _MOST_FILES else []
    return "\n".join([head, *lines[:_MOST_FILES], *more])


def _files(path: str) -> Iterator[tuple[str, int, float]]:
    for folder, below, names in os.walk(path):
        below.sort()
        for name in sorted(names):
            try:
                status = os.lstat(os.path.join(folder, name))
            except OSError:
                continue  # delivered meanwhile
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            yield os.path.relpath(os.path.join(folder, name), path), size, status.st_mtime
