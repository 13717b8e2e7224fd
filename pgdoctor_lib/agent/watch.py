"""One database's greenlet: its cycles, on its own interval, until it is told to leave."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gevent
from gevent.pool import Group

from pgdoctor_lib.agent import cycle
from pgdoctor_lib.agent.leaders import Leaders
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import CycleLine, Output
from pgdoctor_lib.agent.places import Places
from pgdoctor_lib.agent.schedule import next_due
from pgdoctor_lib.agent.slots import Slot, Slots
from pgdoctor_lib.agent.status import DatabaseStatus
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.budget import Allowance
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.config.dsn import Host
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.snapshot import CollectorError, Snapshot

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]


@dataclass(frozen=True)
class Server:
    """Those who want to work on it at once queue in `places`; `memory`: what was asked of it."""

    places: Places
    memory: Memory = field(default_factory=Memory)


@dataclass
class Shared:
    """What all databases' greenlets work with.

    `news()` is called when a status changed, `on_death` when a greenlet died of an exception, which is a bug.
    `missed(name)` is called when a cycle fails after one that went well: the database may have been dropped.
    `leaders`: who collects, where several daemons share the work, else None. `deliveries`: greenlets, one each.
    """

    clock: Clock
    output: Output
    outbox: Outbox
    news: Callable[[], None]
    on_death: "Callable[[Greenlet], None]"
    missed: Callable[[str], None] = lambda _: None
    leaders: Leaders | None = None
    deliveries: Group = field(default_factory=Group)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    servers: dict[tuple[Host, ...], Server] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=Allowance)
    cycle_timeout_s: float = Config.cycle_timeout_s
    concurrency: int = Config.concurrency

    def configure(self, config: Config) -> None:
        """What is for all databases is in force from now on."""
        self.cycle_timeout_s, self.concurrency = config.cycle_timeout_s, config.concurrency
        self.allowance.share = config.budget
        for server in self.servers.values():
            server.places.count = config.concurrency

    def server_of(self, target: Target) -> Server:
        """What all databases of the target's server have in common."""
        return self.servers.setdefault(target.dsn.hosts, Server(Places(self.concurrency)))


