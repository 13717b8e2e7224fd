"""Runs what is due against one database: together in one statement, or, where that fails, each on its own."""

import math
import time
from dataclasses import dataclass, field, replace

from pgdoctor_lib.collectors import pgbouncer, plans, top_queries
from pgdoctor_lib.collectors.budget import Allowance, Budget
from pgdoctor_lib.collectors.json_text import NO_JSON, is_json
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.registry import Asked, sections, statement, took_ms
from pgdoctor_lib.collectors.remedies import failed, unprivileged
from pgdoctor_lib.collectors.statements import Statements
from pgdoctor_lib.collectors.top_queries import TopQueries
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.connect import reach
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.postgres.session import Console, Row, Session
from pgdoctor_lib.snapshot import Collected, CollectorError, Cost, Section

BUDGET_S = 60.0
TOGETHER_S = 10.0
ALONE_S = 10.0
KEPT_WITHIN_S = 60.0  # a session is kept from one cycle to the next at intervals up to this
KEPT_S = 600.0  # and so long, at most: what is learnt at its beginning grows old, and its memory on the server grows
LARGE_CHARS = 200_000  # in one answer: libpq keeps buffers as large as that for as long as a session is kept
_LOST = ("", "57P01", "57P02", "57P03")  # no SQLSTATE: the connection broke; the server is going down
_CHANGED = "08000"  # what is known of the server is no longer true: another session is needed
_NOT_PREPARED = "26000"  # a pooler that had looked like none


@dataclass(frozen=True)
class Routine:
    """That a database is collected from again and again, each `interval_s`, as `name`.

    `server`: what is known of its server, shared by all who collect from that; `allowance`: what may be taken of the
    server's time.
    """

    name: str
    interval_s: float
    server: Memory
    allowance: Allowance = field(default_factory=Allowance)


