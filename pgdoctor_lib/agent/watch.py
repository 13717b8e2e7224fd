"""One database's greenlet: its cycles, on its own interval, until it is told to leave."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from pgdoctor_lib.agent import cycle, sentinel
from pgdoctor_lib.agent.diagnosis import Diagnosing, News
from pgdoctor_lib.agent.leaders import Leaders
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import CycleLine, Output
from pgdoctor_lib.agent.places import Places
from pgdoctor_lib.agent.readings import Common
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.agent.schedule import next_due
from pgdoctor_lib.agent.slots import Slot, Slots
from pgdoctor_lib.agent.status import DatabaseStatus
from pgdoctor_lib.agent.told import unreachable
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.budget import Allowance
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.recorder import Recorder
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.config.dsn import Host
from pgdoctor_lib.config.values import Lines
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.snapshot import CollectorError, Snapshot, Unreachable

AT_FIRST_S = 0.25  # for what is read once an hour: the first snapshot does not wait for it
_MOST_FAILING = 50  # told in each snapshot

if TYPE_CHECKING:
    Greenlet = gevent.Greenlet[..., None]


@dataclass(frozen=True)
class Server:
    """Those who want to work on it at once queue in `places`.

    `memory`: what was asked of it; `common`: what it said of itself; `recorder`: looks between two cycles; `names`: of
    databases, whose last snapshots are read for what is `common`, once, by one of them: the others wait (`resuming`).
    """

    places: Places
    memory: Memory = field(default_factory=Memory)
    common: Common = field(default_factory=Common)
    recorder: Recorder = field(default_factory=Recorder)
    names: set[str] = field(default_factory=set)
    resuming: BoundedSemaphore = field(default_factory=BoundedSemaphore)

    def resume(self, last: Callable[[str], bytes | None]) -> None:
        """Go on from what its databases last told of it, in whatever order they come now."""
        with self.resuming:
            names = sorted(self.names) if self.common.state is None else []
            self.names.clear()
            self.common.resume(filter(None, map(last, names)))


@dataclass
class Shared:
    """What all databases' greenlets work with.

    `news()` is called when a status changed, `on_death` when a greenlet died of an exception, which is a bug.
    `missed(name)` is called when a cycle fails after one that went well: the database may have been dropped.
    `hear` is called with each diagnosis, for those who are told; `hear_failure` where nothing could be collected
    twice in a row.
    `leaders`: who collects, where several daemons share the work, else None. `deliveries`: greenlets, one each.
    `failing`: by name, databases of which nothing can be collected by now.
    """

    clock: Clock
    output: Output
    outbox: Outbox
    news: Callable[[], None]
    on_death: "Callable[[Greenlet], None]"
    missed: Callable[[str], None] = lambda _: None
    hear: Callable[[Target, Snapshot], None] = lambda _, __: None
    hear_failure: Callable[[Target, Finding], None] = lambda _, __: None
    leaders: Leaders | None = None
    deliveries: Group = field(default_factory=Group)
    failing: dict[str, Unreachable] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    servers: dict[tuple[Host, ...], Server] = field(default_factory=dict)
    allowance: Allowance = field(default_factory=Allowance)
    rules: Rules = field(default_factory=Rules)
    cycle_timeout_s: float = Config.cycle_timeout_s
    concurrency: int = Config.concurrency
    recorder: Lines | None = Config.recorder

    def configure(self, config: Config) -> None:
        """What is for all databases is in force from now on. `ConfigError` where a check is named that there is not."""
        self.rules = Rules.of(config)
        self.cycle_timeout_s, self.concurrency = config.cycle_timeout_s, config.concurrency
        self.allowance.share, self.recorder = config.budget, config.recorder
        for server in self.servers.values():
            server.places.count, server.recorder.lines = config.concurrency, config.recorder

    def forget_others(self, targets: Iterable[Target]) -> None:
        """The servers that none of these is at are watched no more."""
        used = {target.dsn.hosts for target in targets}
        self.servers = {hosts: server for hosts, server in self.servers.items() if hosts in used}

    def unreachable(self) -> tuple[Unreachable, ...]:
        """What fails, the longest first, for the snapshots of what does not."""
        return tuple(sorted(self.failing.values(), key=lambda each: each.since)[:_MOST_FAILING])

    def server_of(self, target: Target) -> Server:
        """What all databases of the target's server have in common."""
        hosts = target.dsn.hosts
        if hosts not in self.servers:
            self.servers[hosts] = Server(Places(self.concurrency), recorder=Recorder(self.recorder))
        return self.servers[hosts]


