"""What the daemon tells `daemon status`: a small file beside the PID file, written anew after each cycle."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from pgdoctor_lib.agent.pidfile import open_own
from pgdoctor_lib.errors import DaemonError
from pgdoctor_lib.secret import printable

_LARGEST_BYTES = 4 * 1024 * 1024
_TIMES = ("since", "last_cycle", "last_delivered", "next_due")
PATIENCE_INTERVALS = 3  # without a delivery for so long, a database counts as overdue


@dataclass(frozen=True)
class DatabaseStatus:
    """One database. Times in seconds by `Clock.elapsed`, which this machine's processes share; None: not yet.

    `since`: watched, by this daemon, since then; `last_cycle`: when the last one ended; `cycle_error`, `upload_error`:
    what the last cycle, and the last delivery, failed with, on one line, None where it went well; `standing_by`:
    another daemon collects it; `alone`: no lease can be had, so that every daemon collects it.
    """

    name: str
    interval_s: float
    since: float
    last_cycle: float | None = None
    last_delivered: float | None = None
    next_due: float | None = None
    cycle_error: str | None = None
    upload_error: str | None = None
    standing_by: bool = False
    alone: bool = False

    def overdue(self, now: float) -> bool:
        """Whether the endpoint has had nothing of it for three intervals, though it should have had."""
        seen = max(self.since, self.last_delivered or 0.0)
        return not self.standing_by and now - seen > PATIENCE_INTERVALS * self.interval_s

    def line(self, now: float) -> str:
        """`production: last delivered 12 s ago, next cycle in 48 s`, and in brackets what is wrong."""
        last = "nothing delivered yet"
        if self.last_delivered is not None:
            last = f"last delivered {_span(now - self.last_delivered)} ago"
        coming = "cycle at work"
        if self.next_due is not None and self.next_due > now:
            coming = f"next cycle in {_span(self.next_due - now)}"
        aside = "; ".join(self._remarks(now))
        return printable(f"{self.name}: {last}, {coming}{f' ({aside})' if aside else ''}")

    def as_json(self, now: float, wall: float) -> dict[str, Any]:
        """The same for programs; times in epoch seconds, `wall` being now."""
        told = asdict(self)
        errors = told.pop("cycle_error"), told.pop("upload_error")
        times = {key: None if told[key] is None else round(wall - (now - told[key]), 1) for key in _TIMES}
        return {**told, **times, "last_error": errors[0] or errors[1], "overdue": self.overdue(now)}

    def _remarks(self, now: float) -> list[str]:
        remarks = []
        if self.standing_by:
            remarks.append("standing by: another daemon collects it")
        if self.alone:
            remarks.append("no lease: every daemon collects it")
        if self.cycle_error and self.last_cycle is not None:
            remarks.append(f"last cycle {_span(now - self.last_cycle)} ago: {self.cycle_error}")
        if self.upload_error:
            remarks.append(self.upload_error)
        if self.overdue(now):
            remarks.append(f"overdue: no delivery for {PATIENCE_INTERVALS} intervals")
        return remarks


@dataclass(frozen=True)
class Status:
    """What is known of the daemon `pid`, which gives its cycles `shutdown_timeout_s` when it is to end.

    `spooled`: snapshots that the endpoint has not taken yet, of all databases; `dropped`: those given up since the
    start. `reloads`: how often the configuration was read anew; `reload_error`: why the last time changed nothing;
    `notify`: a line for each channel that does not take what it is told.
    """

    pid: int
    shutdown_timeout_s: float = 30.0
    databases: tuple[DatabaseStatus, ...] = ()
    spooled: int = 0
    dropped: int = 0
    reloads: int = 0
    reload_error: str | None = None
    notify: tuple[str, ...] = ()

    def overdue(self, now: float) -> bool:
        """Whether any database is."""
        return any(database.overdue(now) for database in self.databases)

    def lines(self, now: float) -> list[str]:
        """For people."""
        databases = [f"  {database.line(now)}" for database in self.databases]
        waiting = [f"  in the spool, to be delivered: {self.spooled}"] if self.spooled else []
        given_up = [f"  given up since the start: {self.dropped}"] if self.dropped else []
        stale = [f"  the last reload changed nothing: {printable(self.reload_error)}"] if self.reload_error else []
        untold = [f"  {printable(line)}" for line in self.notify]
        return [f"Daemon is running (PID: {self.pid})", *databases, *waiting, *given_up, *stale, *untold]

    def as_json(self, now: float, wall: float) -> dict[str, Any]:
        """For programs; times in epoch seconds, `wall` being now."""
        databases = [each.as_json(now, wall) for each in self.databases]
        return {**asdict(self), "databases": databases, "overdue": self.overdue(now)}


class StatusFile:
    """The writer. The file is replaced as a whole, so that a reader never sees half of it; not synced."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, status: Status) -> None:
        """Replace what the file says. A full disk costs the news, never the daemon."""
        new = f"{self._path}.{status.pid}"
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(json.dumps(status, default=vars))  # json.dump would take four times as long
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
        status = replace(Status(**told), databases=databases, notify=tuple(map(str, told.get("notify", ()))))
    except (OSError, DaemonError, ValueError, KeyError, TypeError):
        return Status(pid)
    return status if status.pid == pid else Status(pid)


def _span(seconds: float) -> str:
    """A length of time for people, in the unit that keeps it short: "12 s", "5 min", "3 h", "2 d"."""
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{max(0, seconds) / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