class Collecting:
    """One database's collecting: once, or by a routine. `query_text`: what is told of queries' texts.

    `explain`: whether plans are asked for, too.
    """

    def __init__(
        self,
        dsn: Dsn,
        limit: int,
        query_text: QueryText = "masked",
        routine: Routine | None = None,
        *,
        explain: bool = False,
    ) -> None:
        self._dsn, self._limit, self._query_text = dsn, limit, query_text
        self._explain = explain
        self._routine = routine
        self._keep = routine is not None and routine.interval_s <= KEPT_WITHIN_S
        self._patience_s = routine.interval_s / 4 if routine else math.inf
        self._memory = Memory()
        self._server = routine.server if routine else self._memory
        self._budget = Budget(routine.allowance, routine.interval_s) if routine else None
        self._session: Session | None = None
        self._opened_at = 0.0

    def once(self, budget_s: float = BUDGET_S) -> Collected:
        """Collect what is due, within about `budget_s`. `DatabaseError`: the database cannot be examined at all."""
        kept, self._session = self._session, None
        if kept and time.monotonic() - self._opened_at < KEPT_S:
            try:
                return self._use(kept, budget_s)
            except DatabaseError as error:
                if not is_lost(error) and error.sqlstate != _NOT_PREPARED:
                    raise
                self._keep = self._keep and error.sqlstate != _NOT_PREPARED
        elif kept:
            kept.close()
        self._opened_at = time.monotonic()
        session = reach(self._dsn, total_s=budget_s / 2)
        if isinstance(session, Console):
            return pgbouncer.collect(session, budget_s / 2)
        session.prepares = self._keep
        return self._use(session, budget_s)

    def close(self) -> None:
        """End the session that is kept."""
        if self._session:
            self._session.close()
            self._session = None

    def _use(self, session: Session, budget_s: float) -> Collected:
        now = time.monotonic()
        routine = self._routine
        claimed = routine is None or self._server.claim(routine.name, routine.interval_s, now)
        server = self._server if claimed else None
        try:
            collected = run(session, budget_s, self._query_text, self._memory, server, self._patience_s)
            collected = self._with_plans(session, collected, now)
            found = self._queries(session, budget_s - (time.monotonic() - now))
        except BaseException:
            session.close()
            raise
        was_dear = self._memory.was_dear or (server is not None and server.was_dear)
        was_dear |= session.largest_answer > LARGE_CHARS
        if self._keep and session.is_open and session.is_direct and not was_dear:
            self._session = session
        else:
            session.close()
        if isinstance(found, list):
            found = self._queries_elsewhere(session, found)
        return self._within_budget(_with(collected, found), server)

    def _queries(self, session: Session, limit_s: float) -> TopQueries | list[str]:
        """What this session tells of statements, or the names of other databases that may have the extension.

        What goes wrong here costs no more than that, even where the session is lost.
        """
        facts, now = session.facts, time.monotonic()
        part = Asked(top_queries.NAME, ())
        if not facts.pg_stat_statements_loaded:
            return top_queries.unloaded(facts)
        if not self._memory.is_due(part, facts, now):
            return TopQueries(None)  # the memory tells why
        try:
            if top_queries.readable(facts):
                return self._statements(session, session, limit_s)
            if self._remembered(session, now).has_fresh(self._name(session), now):
                return self._statements(session, None, limit_s)
            return top_queries.candidates(session)
        except (DatabaseError, DeadlineExceeded) as error:
            failure = error if isinstance(error, DatabaseError) else DatabaseError(error.message)
            self._memory.asked(part, failure, facts, now)
            self._keep = self._keep and failure.sqlstate != _NOT_PREPARED
            return TopQueries(None, (failed(top_queries.NAME, failure, facts),))

    def _queries_elsewhere(self, session: Session, databases: list[str]) -> TopQueries:
        """The same from another database of the server."""

        def read(there: Session) -> TopQueries:
            return self._statements(session, there, top_queries.SEARCH_S)

        return top_queries.elsewhere(databases, self._dsn, read, session.facts)

    def _statements(self, session: Session, read_in: Session | None, limit_s: float) -> TopQueries:
        """Of this session's database, where they are to be read in the other one."""
        now, interval_s = time.monotonic(), self._routine.interval_s if self._routine else 0.0
        remembered = self._remembered(session, now)
        return remembered.of(self._name(session), session.facts, interval_s, now, read_in, limit_s / 3)

    def _remembered(self, session: Session, now: float) -> Statements:
        """By all who read in this way at the session's server; where a pooler is in between, by this database alone."""
        facts = session.facts
        memory = self._server if session.is_direct else self._memory
        server = (*session.address, facts.started)
        how = (server, facts.role, facts.extensions.get(top_queries.EXTENSION), facts.server_encoding)
        return memory.statements((*how, self._limit, self._query_text), self._limit, self._query_text, now)

    def _name(self, session: Session) -> str:
        return self._routine.name if self._routine else session.facts.db_name

    def _with_plans(self, session: Session, collected: Collected, now: float) -> Collected:
        part = Asked(plans.NAME, (), plans.EVERY_S)
        if not (self._explain and self._memory.is_due(part, session.facts, now)):
            return collected
        found = plans.read(session, self._query_text)
        self._memory.asked(part, None, session.facts, now)
        more = (found.section,) if found.section else ()
        return replace(collected, sections=(*collected.sections, *more), errors=(*collected.errors, *found.errors))

    def _within_budget(self, collected: Collected, server: Memory | None) -> Collected:
        if self._budget is None:
            return collected
        self._budget.spent(collected.costs)
        self._memory.every_nth = self._budget.every_nth
        if server:
            server.every_nth = self._budget.every_nth
        error = self._budget.error
        return replace(collected, errors=(*collected.errors, error)) if error else collected


def collect(dsn: Dsn, limit: int, budget_s: float = BUDGET_S, query_text: QueryText = "masked") -> Collected:
    """Connect, collect everything, disconnect, within about `budget_s`. Raises as `Collecting.once`."""
    return Collecting(dsn, limit, query_text).once(budget_s)


def run(
    session: Session,
    budget_s: float = BUDGET_S,
    query_text: QueryText = "masked",
    memory: Memory | None = None,
    server: Memory | None = None,
    patience_s: float = math.inf,
) -> Collected:
    """What is due by these memories, in this session, but for statements; without any: everything.

    `server`: for the server's sections, None where another database brings them along. A third of the time is for the
    one statement of what each cycle asks, half of it for what is asked alone; once that takes longer than `patience_s`,
    the rest is left to the next cycle. A collector that fails costs its own section. Raises `DatabaseError` when the
    connection is lost.
    """
    if memory is None:
        memory = server = Memory()
    facts, now = session.facts, time.monotonic()
    asked = _due(facts, query_text, memory, server, now)
    answers = _ask(session, asked, budget_s, patience_s)
    errors = [failed(name, error, facts) for name, error in answers.failures.items()]
    errors += [*memory.refusals, *(server.refusals if server and server is not memory else ())]
    for part in asked:
        at = server if part.is_servers else memory
        if at and part.name in answers.rows.keys() | answers.failures.keys():
            at.asked(part, answers.failures.get(part.name), facts, now)
    if not facts.has_pg_monitor:
        errors.append(unprivileged(facts))
    found = {name: _json_of(row[0]) for name, row in answers.rows.items()}
    spoiled = [name for name, text in found.items() if not is_json(text, "{n")]
    errors += [CollectorError(name, NO_JSON) for name in spoiled]
    whole = tuple(Section(name, text) for name, text in found.items() if name not in spoiled)
    return Collected(facts.db_name, facts.version, whole, None, tuple(errors), answers.costs)


