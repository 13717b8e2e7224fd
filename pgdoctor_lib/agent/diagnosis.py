"""One database's diagnosis, from one snapshot to the next: what it is compared with, and what changed."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from pgdoctor_lib.agent.readings import Common, Readings, is_of_server, moment
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.checks.diagnose import Diagnosis, Limits, diagnose, not_yet, sections_compared
from pgdoctor_lib.checks.document import Document, Part
from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.checks.state import State
from pgdoctor_lib.collectors.registry import is_servers
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.snapshot import Cost, Snapshot, iso_time

LEDGER = "checks"  # what they cost, among what collectors do
NO_RULES = Rules()
_EARLY = 0.95  # snapshots are never quite an interval apart


@dataclass(frozen=True)
class News:
    """What a diagnosis changed: findings that opened or got worse, and those that are gone."""

    opened: tuple[Finding, ...]
    resolved: tuple[Finding, ...]


class Diagnosing:
    """`server`: what any of its databases saw, and said, of the server, shared among those.

    `rules`: what the configuration says of checks, by now.
    """

    def __init__(self, server: Common, rules: Callable[[], Rules] = Rules) -> None:
        self._server, self._own = server, Readings()
        self._rules = rules
        self._state = State()
        self._told: dict[str, Finding] = {}
        self._asked: dict[str, float] = {}
        self._limits: Limits = {}

    def resume(self, body: bytes) -> None:
        """Go on from a snapshot of an earlier run: what it found is known, and since when."""
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._state = State.after(Document.parse(body))
            self._told = {each.id: each for each in self._state.shown}

    def examine(self, snapshot: Snapshot) -> tuple[Snapshot, News]:
        """The snapshot with what the checks find in it."""
        now, began, rules = self._document(snapshot), time.perf_counter(), self._rules()
        self._meet(now)
        is_its, elsewhere = self._is_its(snapshot), self._told_elsewhere(snapshot)
        before = self._before(now)
        limits = rules.limits(snapshot.name, snapshot.tags)
        muted = rules.muted(snapshot.name, snapshot.tags, snapshot.collected_at)
        resting = self._resting(limits, snapshot.collected_at)
        found = diagnose(now, before, self._state, limits, checks().keys() - elsewhere, muted, resting)
        self._asked |= dict.fromkeys(found.asked - found.not_examined.keys(), snapshot.collected_at)
        told = {key: each for key, each in self._told.items() if each.check not in elsewhere}
        self._told, self._state = _still_told(told, found), found.state
        self._keep(snapshot)
        if is_its:
            self._server.take(self._state, self._told)
        return _with(snapshot, found, before, began, limits), _news(told, found)

    def _meet(self, now: Document) -> None:
        """Whose counters these are."""
        started = now.one("database").get("postmaster_start_time") if now.has("database") else None
        for readings in (self._own, self._server):
            readings.meet(started)

    def _is_its(self, snapshot: Snapshot) -> bool:
        """Whether this database tells of its server. What another one said of it before goes on here."""
        kept = self._server.latest.get("server")
        if not any(section.name == "server" for section in snapshot.collected.sections):
            return kept is not None and kept.name == snapshot.name
        if self._server.state and (kept is None or kept.name != snapshot.name):
            self._state = self._state.of_checks(lambda check: not is_of_server(check)).joined(self._server.state)
            own = {key: each for key, each in self._told.items() if not is_of_server(each.check)}
            self._told = {**own, **self._server.told}
        return True

    def _told_elsewhere(self, snapshot: Snapshot) -> frozenset[str]:
        """The checks of the server, where another of its databases brings along by now what they look at."""
        kept = self._server.latest.get("server")
        brings = any(section.name == "server" for section in snapshot.collected.sections)
        if kept is None or brings or kept.name == snapshot.name:
            return frozenset()
        return frozenset(filter(is_of_server, checks()))

    def _resting(self, limits: Limits, at: float) -> frozenset[str]:
        """The checks that were asked not long ago, and warned of nothing; the others are asked now."""
        if limits != self._limits:
            self._asked, self._limits = {}, limits
        warning = {each.check for each in self._state.shown if each.severity > Severity.INFO}
        asked_s = {name: at - asked for name, asked in self._asked.items() if name not in warning}
        return frozenset(name for name, ago_s in asked_s.items() if 0 <= ago_s < checks()[name].every_s * _EARLY)

    def _document(self, snapshot: Snapshot) -> Document:
        """The snapshot, with the latest of what it does not have of its own."""
        older = {name: kept.part() for name, kept in {**self._server.latest, **self._own.latest}.items()}
        return document(snapshot, older)

    def _before(self, now: Document) -> Document:
        """What it is compared with; its id is that of this database's own oldest."""
        kept = {**self._server.before(now), **self._own.before(now)}
        head = {"snapshot_id": min((each.snapshot_id for each in kept.values() if each.name == now.name), default="")}
        return Document(head, {name: each.part() for name, each in kept.items()})

    def _keep(self, snapshot: Snapshot) -> None:
        compared, wanted = sections_compared(), _looked_at_besides()
        for section in snapshot.collected.sections:
            of = self._server if is_servers(section.name) else self._own
            if section.name in wanted:
                of.add_latest(section.name, snapshot, section.json)
            if section.name in compared:
                of.add_earlier(section.name, snapshot, section.json)


