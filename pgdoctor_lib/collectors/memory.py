"""What one database, or one server, was asked and when; what is not worth asking again; what it costs."""

import time
from collections.abc import Hashable
from dataclasses import dataclass

from pgdoctor_lib.collectors.elsewhere import Elsewhere
from pgdoctor_lib.collectors.registry import CADENCES_S, Asked
from pgdoctor_lib.collectors.remedies import failed
from pgdoctor_lib.collectors.rooms import Rooms
from pgdoctor_lib.collectors.statements import Statements
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.snapshot import CollectorError

AGAIN_S = 3600.0  # until what was refused is asked again, where nothing changed
_EARLY = 0.05  # the share of a cadence by which a cycle may come too early, for the cycles' times are never exact
# What only a change of privileges, version or settings can mend: asking each cycle would flood the server's log.
_REFUSED = ("0A000", "42501", "42704", "42703", "42883", "42P01", "55000")


@dataclass(frozen=True)
class _Refusal:
    error: CollectorError
    facts: Facts
    until: float


@dataclass(frozen=True)
class _Owner:
    """Who asks for the server's sections, and when it did last (monotonic)."""

    name: str
    sees_less: bool
    interval_s: float
    seen: float

    @property
    def rank(self) -> tuple[bool, float]:
        """The lowest is the best."""
        return self.sees_less, self.interval_s


class Memory:
    """One for each database, and one for each server, whose sections one database at a time brings along.

    `every_nth`: what is asked for in each nth cycle only; `was_dear`: this cycle asked for something that reads all
    there is, after which a session holds on to much memory of the server. Of a server: `rooms`, its databases, and
    `elsewhere`, where statements are read for those that cannot.
    """

    def __init__(self) -> None:
        self.every_nth: dict[str, int] = {}
        self.was_dear = False
        self.rooms = Rooms()
        self.elsewhere = Elsewhere()
        self._statements: dict[Hashable, Statements] = {}
        self._ran: dict[str, float] = {}
        self._ran_in: dict[str, int] = {}
        self._refused: dict[str, _Refusal] = {}
        self._cycles = 0
        self._run_of_server: tuple[str, bool] | None = None
        self._owner: _Owner | None = None
        self._comers: dict[str, float] = {}

    def claim(self, name: str, interval_s: float, now: float, *, sees_all: bool) -> bool:
        """Whether the database `name` is the one to ask for the server's sections in this cycle.

        `sees_all`: its role has pg_monitor. The first one stays it, unless another sees more, or as much and has a
        shorter interval; or it has not come for three of its own, or in vain (`leave`).
        """
        self._comers[name] = now + 3 * interval_s
        before, new = self._owner, _Owner(name, not sees_all, interval_s, now)
        if before and name != before.name:
            if new.rank >= before.rank and now - before.seen <= 3 * before.interval_s:
                return False
            if sees_all and before.sees_less:
                self._ran.clear()  # what that one could not see
        self._owner = new
        return True

    def leave(self, name: str) -> None:
        """The database cannot be reached: another is to tell of the server."""
        if self.owns(name):
            self._owner = None

    def owns(self, name: str) -> bool:
        """Whether the database `name` was the last one to ask for them."""
        return self._owner is not None and self._owner.name == name

    def comers(self) -> int:
        """How many databases claim it, each in its cycles."""
        now = time.monotonic()
        self._comers = {name: until for name, until in self._comers.items() if now < until}
        return len(self._comers)

    def statements(self, how: Hashable, limit: int, query_text: QueryText, now: float) -> Statements:
        """What is remembered by those who read statements in this way; what nobody asks for any more is forgotten."""
        used = {key: each for key, each in self._statements.items() if key == how or not each.is_idle(now)}
        self._statements = used
        return used.setdefault(how, Statements(limit, query_text))

    def begin_cycle(self, facts: Facts) -> None:
        """Count, for what is asked in each nth cycle only. Of another server, or another run of it, all is due."""
        self._cycles += 1
        self.was_dear = False
        run_of_server = facts.started, facts.in_recovery
        if self._run_of_server not in (None, run_of_server):
            self._ran.clear()
        self._run_of_server = run_of_server
        self._refused = {name: refusal for name, refusal in self._refused.items() if refusal.facts == facts}

    def is_due(self, part: Asked, now: float) -> bool:
        """Whether to ask for it in this cycle."""
        refusal = self._refused.get(part.name)
        if refusal and now >= refusal.until:
            del self._refused[part.name]
        elif refusal:
            return False
        if part.every_s:
            return now - self._ran.get(part.name, -part.every_s) >= part.every_s * (1 - _EARLY)
        ran_in = self._ran_in.get(part.name)
        return ran_in is None or self._cycles - ran_in >= self.every_nth.get(part.name, 1)

    def asked(self, part: Asked, error: DatabaseError | None, facts: Facts, now: float) -> None:
        """It was asked for. Where only a change can mend what went wrong, it is not asked for again soon."""
        self._ran[part.name], self._ran_in[part.name] = now, self._cycles
        self.was_dear |= part.every_s >= CADENCES_S["hourly"]
        if error and error.sqlstate in _REFUSED:
            self._refused[part.name] = _Refusal(failed(part.name, error, facts), facts, now + AGAIN_S)

    @property
    def refusals(self) -> list[CollectorError]:
        """What is not asked for now, and why."""
        return [refusal.error for refusal in self._refused.values()]
