"""Greenlets and signals: a greenlet a database, and an end that is always reached."""

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from greenlet import greenlet

from pgdoctor_lib import startup
from pgdoctor_lib.agent import cycle, logfile
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import CycleLine, LogFormat, Output
from pgdoctor_lib.agent.schedule import next_due
from pgdoctor_lib.agent.status import DatabaseStatus, StatusFile
from pgdoctor_lib.clock import SYSTEM, Clock
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded, PGDoctorError
from pgdoctor_lib.snapshot import CollectorError

CYCLES_PER_SERVER = 4  # sessions that PGDoctor opens at once on one server
if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]
_CANCEL_S = 3.0  # what a killed cycle gets to have the server cancel its statement


def run(config: Config, *, log_format: LogFormat, ready: Callable[[], None], status_path: str | None) -> int:
    """Run until a signal comes; the exit status. `ready` is called once everything is up."""
    return Supervisor(config, log_format, status_path, SYSTEM).run(ready)


class Supervisor:
    """The databases' greenlets, the one that drains the spool, and the signals that end them."""

    def __init__(self, config: Config, log_format: LogFormat, status_path: str | None, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._stop, self._stop_now, self._news = Event(), Event(), Event()
        self._output = Output(config, log_format, clock.wall)
        assert config.endpoint is not None
        self._outbox = Outbox(config.endpoint, config.spool, clock, self._output.note, self._news.set)
        self._numbers = itertools.count(1)
        self._servers = {target.dsn.hosts: BoundedSemaphore(CYCLES_PER_SERVER) for target in config.databases}
        self._status = {target.name: DatabaseStatus(target.name, None, clock.wall()) for target in config.databases}
        self._status_file = StatusFile(status_path, config.shutdown_timeout_s) if status_path else None
        self._told: dict[str, tuple[str, ...]] = {}
        self._at_work: set[greenlet] = set()
        self._broken = False

    def run(self, ready: Callable[[], None]) -> int:
        """Start everything, wait for a signal, end everything."""
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, self._on_signal)
        gevent.signal_handler(signal.SIGUSR1, logfile.reopen)
        gevent.get_hub().exception_stream = None  # gevent would print a greenlet's traceback, secrets and all
        startup.take_signals()
        self._output.started(self._config)
        self._outbox.announce()
        for warning in self._config.warnings:
            self._output.note(warning, level="warning")
        loops = [gevent.spawn(self._watch, target) for target in self._config.databases]
        drainer = gevent.spawn(self._outbox.drain_forever)
        reporter = gevent.spawn(self._report_status)
        everything: list[Greenlet] = [*loops, drainer, reporter]
        for spawned in everything:
            spawned.link_exception(self._on_death)
        ready()
        self._stop.wait()
        self._end(loops, [drainer, reporter])
        return 1 if self._broken else 0

    def _on_signal(self) -> None:
        # Two signals that arrive while C code holds the thread come as one: nothing here counts them.
        (self._stop_now if self._stop.is_set() else self._stop).set()

    def _on_death(self, died: "Greenlet") -> None:
        """A greenlet that dies is a bug: it ends the daemon with status 1 rather than stop watching silently."""
        assert died.exception is not None
        self._output.died(died.exception)
        self._broken = True
        self._stop.set()

    def _end(self, loops: "list[Greenlet]", others: "list[Greenlet]") -> None:
        """No new cycle; those at work get `shutdown_timeout`, then they are cancelled."""
        self._output.stopping(broken=self._broken)
        gevent.killall([loop for loop in loops if loop not in self._at_work] + others, block=False)
        joined = gevent.spawn(gevent.joinall, loops, timeout=self._config.shutdown_timeout_s)
        waited_for: list[Any] = [joined, self._stop_now]
        gevent.wait(waited_for, count=1)
        joined.kill(block=False)
        left = [*loops, *others]
        gevent.killall(left, block=False)
        gevent.joinall(left, timeout=_CANCEL_S)  # killall's own timeout would raise
        self._outbox.close()
        if self._status_file:
            self._status_file.remove()
        self._output.stopped(broken=self._broken)

    def _watch(self, target: Target) -> None:
        """One database, on its own interval, until the daemon ends."""
        start = self._clock.monotonic()
        while not self._stop.is_set():
            try:
                self._cycle(target)
            finally:
                self._at_work.discard(gevent.getcurrent())
            now = self._clock.monotonic()
            wait_s = next_due(start, target.interval_s, now) - now
            self._tell_status(target, next_due=self._clock.wall() + wait_s)
            if not self._stop.is_set():
                gevent.sleep(wait_s)

    def _cycle(self, target: Target) -> None:
        """A cycle, and what became of it as a line. This is the border: nothing it raises ends the greenlet."""
        line = CycleLine(self._output, self._numbers, target, self._clock.wall)
        try:
            receipt = cycle.run(
                target, self._admitted(target), self._config.cycle_timeout_s, self._clock, self._outbox, line
            )
        except (DatabaseError, DeadlineExceeded) as error:
            self._tell_status(target, last_error=line.failed("collection failed", str(error)))
        except PGDoctorError as error:
            self._tell_status(target, last_error=line.failed("upload failed", str(error)))
        except gevent.GreenletExit:
            line.failed("cycle cancelled", "the daemon is stopping")
            raise
        except Exception as error:  # noqa: BLE001 (a border: a bug costs this cycle, not the daemon)
            self._tell_status(target, last_error=line.broken(error))
        else:
            line.delivered(receipt.id)
            self._tell_status(target, last_error=None, last_delivered=self._clock.wall())
        if line.errors is not None:
            self._tell_errors(target, line.errors)

    @contextmanager
    def _admitted(self, target: Target) -> Iterator[None]:
        """A place at the target's server. Whoever still waits for one when the daemon ends has not begun."""
        with self._servers[target.dsn.hosts]:
            self._at_work.add(gevent.getcurrent())
            yield

    def _tell_errors(self, target: Target, failed: tuple[CollectorError, ...]) -> None:
        """What some collector could not read is said once, and again when it changes."""
        errors = tuple(each.line for each in failed)
        for text in errors:
            if text not in self._told.get(target.name, ()):
                self._output.note(text, target, level="warning")
        self._told[target.name] = errors

    def _tell_status(self, target: Target, **news: Any) -> None:
        """What `daemon status` shows of this database from now on."""
        self._status[target.name] = replace(self._status[target.name], **news)
        self._news.set()

    def _report_status(self) -> None:
        """Write the status file when there is news, once a second at most: with many databases it is large."""
        while self._status_file:
            self._status_file.write(self._status.values(), self._outbox.waiting)
            self._news.wait()
            self._news.clear()
            gevent.sleep(1)