class Watch:
    """Watches `target` from `start()` until `leave()`, after which no cycle begins. `at_work`: in a cycle."""

    def __init__(self, target: Target, shared: Shared) -> None:
        self.target = target
        self.status = DatabaseStatus(target.name, target.interval_s, since=shared.clock.elapsed())
        self.at_work = False
        self._shared = shared
        self._leaving = False
        self._told: tuple[str, ...] = ()
        self._server = shared.server_of(target)
        routine = Routine(target.name, target.interval_s, self._server.memory, shared.allowance)
        self._collecting = Collecting(target.dsn, target.limit, target.query_text, routine, explain=target.explain)
        self._sending: set[Greenlet] = set()

    def start(self, after: "Iterable[Watch]" = (), delay_s: float = 0.0) -> "Greenlet":
        """Begin after `delay_s`, once the cycles that those in `after` may be at are over."""
        self.greenlet: Greenlet = gevent.spawn(self._run, after, delay_s)
        return self.greenlet

    def leave(self) -> None:
        """Begin no cycle any more; one at work goes on to its end."""
        self._leaving = True
        if not self.at_work:
            self.greenlet.kill(block=False)

    def _run(self, after: "Iterable[Watch]", delay_s: float) -> None:
        gevent.joinall([watch.greenlet for watch in after])
        self._pause(delay_s)
        try:
            if self._shared.leaders:
                self._run_by_slots(self._shared.leaders)
            else:
                self._run_on_a_grid()
        finally:
            self._collecting.close()

    def _run_on_a_grid(self) -> None:
        clock = self._shared.clock
        start = clock.monotonic()
        while not self._leaving:
            self._cycle_once()
            self._tell(last_cycle=clock.elapsed())
            now = clock.monotonic()
            self._pause(next_due(start, self.target.interval_s, now) - now)

    def _run_by_slots(self, leaders: Leaders) -> None:
        """The slots are every daemon's. Whether it is ours to collect is asked at the beginning of each."""
        clock = self._shared.clock
        slots = Slots(self.target)
        self._pause(slots.until_next(clock.wall()))
        while not self._leaving:
            slot = slots.take(clock.wall())
            leads = leaders.leads(self.target)
            seen = {} if leads else {"since": clock.elapsed()}
            self._tell(standing_by=not leads, alone=leaders.role(self.target) == "alone", **seen)
            if leads and not self._shared.outbox.has(slot.snapshot_id):
                self._cycle_once(slot)
                self._tell(last_cycle=clock.elapsed())
            self._pause(slots.until_next(clock.wall()))

    def _pause(self, wait_s: float) -> None:
        self._tell(next_due=self._shared.clock.elapsed() + wait_s)
        if not self._leaving:
            gevent.sleep(wait_s)

    def _cycle_once(self, slot: Slot | None = None) -> None:
        shared = self._shared
        line = CycleLine(shared.output, shared.numbers, self.target, shared.clock.wall)
        snapshot_id, went_well = slot.snapshot_id if slot else None, not self.status.cycle_error
        try:
            with self._border(line, "collection failed", "cycle_error"):
                parcel = cycle.run(lambda: self._collect(snapshot_id), self._admitted(), shared.outbox, line)
                self._send(parcel, line)
        finally:
            self.at_work = False
        if line.errors is not None:
            self._tell_errors(line.errors)
        if self.status.cycle_error and went_well:
            shared.missed(self.target.name)

    def _collect(self, snapshot_id: str | None) -> Snapshot:
        shared = self._shared
        timeout_s, dropped = shared.cycle_timeout_s, shared.outbox.dropped
        return cycle.take(self.target, self._collecting, timeout_s, shared.clock, snapshot_id, dropped)

    def _send(self, parcel: Parcel, line: CycleLine) -> None:
        """Deliver it beside the next cycle, which waits for no endpoint; several at once only while all goes well."""
        if self._sending and not self._shared.outbox.has_room:
            self._shared.outbox.leave(parcel)
            line.left()
            return
        spawned = self._shared.deliveries.spawn(self._deliver, parcel, line)
        spawned.link_exception(self._shared.on_death)
        self._sending.add(spawned)
        spawned.link(self._sending.discard)

    def _deliver(self, parcel: Parcel, line: CycleLine) -> None:
        with self._border(line, "upload failed", "upload_error"):
            receipt = self._shared.outbox.deliver(parcel, line.retry)
            line.delivered(receipt.id)
            self._tell(last_delivered=self._shared.clock.elapsed())

    def arrived(self) -> None:
        """The endpoint took one that had waited."""
        self._tell(last_delivered=self._shared.clock.elapsed(), upload_error=None)

    @contextmanager
    def _border(self, line: CycleLine, what: str, status_key: str) -> Iterator[None]:
        """What goes wrong in a cycle, or in a delivery, is told as `what`, and costs no more than that."""
        text = None
        try:
            yield
        except PGDoctorError as error:
            text = line.failed(what, str(error))
        except gevent.GreenletExit:
            line.failed(what, "the daemon is stopping" + (" (kept)" if status_key == "upload_error" else ""))
            raise
        except Exception as error:  # noqa: BLE001 (a border: a bug costs this cycle, not the daemon)
            text = line.broken(error)
        self._tell(**{status_key: text})

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """A place at the target's server. Whoever still waits for one when the daemon ends has not begun."""
        with self._server.places.place(self.target.name):
            self.at_work = True
            yield

    def _tell_errors(self, failed: tuple[CollectorError, ...]) -> None:
        """What some collector could not read is said once, and again when it changes."""
        errors = tuple(each.line for each in failed)
        for text in errors:
            if text not in self._told:
                self._shared.output.note(text, self.target, level="warning")
        self._told = errors

    def _tell(self, **news: Any) -> None:
        """What `daemon status` shows of this database from now on."""
        self.status = replace(self.status, **news)
        self._shared.news()