@dataclass
class _Answers:
    """By a part's name: the row that it brought, what it cost, or why it failed."""

    rows: dict[str, Row] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    failures: dict[str, DatabaseError] = field(default_factory=dict)

    def add(self, part: Asked, row: Row, before: str | None, after: str | None) -> None:
        """The server's clock in milliseconds, before and after."""
        self.rows[part.name] = row
        count, _, _ = (row[0] or "").partition(" ")
        size = sum(len(text or "") for text in row)
        self.costs[part.name] = Cost(took_ms(before, after), int(count) if count.isdigit() else 0, size)


def _due(facts: Facts, query_text: QueryText, memory: Memory, server: Memory | None, now: float) -> list[Asked]:
    memory.begin_cycle()
    if server and server is not memory:
        server.begin_cycle()
    parts = sections(facts, query_text)
    return [part for part in parts if (at := server if part.is_servers else memory) and at.is_due(part, facts, now)]


def _ask(session: Session, asked: list[Asked], budget_s: float, patience_s: float) -> _Answers:
    """What each cycle asks, together; the rest alone: it takes longer, and some of it locks until it commits."""
    answers = _Answers()
    quick, dear = ([part for part in asked if bool(part.every_s) is seldom] for seldom in (False, True))
    alone_s = min(ALONE_S, budget_s / 2 / max(1, len(asked)))
    try:
        if quick:
            _together(session, quick, min(TOGETHER_S, budget_s / 3), answers)
    except DatabaseError as error:
        if is_lost(error) or error.sqlstate == _NOT_PREPARED:
            raise
        for part in quick:
            _alone(session, part, alone_s, answers)
    until = time.monotonic() + patience_s
    for number, part in enumerate(dear):
        if number == 0 or time.monotonic() < until:
            _alone(session, part, alone_s, answers)
    return answers


def _together(session: Session, asked: list[Asked], timeout_s: float, answers: _Answers) -> None:
    """All parts in one round trip."""
    text, width = statement(tuple(asked)), sum(len(part.columns) + 1 for part in asked) + 2
    row = session.ask(text, width, timeout_s, again=True)
    if row[-1] != str(session.facts.in_recovery).lower():
        raise DatabaseError("the server's role changed: it was promoted", sqlstate=_CHANGED)
    start = 0
    for part in asked:
        end = start + 1 + len(part.columns)
        answers.add(part, row[start + 1 : end], row[start], row[end])
        start = end


def _alone(session: Session, part: Asked, timeout_s: float, answers: _Answers) -> None:
    """A part in a transaction of its own."""
    try:
        before, *row, after, _ = session.ask(statement((part,)), len(part.columns) + 3, timeout_s)
        answers.add(part, tuple(row), before, after)
    except DatabaseError as error:
        if is_lost(error):
            raise
        answers.failures[part.name] = error


def _with(collected: Collected, found: TopQueries) -> Collected:
    queries = () if found.queries is None else (Section(top_queries.SECTION, found.queries),)
    costs = {**collected.costs, top_queries.NAME: found.cost} if found.cost else collected.costs
    sections_now, errors = (*collected.sections, *queries), (*collected.errors, *found.errors)
    return replace(collected, sections=sections_now, top_queries=found.json, errors=errors, costs=costs)


def _json_of(text: str | None) -> str:
    """A section's text without the number of rows that it begins with."""
    return (text or "").partition(" ")[2] or "null"


def is_lost(error: DatabaseError) -> bool:
    """Whether the session is gone."""
    return error.sqlstate in _LOST or error.sqlstate.startswith("08")