def document(snapshot: Snapshot, older: Mapping[str, Part] | None = None) -> Document:
    """A snapshot that was just taken, as checks read it; `older`: sections that it may lack."""
    head = {
        "snapshot_id": snapshot.snapshot_id,
        "collected_at": iso_time(snapshot.collected_at),
        "database": {"name": snapshot.name, "tags": snapshot.tags, "interval_s": snapshot.interval_s},
        "meta": {"db_name": snapshot.collected.db_name, "db_version": snapshot.collected.db_version},
        "errors": [vars(error) for error in snapshot.collected.errors],
        "top_queries": snapshot.collected.top_queries,
    }
    failed = {error.collector for error in snapshot.collected.errors}
    others = {name: part for name, part in (older or {}).items() if name not in failed}
    own = {section.name: Part(section.json, moment(snapshot)) for section in snapshot.collected.sections}
    return Document(head, {**others, **own})


def examined(snapshot: Snapshot, rules: Rules = NO_RULES) -> Snapshot:
    """One snapshot by itself, with what can be found in that."""
    nothing, began = Document({}, {}), time.perf_counter()
    limits = rules.limits(snapshot.name, snapshot.tags)
    muted = rules.muted(snapshot.name, snapshot.tags, snapshot.collected_at)
    found = diagnose(document(snapshot), nothing, None, limits, muted=muted)
    found = replace(found, not_examined={**not_yet(found, is_alone=True), **found.not_examined})
    return _with(snapshot, found, nothing, began, limits)


def _with(snapshot: Snapshot, found: Diagnosis, before: Document, began: float, limits: Limits) -> Snapshot:
    diagnosis = {
        "compared_with": before.snapshot_id or None,
        "not_examined": dict(found.not_examined),
        "muted": list(found.muted),
        **({"thresholds": limits} if limits else {}),
        **found.state.as_json(),
    }
    cost = Cost(round((time.perf_counter() - began) * 1000, 3), len(found.findings), 0)
    collected = replace(snapshot.collected, costs={**snapshot.collected.costs, LEDGER: cost})
    return replace(snapshot, collected=collected, findings=found.findings, diagnosis=diagnosis)


@cache
def _looked_at_besides() -> frozenset[str]:
    """Sections that a check reads beside the one that it runs for: they may be missing when it does."""
    return frozenset(name for one in checks().values() for name in one.reads[1:])


def _news(told: Mapping[str, Finding], found: Diagnosis) -> News:
    """What could not be looked at, or is there and not shown, is not resolved; nor is what happened once."""
    new = {each.id: each for each in found.findings}
    opened = [each for key, each in new.items() if key not in told or each.severity > told[key].severity]
    gone = [each for key, each in told.items() if key not in new and key not in found.state.watched]
    events = {one.id for one in checks().values() if one.is_event}
    return News(tuple(opened), tuple(each for each in gone if each.check not in events))


def _still_told(told: Mapping[str, Finding], found: Diagnosis) -> dict[str, Finding]:
    """What was opened and is not gone, shown now or not: it is not opened again. What is muted by now is forgotten."""
    there = found.state.watched.keys() - set(found.muted)
    return {key: each for key, each in told.items() if key in there} | {each.id: each for each in found.findings}
