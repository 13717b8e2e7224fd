"""`check`: two looks at each database, a moment apart, and what the checks find in them; or at saved snapshots."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import gevent
from gevent.pool import Pool

from pgdoctor_lib.agent import cycle
from pgdoctor_lib.agent.diagnosis import NO_RULES, document
from pgdoctor_lib.agent.readings import Kept
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.checks.diagnose import diagnose, not_yet
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.checks.state import State
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.registry import is_servers
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config import Target
from pgdoctor_lib.errors import PGDoctorError, UsageError
from pgdoctor_lib.finding import Finding, causes_first
from pgdoctor_lib.report.figures import figures
from pgdoctor_lib.report.result import Result
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import Snapshot

APART_S = 2.0  # between the two looks
_AT_ONCE = 4  # at one server
_SERVERS_AT_ONCE = 10
_KEPT_S = 60.0  # the session is kept for the second look


@dataclass(frozen=True)
class _Server:
    """`first`, `latest`: the server's sections, of the first look that brought them and of the last one."""

    memory: Memory = field(default_factory=Memory)
    first: dict[str, Kept] = field(default_factory=dict)
    latest: dict[str, Kept] = field(default_factory=dict)

    def keep(self, snapshot: Snapshot, of: dict[str, Kept]) -> None:
        """What of it is the server's."""
        for section in snapshot.collected.sections:
            if is_servers(section.name):
                of[section.name] = Kept.of(snapshot, section.json)


@dataclass(frozen=True)
class Checkup:
    """`timeout_s` for one look; `names`: these checks alone; `rules`: what is muted, and which thresholds hold.

    `with_figures`: the results have what a page draws, too.
    """

    timeout_s: float
    clock: Clock
    names: Collection[str] | None = None
    rules: Rules = NO_RULES
    with_figures: bool = False

    def run(self, targets: Iterable[Target], done: Callable[[Result], None]) -> list[Result]:
        """All of them, several at once; `done` as each is over. What goes wrong with one is its result."""
        by_server: dict[object, list[Target]] = defaultdict(list)
        for target in targets:
            by_server[target.dsn.hosts].append(target)

        def tell(result: Result) -> Result:
            done(result)
            return result

        servers = Pool(_SERVERS_AT_ONCE)
        lists = servers.map(lambda group: self._at_server(group, tell), list(by_server.values()))
        return [result for results in lists for result in results]

    def _at_server(self, targets: list[Target], tell: Callable[[Result], Result]) -> list[Result]:
        """The first database brings along what the server tells."""
        server = _Server()
        first = tell(self._examine(targets[0], server))
        rest = Pool(_AT_ONCE).map(lambda target: tell(self._examine(target, server)), targets[1:])
        return [first, *rest]

    def _examine(self, target: Target, server: _Server) -> Result:
        routine = Routine(target.name, _KEPT_S, server.memory, patience_s=self.timeout_s)
        collecting = Collecting(target.dsn, target.limit, target.query_text, routine)
        try:
            first = cycle.take(target, collecting, self.timeout_s, self.clock)
            gevent.sleep(APART_S)
            second = cycle.take(target, collecting, self.timeout_s, self.clock)
        except PGDoctorError as error:
            where = ", ".join(map(str, target.dsn.hosts))
            return Result(target.name, error=one_line(f"{error} ({where})"))
        finally:
            collecting.close()
        return self._diagnose(first, second, target, server)

    def _diagnose(self, first: Snapshot, second: Snapshot, target: Target, server: _Server) -> Result:
        """Of the second look, with what only the first one asked for."""
        for snapshot, kept in ((first, server.first), (first, server.latest), (second, server.latest)):
            server.keep(snapshot, kept)
        limits = self.rules.limits(target.name, target.tags)
        muted = self.rules.muted(target.name, target.tags, self.clock.wall())
        before = document(first, {name: each.part() for name, each in server.first.items()})
        state = diagnose(before, Document({}, {}), State(), limits, self.names).state
        older = {**before.parts, **{name: each.part() for name, each in server.latest.items()}}
        now = document(second, older)
        now.fresh_since = before.collected_at
        found = diagnose(now, before, state, limits, self.names, muted)
        drawn = figures(now, before, len(found.muted)) if self.with_figures else None
        of = _of(second.collected.db_version, second.collected.db_name)
        not_examined = {**not_yet(found), **found.not_examined}
        return Result(second.name, of, found.findings, not_examined, muted=found.muted, figures=drawn)


def saved(
    body: bytes,
    previous: bytes | None = None,
    names: Collection[str] | None = None,
    rules: Rules = NO_RULES,
    *,
    with_figures: bool = False,
) -> Result:
    """The same of a snapshot that was saved, and the one before it. `UsageError` where they are none.

    What only two of them could tell is told as the daemon found it, where there is one.
    """
    now, before = parsed(body), parsed(previous) if previous is not None else Document({}, {})
    if before.collected_at > now.collected_at:
        raise UsageError("the previous snapshot is the later one", hint="exchange them")
    if not now.parts:
        return Result(now.name, error="the snapshot has no section: there is nothing to examine")
    with _making_sense():
        state, said = _remembered(now, before, is_alone=previous is None)
        limits = {**_limits_of(now), **rules.limits(now.name, now.tags)}
        ids, by_rules = set(now.diagnosis.get("muted") or ()), rules.muted(now.name, now.tags, now.collected_at)
    found = diagnose(now, before, state, limits, names, lambda finding: finding.id in ids or by_rules(finding))
    here = {each.id for each in found.findings}
    told = [one for one in said if one.check in found.not_examined and one.id not in here]
    findings = causes_first([*found.findings, *told])
    drawn = figures(now, before, len(found.muted)) if with_figures else None
    of = _of(now.db_version, now.db_name)
    not_examined = {**not_yet(found, is_alone=previous is None), **found.not_examined}
    return Result(now.name, of, tuple(findings), not_examined, muted=found.muted, figures=drawn)


def _remembered(now: Document, before: Document, *, is_alone: bool) -> tuple[State, list[Finding]]:
    """What is known from before, and of one snapshot alone what the daemon found in it."""
    return (State.before(now), list(map(Finding.of_json, now.findings))) if is_alone else (State.after(before), [])


@contextmanager
def _making_sense() -> Iterator[None]:
    """Of what a file says of its diagnosis: anything may stand there."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UsageError("not a snapshot: its findings make no sense", hint='"pgdoctor snapshot" prints one') from None


def _limits_of(document: Document) -> Mapping[str, Mapping[str, float]]:
    """The thresholds that were in force when it was examined, where they were not the checks' own."""
    known = checks()
    return {
        str(check): {str(name): float(number) for name, number in limits.items() if name in known[check].limits}
        for check, limits in (document.diagnosis.get("thresholds") or {}).items()
        if check in known
    }


def _of(db_version: str, db_name: str) -> str:
    return one_line(f"{db_version}, database {db_name}")


def parsed(body: bytes, what: str = "") -> Document:
    """A saved snapshot. `UsageError`, which names `what`, where it is none."""
    try:
        return Document.parse(body)
    except (ValueError, RecursionError, OverflowError) as error:
        told = f"{what and f'{what}: '}not a snapshot: {error}"
        raise UsageError(told, hint='"pgdoctor snapshot" prints one') from None
