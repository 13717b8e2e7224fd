"""What one database, or one server, was asked and when; what is not worth asking again; what it costs."""

from collections.abc import Hashable
from dataclasses import dataclass

from pgdoctor_lib.collectors.registry import CADENCES_S, Asked
from pgdoctor_lib.collectors.remedies import failed
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


class Memory:
    """One for each database, and one for each server, whose sections one database at a time brings along.

    `every_nth`: what is asked for in each nth cycle only; `was_dear`: this cycle asked for something that reads all
    there is, after which a session holds on to much memory of the server.
    """

    def __init__(self) -> None:
        self.every_nth: dict[str, int] = {}
        self.was_dear = False
        self._statements: dict[Hashable, Statements] = {}
        self._ran: dict[str, float] = {}
        self._refused: dict[str, _Refusal] = {}
        self._cycles = -1
        self._owner: tuple[str, float, float] | None = None

    def claim(self, name: str, interval_s: float, now: float) -> bool:
        """Whether the database `name` is the one to ask for the server's sections in this cycle.

        The first one stays it, unless another has a shorter interval, or it has not come for three of its own.
        """
        if self._owner:
            owner, owners_interval_s, seen = self._owner
            if name != owner and interval_s >= owners_interval_s and now - seen <= 3 * owners_interval_s:
                return False
        self._owner = name, interval_s, now
        return True

    def statements(self, how: Hashable, limit: int, query_text: QueryText, now: float) -> Statements:
        """What is remembered by those who read statements in this way; what nobody asks for any more is forgotten."""
        used = {key: each for key, each in self._statements.items() if key == how or not each.is_idle(now)}
        self._statements = used
        return used.setdefault(how, Statements(limit, query_text))

    def begin_cycle(self) -> None:
        """Count, for what is asked in each nth cycle only."""
        self._cycles += 1
        self.was_dear = False

    def is_due(self, part: Asked, facts: Facts, now: float) -> bool:
        """Whether to ask for it in this cycle."""
        refusal = self._refused.get(part.name)
        if refusal and (now >= refusal.until or refusal.facts != facts):
            del self._refused[part.name]
        elif refusal:
            return False
        if part.every_s:
            return now - self._ran.get(part.name, -part.every_s) >= part.every_s * (1 - _EARLY)
        return self._cycles % self.every_nth.get(part.name, 1) == 0

    def asked(self, part: Asked, error: DatabaseError | None, facts: Facts, now: float) -> None:
        """It was asked for. Where only a change can mend what went wrong, it is not asked for again soon."""
        self._ran[part.name] = now
        self.was_dear |= part.every_s >= CADENCES_S["hourly"]
        if error and error.sqlstate in _REFUSED:
            self._refused[part.name] = _Refusal(failed(part.name, error, facts), facts, now + AGAIN_S)

    @property
    def refusals(self) -> list[CollectorError]:
        """What is not asked for now, and why."""
        return [refusal.error for refusal in self._refused.values()]
