"""Diagnose real servers: collect in this process what a check reads, and have it look at that."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycogreen.gevent import gevent_wait_callback
from psycopg2.extensions import set_wait_callback

from pgdoctor_lib.agent import cycle
from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.checks.state import State
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config import load
from pgdoctor_lib.finding import Finding
from tests.checks.hostile import check_locks, check_on_standby, check_remedies, on_standby, with_names
from tests.collectors.conftest import Only
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

NOTHING = Document({}, {})
MONITOR = "monitor"


@pytest.fixture(autouse=True)
def cooperative_psycopg2() -> Iterator[None]:
    """The wait that deadlines can end; taken away again for the other tests."""
    set_wait_callback(gevent_wait_callback)
    yield
    set_wait_callback(None)


@dataclass
class Doctor:
    """One check at one database. `limits`: thresholds in place of the defaults.

    `apart_s`: the last look is taken for so many seconds older than it is, for a check that compares.
    """

    dsn: str
    check: str
    limits: dict[str, float] = field(default_factory=dict)
    before: Document = NOTHING
    state: State = field(default_factory=State)
    not_examined: str = ""
    apart_s: float = 0.0

    def look(self) -> list[Finding]:
        """What the check says of a snapshot taken now, compared with that of an earlier look, a second ago or more."""
        now = snapshot(self.dsn, self.check)
        found = diagnose(now, self.before, self.state, {self.check: self.limits}, [self.check])
        self.state = found.state
        if self.apart_s or now.collected_at - self.before.collected_at >= 1:  # less is no time to compare over
            self.before = now
            for part in now.parts.values():
                part.taken_at -= self.apart_s
        self.not_examined = found.not_examined.get(self.check, "")
        assert not self.not_examined.startswith("internal error"), self.not_examined
        assert len({each.id for each in found.findings}) == len(found.findings)
        check_locks(found.findings)
        return list(found.findings)

    def sick(self) -> Finding:
        """The one finding, once it is there."""
        [found] = wait_for(self.look, lambda: f"no finding of {self.check}; not examined: {self.not_examined}")
        return found

    def healthy(self) -> None:
        """There is nothing (any more), and it was looked at."""
        wait_for(
            lambda: self.look() == [] and not self.not_examined,
            lambda: f"findings of {self.check} stay; not examined: {self.not_examined}",
        )


@pytest.fixture
def doctor() -> Callable[..., Doctor]:
    """`doctor(server or database, "slot-lost", warning_bytes=…)`: as a role that has pg_monitor and no more."""

    def make(at: Server | Database | str, check: str, **limits: float) -> Doctor:
        if isinstance(at, Server) and not at.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [MONITOR]):
            at.create_role(MONITOR, "secret")
        dsn = at.dsn("postgres", MONITOR, "secret") if isinstance(at, Server) else at if isinstance(at, str) else at.dsn
        return Doctor(dsn, check, limits)

    return make


def snapshot(dsn: str, check: str) -> Document:
    """What the check reads, collected now."""
    target = load.target_of(dsn, {})
    collecting = Collecting(target.dsn, 20)
    collecting._memory = collecting._server = Only((*checks()[check].reads, "database"))
    return Document.parse(cycle.take(target, collecting, 60, SYSTEM).body())


def paste(at: Server | Database, remedy: str) -> None:
    """Run a finding's remedy as a superuser would who pastes it: each statement by itself, comments left out."""
    text = re.sub(r"^\s*--.*\n?", "", remedy, flags=re.MULTILINE)
    for statement in filter(str.strip, re.split(r";\s*(?:\n|$)", text)):
        at.sql(statement)


def planted(at: float = 0.0, *, major: int = 18, standby: bool = False, **sections: Any) -> Document:
    """A snapshot made by hand, taken `at` seconds: a list is the rows of a section, a mapping the section itself."""
    time = f"2026-01-01T{int(at) // 3600:02d}:{int(at) // 60 % 60:02d}:{at % 60:06.3f}+00:00"
    database = {
        "server_version_num": major * 10000,
        "in_recovery": standby,
        "server_time": time,
        "stats_reset": "2025-11-01T00:00:00+00:00",
        **sections.pop("database", {}),
    }
    whole = {
        name: {"rows": found, "total": {"count": len(found)}, "more": 0} if isinstance(found, list) else found
        for name, found in {"database": database, **sections}.items()
    }
    return Document.parse(json.dumps({"collected_at": time, "database": {"name": "app"}, "sections": whole}))


def judged(check: str, now: Document, before: Document = NOTHING, **limits: float) -> list[Finding]:
    """What the check says of snapshots made by hand, whatever it wants of time and repetition.

    And whatever the names in it are: no remedy runs them. On a standby, each says where it is to be pasted.
    """
    before.trends = now.trends
    found = _found(check, now, before, limits)
    check_locks(found)
    if now.has("database") and not now.in_recovery and not checks()[check].primary:
        with suppress(NotExamined):
            check_on_standby(_found(check, on_standby(now), before, limits))
    for other in with_names(now):
        with suppress(NotExamined, ValueError):  # a time, or a number, that is none
            check_remedies(_found(check, other, before, limits))
    return found


def _found(check: str, now: Document, before: Document, limits: Mapping[str, float]) -> list[Finding]:
    said = checks()[check].run(now, before, {**checks()[check].limits, **limits})
    return [each for each in said if isinstance(each, Finding)]
