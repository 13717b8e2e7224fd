"""Greenlets and signals: a greenlet a database, a configuration that may change, and an end that is always reached."""

import os
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from pgdoctor_lib import startup
from pgdoctor_lib.agent import logfile, notify
from pgdoctor_lib.agent.discovery import Discovery
from pgdoctor_lib.agent.leaders import Leaders
from pgdoctor_lib.agent.notifier import Notifier
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import LogFormat, Output
from pgdoctor_lib.agent.reload import changes
from pgdoctor_lib.agent.status import Status, StatusFile
from pgdoctor_lib.agent.threads import Threads
from pgdoctor_lib.agent.watch import Shared, Watch
from pgdoctor_lib.agent.watchdog import Watchdog
from pgdoctor_lib.clock import SYSTEM, Clock
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.config.dsn import Host
from pgdoctor_lib.errors import PGDoctorError

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]
_APART_S = 0.05  # databases begin one after the other, and so go on: not all in the same moment of each interval
_BEGUN_S = 10.0  # all have begun within this, or within an interval that is longer
_CANCEL_S = 3.0  # what a killed cycle gets to have the server cancel its statement


def run(
    config: Config,
    *,
    log_format: LogFormat,
    ready: Callable[[], None],
    status_path: str | None,
    load: Callable[[], Config],
) -> int:
    """Run until a signal comes; the exit status. `ready` is called once everything is up, `load` at each SIGHUP."""
    return Supervisor(config, log_format, status_path, load, SYSTEM).run(ready)