class Watch:
    """Watches `target` from `start()` until `leave()`, after which no cycle begins. `at_work`: in a cycle."""

    def __init__(self, target: Target, shared: Shared) -> None:
        self.target = target
        self.status = DatabaseStatus(target.name, target.interval_s, since=shared.clock.elapsed())
        self.at_work = False
        self._shared = shared
        self._leaving = False
        self._told: frozenset[str] = frozenset()
        self._failing_since: float | None = None
        self._server = shared.server_of(target)
        routine = Routine(
            target.name,
            target.interval_s,
            self._server.memory,
            shared.allowance,
            at_first_s=AT_FIRST_S,
            recorder=self._server.recorder,
        )
        self._collecting = Collecting(target.dsn, target.limit, target.query_text, routine, explain=target.explain)
        self._server.names.add(target.name)
        self._diagnosing = Diagnosing(self._server.common, lambda: shared.rules)
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
        self._server.resume(self._shared.outbox.last)
        if body := self._shared.outbox.last(self.target.name):
            self._diagnosing.resume(body)
        try:
            if self._shared.leaders:
                self._run_by_slots(self._shared.leaders)
            else:
                self._run_on_a_grid()
        finally:
            self._collecting.close()
            self._shared.failing.pop(self.target.name, None)

    def _run_on_a_grid(self) -> None:
        clock = self._shared.clock
        start = clock.monotonic()
        while not self._leaving:
            self._cycle_once()
            self._tell(last_cycle=clock.elapsed())
            now = clock.monotonic()
            self._pause(next_due(start, self.target.interval_s, now) - now, records=True)

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
            self._pause(slots.until_next(clock.wall()), records=leads)

    def _pause(self, wait_s: float, *, records: bool = False) -> None:
        """Until the next cycle. `records`: meanwhile the server's recorder may look."""
        clock = self._shared.clock
        self._tell(next_due=clock.elapsed() + wait_s)
        until = clock.monotonic() + wait_s
        if records and not self._leaving:
            sentinel.watch(self._collecting.record, until, clock, self._server.recorder.wait_s)
        if not self._leaving:
            gevent.sleep(max(0.0, until - clock.monotonic()))

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
        self._tell_failure()

    def _collect(self, snapshot_id: str | None) -> Snapshot:
        shared = self._shared
        timeout_s, told = shared.cycle_timeout_s, (shared.outbox.dropped, shared.unreachable())
        snapshot = cycle.take(self.target, self._collecting, timeout_s, shared.clock, snapshot_id, *told)
        snapshot = replace(snapshot, mark=shared.outbox.latest_mark(self.target.name))
        examined, news = self._diagnosing.examine(snapshot)
        self._tell_news(news)
        shared.hear(self.target, examined)
        return examined

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
        """What some collector could not read is said once, and again when it changes; its numbers alone may."""
        for error in failed:
            if error.sort not in self._told:
                self._shared.output.note(error.line, self.target, level="warning")
        self._told = frozenset(error.sort for error in failed)

    def _tell_failure(self) -> None:
        """One cycle that fails may be a moment's; the next one is news."""
        shared, target, now = self._shared, self.target, self._shared.clock.wall()
        if not self.status.cycle_error:
            self._failing_since = None
            shared.failing.pop(target.name, None)
        elif self._failing_since is None:
            self._failing_since = now
        else:
            finding = unreachable(target, self.status.cycle_error, self._failing_since)
            if not shared.rules.muted(target.name, target.tags, now)(finding):
                shared.failing[target.name] = Unreachable(target.name, self._failing_since, self.status.cycle_error)
                shared.hear_failure(target, finding)

    def _tell_news(self, news: News) -> None:
        """A finding is said when it opens or gets worse, and when it is gone; what is but worth knowing is not."""
        for resolved, findings in ((False, news.opened), (True, news.resolved)):
            for finding in findings:
                if finding.severity > Severity.INFO:
                    self._shared.output.finding(finding, self.target, resolved=resolved)

    def _tell(self, **news: Any) -> None:
        """What `daemon status` shows of this database from now on."""
        self.status = replace(self.status, **news)
        self._shared.news()
