"""Collects what is due from one database, once or by a routine, in a session that may be kept in between."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pgdoctor_lib.collectors import elsewhere, pgbouncer, plans, top_queries
from pgdoctor_lib.collectors.asking import NOT_PREPARED, ask, is_lost
from pgdoctor_lib.collectors.budget import Allowance, Budget
from pgdoctor_lib.collectors.json_text import NO_JSON, is_json
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.recorder import STEP_S, Recorder
from pgdoctor_lib.collectors.registry import Asked, sections
from pgdoctor_lib.collectors.remedies import failed, unprivileged
from pgdoctor_lib.collectors.rooms import Room
from pgdoctor_lib.collectors.schema_changes import SchemaChanges
from pgdoctor_lib.collectors.statements import Statements
from pgdoctor_lib.collectors.top_queries import TopQueries
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.connect import connect, reach
from pgdoctor_lib.postgres.refusals import is_full
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.postgres.session import Console, Session
from pgdoctor_lib.snapshot import Collected, CollectorError, Section

BUDGET_S = 60.0
REOPEN_S = 1.0  # for a session to look in between two cycles
RECORD_S = STEP_S + 0.2  # for all of a look, with that and with the cancel of what is given up: no cycle waits for it
KEPT_WITHIN_S = 60.0  # a session is kept from one cycle to the next at intervals up to this
LARGE_CHARS = 200_000  # in one answer: libpq keeps buffers as large as that for as long as a session is kept


@dataclass(frozen=True)
class Routine:
    """That a database is collected from again and again, each `interval_s`, as `name`.

    `server`: what is known of its server, shared by all who collect from that; `allowance`: what may be taken of the
    server's time; `patience_s`: for what is not asked in each cycle, else a quarter of the interval; `at_first_s`: the
    same at first, where the next cycle comes soon; `recorder`: the server's, for what happens between two cycles.
    """

    name: str
    interval_s: float
    server: Memory
    allowance: Allowance = field(default_factory=Allowance)
    patience_s: float | None = None
    at_first_s: float = math.inf
    recorder: Recorder = field(default_factory=Recorder)


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
        self._is_often = routine is not None and routine.interval_s <= KEPT_WITHIN_S
        self._keep = routine is not None
        self._may_reopen = False  # the session was given up merely because it had grown large
        self._recorder = routine.recorder if routine else Recorder()
        self._has_come = False
        self._memory = Memory()
        self._server = routine.server if routine else self._memory
        self._budget = Budget(routine.allowance, routine.interval_s, routine.server.comers) if routine else None
        self._schema_changes = SchemaChanges()
        self._room = self._server.rooms.room(self._at(dsn.dbname))

    def once(self, budget_s: float = BUDGET_S) -> Collected:
        """Collect what is due, within about `budget_s`. `DatabaseError`: the database cannot be examined at all."""
        with self._room.alone(budget_s / 2):
            come = self._come(budget_s)
        found = come.found
        if isinstance(found, list):  # only now: others may wait for this room, and we for theirs
            found = self._queries_elsewhere(come.session, found)
        if found is None:
            return come.collected
        changes = self._schema_changes.of(come.collected.sections)
        collected = _with(come.collected, found, changes)
        collected = self._recorder.with_section(collected, is_servers=come.server is not None)
        return self._within_budget(collected, come.server)

    def record(self) -> float:
        """Between two cycles: as `Recorder.look`, where this is the database that tells of its server."""
        if self._routine is None or not self._server.owns(self._routine.name):
            return math.inf
        try:
            with deadline(RECORD_S, "the recorder's look"):
                self._reopen()
                return self._recorder.look(self._room, self._query_text)
        except (DatabaseError, DeadlineExceeded):
            return math.inf  # the next cycle tells

    def close(self) -> None:
        """End the session that is kept: nothing is collected any more."""
        self._room.leave()

    def _reopen(self) -> None:
        """A session to look in, which the next cycle uses, too, in place of one that had grown large."""
        may, self._may_reopen = self._may_reopen, False
        if not may or self._recorder.lines is None:
            return
        with deadline(REOPEN_S, "the connection"), self._room.alone(REOPEN_S):
            session = connect(self._dsn, connect_timeout_s=REOPEN_S, total_s=REOPEN_S)
            session.prepares = self._is_often
            self._room.opened_at = time.monotonic()
            self._room.keep(session)

    def _come(self, budget_s: float) -> "_Come":
        """By the session that is kept, where it still serves."""
        if kept := self._room.take(time.monotonic()):
            try:
                return self._use(kept, budget_s)
            except DatabaseError as error:
                if not is_lost(error) and error.sqlstate != NOT_PREPARED:
                    raise
                self._keep = self._keep and error.sqlstate != NOT_PREPARED
        return self._afresh(budget_s)

    def _afresh(self, budget_s: float) -> "_Come":
        """The same in a new session."""
        self._room.opened_at = time.monotonic()
        try:
            session = reach(self._dsn, total_s=budget_s / 2)
        except (DatabaseError, DeadlineExceeded) as error:
            if self._routine:
                self._server.leave(self._routine.name)
            if is_full(error.message):
                self._server.rooms.refused(time.monotonic())
            raise
        if isinstance(session, Console):
            return _Come(pgbouncer.collect(session, budget_s / 2))
        session.prepares = self._keep and self._is_often
        return self._use(session, budget_s)

    def _use(self, session: Session, budget_s: float) -> "_Come":
        now = time.monotonic()
        server = self._server if self._claims(session, now) else None
        try:
            collected = run(session, budget_s, self._query_text, self._memory, server, self._patience_s())
            self._has_come = True
            collected = self._with_plans(session, collected, now)
            found = self._queries(session, budget_s - (time.monotonic() - now))
            if server:
                self._recorder.look_along(session, self._query_text)
        except BaseException:
            session.close()
            raise
        if self._may_keep(session, server):
            self._room.keep(session)
        else:
            session.close()
        return _Come(collected, found, server, session)

    def _claims(self, session: Session, now: float) -> bool:
        """Whether this database tells of its server in this cycle."""
        routine, sees_all = self._routine, session.facts.has_pg_monitor
        return routine is None or self._server.claim(routine.name, routine.interval_s, now, sees_all=sees_all)

    def _may_keep(self, session: Session, server: Memory | None) -> bool:
        was_dear = self._memory.was_dear or (server is not None and server.was_dear)
        was_dear |= session.largest_answer > LARGE_CHARS
        wanted = self._is_often or (server is not None and self._recorder.lines is not None)
        fits = self._keep and wanted and session.is_open and session.is_direct
        fits = fits and self._server.rooms.may_keep(session, time.monotonic())
        self._may_reopen = fits and was_dear
        return fits and not was_dear

    def _queries(self, session: Session, limit_s: float) -> TopQueries | list[str]:
        """What this session tells of statements, or the names of other databases that may have the extension.

        What goes wrong here costs no more than that, even where the session is lost.
        """
        facts, now = session.facts, time.monotonic()
        part = Asked(top_queries.NAME, ())
        if not facts.pg_stat_statements_loaded:
            return top_queries.unloaded(facts)
        if not self._memory.is_due(part, now):
            return TopQueries(None)  # the memory tells why
        try:
            if top_queries.readable(facts):
                return self._statements(session, session, limit_s)
            if self._remembered(session, now).has_fresh(self._name(session), now):
                return self._statements(session, None, limit_s)
            return elsewhere.candidates(session)
        except (DatabaseError, DeadlineExceeded) as error:
            failure = error if isinstance(error, DatabaseError) else DatabaseError(error.message)
            self._memory.asked(part, failure, facts, now)
            self._keep = self._keep and failure.sqlstate != NOT_PREPARED
            return TopQueries(None, (failed(top_queries.NAME, failure, facts),))

    def _queries_elsewhere(self, session: Session | None, databases: list[str]) -> TopQueries:
        """The same from another database of the server. `session`: the one that was here."""
        assert session is not None

        def read(there: Session) -> TopQueries:
            return self._statements(session, there, elsewhere.SEARCH_S)

        return self._server.elsewhere.read(databases, self._visit, read, session.facts)

    def _visit(self, dbname: str, use: Callable[[Session], TopQueries | None]) -> TopQueries | None:
        """Another database, by the session that is kept in it, if there is one and it still serves."""
        room = self._server.rooms.any_room(self._at(dbname))
        with room.alone(elsewhere.EACH_S):
            if kept := room.take(time.monotonic()):
                try:
                    return _used(kept, room, use)
                except DatabaseError as error:
                    if not is_lost(error):
                        raise
            with connect(self._dsn, dbname=dbname, connect_timeout_s=1, total_s=elsewhere.EACH_S) as session:
                return use(session)

    def _at(self, dbname: str) -> tuple[str, str | None]:
        """Which rooms: those of a role are its own."""
        return dbname, self._dsn.params.get("user")

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
        if not (self._explain and self._memory.is_due(part, now)):
            return collected
        try:
            found = plans.read(session, self._query_text)
        except DatabaseError as error:
            if is_lost(error):
                raise
            self._memory.asked(part, error, session.facts, now)
            return replace(collected, errors=(*collected.errors, failed(plans.NAME, error, session.facts)))
        self._memory.asked(part, None, session.facts, now)
        more = (found.section,) if found.section else ()
        return replace(collected, sections=(*collected.sections, *more), errors=(*collected.errors, *found.errors))

    def _patience_s(self) -> float:
        """For what is not asked in each cycle."""
        routine = self._routine
        if routine is None:
            return math.inf
        patience_s = routine.interval_s / 4 if routine.patience_s is None else routine.patience_s
        is_first = self._is_often and not self._has_come
        return min(patience_s, routine.at_first_s) if is_first else patience_s

    def _within_budget(self, collected: Collected, server: Memory | None) -> Collected:
        if self._budget is None:
            return collected
        self._budget.spent(collected.costs)
        self._memory.every_nth = self._budget.every_nth
        if server:
            server.every_nth = self._budget.every_nth
        error = self._budget.error
        return replace(collected, errors=(*collected.errors, error)) if error else collected


@dataclass(frozen=True)
class _Come:
    """What a visit brought. `found`: of statements, or where else to look for them; None where there are none."""

    collected: Collected
    found: TopQueries | list[str] | None = None
    server: Memory | None = None
    session: Session | None = None


def run(
    session: Session,
    budget_s: float,
    query_text: QueryText,
    memory: Memory,
    server: Memory | None,
    patience_s: float,
) -> Collected:
    """What is due by these memories, in this session, but for statements.

    `server`: for the server's sections, None where another database brings them along. A third of the time is for the
    one statement of what each cycle asks, half of it for what is asked alone; once that takes longer than `patience_s`,
    the rest is left to the next cycle. A collector that fails costs its own section. Raises `DatabaseError` when the
    connection is lost.
    """
    facts, now = session.facts, time.monotonic()
    asked = _due(facts, query_text, memory, server, now)
    answers = ask(session, asked, budget_s, patience_s)
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


def _due(facts: Facts, query_text: QueryText, memory: Memory, server: Memory | None, now: float) -> list[Asked]:
    memory.begin_cycle(facts)
    if server and server is not memory:
        server.begin_cycle(facts)
    parts = sections(facts, query_text)
    return [part for part in parts if (at := server if part.is_servers else memory) and at.is_due(part, now)]


def _with(collected: Collected, found: TopQueries, changes: Section | None) -> Collected:
    changed = () if changes is None else (changes,)
    queries = () if found.queries is None else (Section(top_queries.SECTION, found.queries),)
    costs = {**collected.costs, top_queries.NAME: found.cost} if found.cost else collected.costs
    # Statements first, next to `top_queries`: gzip, which looks back 32 kB, finds them there again.
    sections_now = (*queries, *collected.sections, *changed)
    before = (each for each in collected.errors if each.collector != top_queries.NAME or found.json is None)
    errors = tuple(dict.fromkeys([*before, *found.errors]))  # what was refused is told once
    return replace(collected, sections=sections_now, top_queries=found.json, errors=errors, costs=costs)


def _used(kept: Session, room: Room, use: Callable[[Session], TopQueries | None]) -> TopQueries | None:
    """What comes of the session, which stays in the room if all went well."""
    try:
        found = use(kept)
    except BaseException:
        kept.close()
        raise
    if kept.is_open:
        room.keep(kept)
    return found


def _json_of(text: str | None) -> str:
    """A section's text without the number of rows that it begins with."""
    return (text or "").partition(" ")[2] or "null"