class Supervisor:
    """The databases' greenlets, those that drain the spool and tell the status, and the signals that reach them."""

    def __init__(
        self, config: Config, log_format: LogFormat, status_path: str | None, load: Callable[[], Config], clock: Clock
    ) -> None:
        self._config = config
        self._load = load
        self._stop, self._stop_now, self._hangup, self._news = Event(), Event(), Event(), Event()
        self._output = Output(config, log_format, clock.wall)
        assert config.endpoint is not None
        self._outbox = Outbox(
            config.endpoint, config.spool, clock, self._output.note, self._on_arrival, shared_ids=config.ha
        )
        self._watchdog = Watchdog(log_format)
        self._shared = Shared(clock, self._output, self._outbox, self._news.set, self._on_death)
        self._shared.configure(config)
        if config.ha:
            self._shared.leaders = Leaders(clock, self._output.note, self._on_death, self._is_busy_at)
        self._discovery = Discovery(clock, self._output.note, self._rediscovered, self._on_death)
        self._shared.missed = self._discovery.look_now
        self._notifier = Notifier(config.spool.path, clock, self._output.note, self._on_death)
        self._shared.hear, self._shared.hear_failure = self._notifier.hear, self._notifier.hear_failure
        self._watches: dict[str, Watch] = {}
        self._leaving: list[Watch] = []
        self._status_file = StatusFile(status_path) if status_path else None
        self._reloads, self._reload_error = 0, ""
        self._broken = False

    def run(self, ready: Callable[[], None]) -> int:
        """Start everything, wait for a signal, end everything."""
        self._take_signals()
        self._watchdog.start().link_exception(self._on_death)  # it beats to the end
        self._output.started(self._config)
        self._outbox.announce()
        self._warn(self._config.warnings)
        self._share(self._config)
        self._notifier.follow(self._config.notify)
        self._discovery.follow(self._config.databases)
        self._watch_all()
        others = [
            gevent.spawn(body) for body in (self._outbox.drain_forever, self._report_status, self._reload_forever)
        ]
        for spawned in others:
            spawned.link_exception(self._on_death)
        ready()
        notify.ready()
        self._stop.wait()
        self._end(others)
        return 1 if self._broken else 0

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, self._on_signal)
        gevent.signal_handler(signal.SIGUSR1, logfile.reopen)
        gevent.signal_handler(signal.SIGHUP, self._hangup.set)
        gevent.get_hub().exception_stream = None  # gevent would print a greenlet's traceback, secrets and all
        startup.take_signals()

    def _on_signal(self) -> None:
        # Two signals that arrive while C code holds the thread come as one: nothing here counts them.
        (self._stop_now if self._stop.is_set() else self._stop).set()

    def _watch_all(self) -> None:
        """Watch what the configuration, and discovery, say by now. A database that is not changed does not notice."""
        self._leaving = [watch for watch in self._leaving if not watch.greenlet.dead]
        wanted = {target.name: target for target in self._discovery.expand(self._config.databases)}
        for name in [name for name, watch in self._watches.items() if wanted.get(name) != watch.target]:
            self._dismiss(name)
        new = [target for name, target in wanted.items() if name not in self._watches]
        new.sort(key=lambda target: target.interval_s)  # who comes most often tells of the server, from now on
        for number, target in enumerate(new):
            self._start(target, number * min(_APART_S, max(_BEGUN_S, target.interval_s) / len(new)))
        self._watches = {name: self._watches[name] for name in wanted}
        self._shared.forget_others(wanted.values())

    def _rediscovered(self) -> None:
        """There are other databases than before, or none can be looked for any more."""
        if not self._stop.is_set():
            self._watch_all()
            self._news.set()

    def _start(self, target: Target, delay_s: float) -> None:
        self._watches[target.name] = watch = Watch(target, self._shared)
        after = [before for before in self._leaving if before.target.name == target.name]
        watch.start(after, delay_s).link_exception(self._on_death)

    def _on_arrival(self, name: str) -> None:
        """The endpoint took one that waited."""
        if watch := self._watches.get(name):
            watch.arrived()
        self._news.set()

    def _is_busy_at(self, hosts: tuple[Host, ...]) -> bool:
        """Whether a cycle is under way there."""
        watches = [*self._watches.values(), *self._leaving]
        return any(watch.at_work for watch in watches if watch.target.dsn.hosts == hosts)

    def _on_death(self, died: "Greenlet") -> None:
        """A greenlet that dies is a bug: it ends the daemon with status 1 rather than stop watching silently."""
        assert died.exception is not None
        self._output.died(died.exception)
        self._broken = True
        self._stop.set()

    def _end(self, others: "list[Greenlet]") -> None:
        """No new cycle; what is at work, deliveries too, gets `shutdown_timeout`, then it is cancelled."""
        notify.stopping()
        self._output.stopping(broken=self._broken)
        others = [*others, *self._discovery.stop()]
        if self._shared.leaders:  # at once: other daemons need not wait for what hangs here
            others = [*others, *self._shared.leaders.stop()]
        gevent.killall(others, block=False)
        watches = [*self._watches.values(), *self._leaving]
        for watch in watches:
            watch.leave()
        loops = [watch.greenlet for watch in watches]
        joined = gevent.spawn(self._join, loops)
        waited_for: list[Any] = [joined, self._stop_now]
        gevent.wait(waited_for, timeout=self._config.shutdown_timeout_s, count=1)
        left = [joined, *loops, *others]
        gevent.killall(left, block=False)
        gevent.joinall(left, timeout=_CANCEL_S)  # killall's own timeout would raise
        self._shared.deliveries.kill(timeout=_CANCEL_S)  # the last: a loop may have begun one at its end
        self._notifier.close()
        self._outbox.close()
        if self._status_file:
            self._status_file.remove()
        self._watchdog.stop()
        self._output.stopped(broken=self._broken)

    def _join(self, loops: "list[Greenlet]") -> None:
        gevent.joinall(loops)
        self._shared.deliveries.join()

    def _reload_forever(self) -> None:
        """At each SIGHUP read the configuration anew. Where that makes no sense, the old one stays in force."""
        reader = Threads(1)  # a file on a dead network file system must not hold the hub
        while True:
            self._hangup.wait()
            self._hangup.clear()
            notify.reloading()
            try:
                self._take_over(reader(self._load))
                self._reload_error = ""
            except (PGDoctorError, OSError) as error:
                self._reload_error = str(error)
                self._output.note(f"reload failed, the old configuration stays in force: {error}", level="error")
            self._reloads += 1
            notify.ready()
            self._news.set()

    def _take_over(self, new: Config) -> None:
        """Put `new` in force. A database that is not changed does not notice."""
        if self._stop.is_set():
            return
        self._shared.configure(new)  # the first: it may refuse
        old, self._config = self._config, new
        what = changes(old, new)
        self._output.reconfigure(new)
        logfile.configure(new.log)
        self._discovery.follow(new.databases)
        self._watch_all()
        self._share(new)
        self._output.note(f"configuration reloaded: {what}")
        if new.ha != (self._shared.leaders is not None):
            self._warn(["ha changes at the next restart"])
        self._warn(new.warnings)
        assert new.endpoint is not None
        # The last two wait for the disk, and others run meanwhile: what they meet is whole.
        self._outbox.reconfigure(new.endpoint, new.spool)
        self._notifier.follow(new.notify)

    def _share(self, config: Config) -> None:
        """With ha: from now on ask who collects these databases, among those with the same endpoint."""
        assert config.endpoint is not None
        if self._shared.leaders:
            self._shared.leaders.follow(config.databases, config.endpoint.url)

    def _dismiss(self, name: str) -> None:
        watch = self._watches.pop(name)
        watch.leave()
        self._leaving.append(watch)

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._output.note(warning, level="warning")

    def _report_status(self) -> None:
        """Write the status file when there is news, once a second at most: with many databases it is large."""
        while self._status_file:
            self._status_file.write(self._status())
            self._news.wait()
            self._news.clear()
            gevent.sleep(1)

    def _status(self) -> Status:
        return Status(
            pid=os.getpid(),
            shutdown_timeout_s=self._config.shutdown_timeout_s,
            databases=(*self._discovery.status(), *(watch.status for watch in self._watches.values())),
            spooled=self._outbox.waiting,
            dropped=self._outbox.dropped,
            reloads=self._reloads,
            reload_error=self._reload_error or None,
            notify=self._notifier.status(),
        )
