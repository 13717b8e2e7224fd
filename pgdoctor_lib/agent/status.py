"""What the daemon tells `daemon status`: a small file beside the PID file, written anew after each cycle."""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pgdoctor_lib.agent.pidfile import open_own
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import printable

_LARGEST_BYTES = 4 * 1024 * 1024


@dataclass
class DatabaseStatus:
    """One database. Times in epoch seconds; `last_error`: the last cycle's, on one line, None where it went well."""

    name: str
    last_delivered: float | None = None
    next_due: float | None = None
    last_error: str | None = None

    def line(self, now: float) -> str:
        """`production: last delivered 12 s ago, next cycle in 48 s`, and in brackets what is wrong."""
        last = "nothing delivered yet"
        if self.last_delivered is not None:
            last = f"last delivered {_span(now - self.last_delivered)} ago"
        coming = "cycle at work"
        if self.next_due is not None and self.next_due > now:
            coming = f"next cycle in {_span(self.next_due - now)}"
        wrong = f" ({self.last_error})" if self.last_error else ""
        return printable(f"{self.name}: {last}, {coming}{wrong}")


@dataclass(frozen=True)
class Status:
    """What is known of the daemon `pid`, which gives its cycles `shutdown_timeout_s` when it is to end.

    `spooled`: snapshots that the endpoint has not taken yet, of all databases.
    """

    pid: int
    shutdown_timeout_s: float = 30.0
    databases: tuple[DatabaseStatus, ...] = ()
    spooled: int = 0

    def lines(self, now: float) -> list[str]:
        """For people; `now` in epoch seconds."""
        databases = [f"  {database.line(now)}" for database in self.databases]
        waiting = [f"  in the spool, to be delivered: {self.spooled}"] if self.spooled else []
        return [f"Daemon is running (PID: {self.pid})", *databases, *waiting]


class StatusFile:
    """The writer. The file is replaced as a whole, so that a reader never sees half of it; not synced."""

    def __init__(self, path: str, shutdown_timeout_s: float = 30.0) -> None:
        self._path = path
        self._shutdown_timeout_s = shutdown_timeout_s

    def write(self, databases: Iterable[DatabaseStatus], spooled: int) -> None:
        """Replace what the file says. A full disk costs the news, never the daemon."""
        status = Status(os.getpid(), self._shutdown_timeout_s, tuple(databases), spooled)
        new = f"{self._path}.{status.pid}"
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(asdict(status), file)
            os.replace(new, self._path)

    def remove(self) -> None:
        """The daemon ends."""
        for path in (self._path, f"{self._path}.{os.getpid()}"):
            with contextlib.suppress(OSError):
                os.unlink(path)


def read(path: str, pid: int) -> Status:
    """What the daemon `pid` last wrote; only the PID where it has written nothing (that can be read)."""
    try:
        fd = open_own(path, os.O_RDONLY)
        with open(fd, encoding="utf-8") as file:
            told = json.loads(file.read(_LARGEST_BYTES))
        databases = tuple(DatabaseStatus(**one) for one in told["databases"])
        status = Status(told["pid"], told["shutdown_timeout_s"], databases, told["spooled"])
    except (OSError, DaemonError, ValueError, KeyError, TypeError):
        return Status(pid)
    return status if status.pid == pid else Status(pid)


def _span(seconds: float) -> str:
    """A length of time for people, in the unit that keeps it short: "12 s", "5 min", "3 h", "2 d"."""
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{max(0, seconds) / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
