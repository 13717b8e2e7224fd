"""What is remembered of a server's statements: one reading serves several of its databases, mostly without texts.

pg_stat_statements is one list for the whole server. To read it for each database would cost the server as many times
the whole of it; so whoever finds nothing fresh for itself reads for others, too, whose turn comes next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from pgdoctor_lib.collectors import top_queries
from pgdoctor_lib.collectors.known import Known
from pgdoctor_lib.collectors.top_queries import STATEMENT_TIMEOUT_S, Part, Reading, TopQueries
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.postgres.session import Session, senseless
from pgdoctor_lib.snapshot import Cost

MOST = 25  # databases in one reading: what came waits in memory
OLD = 0.25  # the share of its interval that a reading may be old by for a database
OLD_S = 15.0  # and no older
GONE = 3.0  # so many intervals after it came, a database is read for no more
PATIENCE_S = 0.25  # what a database waits for another that is reading for it, and may hang
DEAR_MS = 100.0  # of one database's share: then texts are asked for once in `DEAR_S` at most
DEAR_S = 300.0
APART_S = 600.0  # after a reading for several failed, each of them reads for itself
_UNTRANSLATABLE = ("22021", "22P05")
_UNDEFINED_FUNCTION = "42883"  # a conversion is one, too
_UNTRANSLATABLE_S = 3600.0


@dataclass
class _Database:
    """Whoever collects from database `oid`, and reads in this way.

    `wordings`: the texts of its top queries, by queryid, each as JSON; `own`: queryids of PGDoctor's own statements.
    """

    oid: int
    came: float
    interval_s: float
    known: Known = field(default_factory=Known)
    wordings: Mapping[str, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    texts_read: float | None = None
    texts_ms: float = 0.0
    apart_until: float = 0.0
    waiting: tuple[Part, Cost] | None = None
    waiting_since: float = 0.0
    waiting_tells: bool = False  # texts that it has not been told before
    coming: Event | None = None  # somebody else reads for it

    @property
    def fresh_s(self) -> float:
        """How old a reading may be for it."""
        return min(OLD * self.interval_s, OLD_S)

    def is_next(self, now: float) -> bool:
        """Whether its turn comes so soon that what is read now will do, and it has nothing fresh yet."""
        soon = self.came + self.interval_s - now <= self.fresh_s
        return soon and now >= self.apart_until and self.coming is None and not self.has_fresh(now)

    def has_fresh(self, now: float) -> bool:
        """Whether what waits for it will do."""
        return self.waiting is not None and now - self.waiting_since <= self.fresh_s

    def lacks(self, part: Part, now: float) -> bool:
        """Whether there are statements in it whose texts it has not been told, and may ask for now."""
        is_dear = self.texts_ms > DEAR_MS and self.texts_read is not None and now - self.texts_read < DEAR_S
        return not is_dear and not (part.queryids <= self.known.ids(now) and self.wordings.keys() >= part.fingerprints)

    def put(self, part: Part, cost: Cost, now: float, *, texts: bool) -> None:
        """What was read for it waits for it. `texts`: with texts."""
        if texts:
            self.known.add(part.queryids - part.postponed, now)
            self.wordings, self.own = part.wordings, part.own
            self.texts_read, self.texts_ms = now, cost.ms
        self.waiting, self.waiting_since, self.waiting_tells = (part.with_texts(self.wordings), cost), now, texts

    def drop(self) -> None:
        """What waits has grown old. Texts that it would have told are still to be told."""
        if self.waiting and self.waiting_tells:
            self.known.forget()
        self.waiting = None

    def take(self) -> tuple[Part, Cost]:
        """What waits for it. Raises `DatabaseError` where nothing came."""
        if self.waiting is None:
            raise senseless()
        taken, self.waiting = self.waiting, None
        return taken


class Statements:
    """For all who collect from a server's databases, and are to read as the same role, in the same way."""

    def __init__(self, limit: int, query_text: QueryText) -> None:
        self._limit, self._query_text = limit, query_text
        self._databases: dict[str, _Database] = {}
        self._textless_until = 0.0

    def is_idle(self, now: float) -> bool:
        """Whether nobody comes any more."""
        return all(now - one.came > GONE * one.interval_s for one in self._databases.values())

    def has_fresh(self, name: str, now: float) -> bool:
        """Whether `of` would need no session."""
        return name in self._databases and self._databases[name].has_fresh(now)

    def of(
        self, name: str, facts: Facts, interval_s: float, now: float, read_in: Session | None, limit_s: float
    ) -> TopQueries:
        """The statements of the database that `facts` are of, which `name` collects from.

        Where no reading brought them lately, they are read in the session `read_in`, within about `limit_s`. Raises
        `DatabaseError`, `DeadlineExceeded`.
        """
        one = self._databases.get(name)
        if one is None or one.oid != facts.db_oid:
            one = self._databases[name] = _Database(facts.db_oid, now, interval_s)
        one.came, one.interval_s = now, interval_s
        if one.coming:
            one.coming.wait(PATIENCE_S)
            one.coming = None
        if read_in and not one.has_fresh(now):
            self._read_for(name, read_in, now, limit_s)
        part, cost = one.take()
        errors = [top_queries.textless(facts)] if now < self._textless_until else []
        return top_queries.answered(part, facts, errors, cost)

    def _next(self, name: str, now: float) -> list[str]:
        """The others whose turn is next, each of another database."""
        here = {each: one for each, one in self._databases.items() if now - one.came <= GONE * one.interval_s}
        self._databases = here
        if now < here[name].apart_until:
            return []
        turns = sorted((one.came, each) for each, one in here.items() if each != name and one.is_next(now))
        by_oid = {here[each].oid: each for _, each in reversed(turns)}
        by_oid.pop(here[name].oid, None)
        return list(by_oid.values())[-(MOST - 1) :]

    def _read_for(self, name: str, session: Session, now: float, limit_s: float) -> None:
        """Those of the others that come meanwhile wait for it, for a moment; who lost patience gets nothing of it."""
        others, arrived = self._next(name, now), Event()
        asked = {each: self._databases[each] for each in (name, *others)}
        for each, one in asked.items():
            one.drop()
            one.coming = None if each == name else arrived
        try:
            reading, texts = self._read_together(name, asked, session, now, limit_s)
            for each, one in asked.items():
                if (each == name or one.coming is arrived) and (part := reading.parts.get(one.oid)):
                    one.put(part, reading.cost, now, texts=texts)
        finally:
            for each in others:
                asked[each].coming = None if asked[each].coming is arrived else asked[each].coming
            arrived.set()

    def _read_together(
        self, name: str, asked: Mapping[str, _Database], session: Session, now: float, limit_s: float
    ) -> tuple[Reading, bool]:
        """For all; where that fails, for `name` alone, and for a while nobody reads for others: one may spoil it."""
        try:
            return self._read_all(asked, session, now, limit_s)
        except (DatabaseError, DeadlineExceeded):
            if len(asked) == 1 or not session.is_open:
                raise
        for one in asked.values():
            one.apart_until = now + APART_S
        return self._read_all({name: asked[name]}, session, now, limit_s)

    def _read_all(
        self, asked: Mapping[str, _Database], session: Session, now: float, limit_s: float
    ) -> tuple[Reading, bool]:
        """Without texts, unless it is the first time; with them where that shows that some are missing."""
        may = now >= self._textless_until
        first = may and any(one.texts_read is None for one in asked.values())
        reading, texts = self._read(asked, session, now, limit_s, texts=first)
        by_oid = {one.oid: one for one in asked.values()}
        if may and not first and any(by_oid[oid].lacks(part, now) for oid, part in reading.parts.items()):
            spent = reading.cost
            reading, texts = self._read(asked, session, now, limit_s, texts=True)
            reading = replace(reading, cost=replace(reading.cost, ms=round(spent.ms + reading.cost.ms, 3)))
        return reading, texts

    def _read(
        self, asked: Mapping[str, _Database], session: Session, now: float, limit_s: float, *, texts: bool
    ) -> tuple[Reading, bool]:
        """One statement, for all that are asked for. Whether the texts came: some encodings lack some."""
        own = {one.oid: one.own for one in asked.values()}
        told = {one.oid: one.known.ids(now) for one in asked.values()} if texts else None
        timeout_s = min(STATEMENT_TIMEOUT_S, limit_s)
        try:
            return top_queries.read(session, own, self._limit, self._query_text, told, timeout_s), texts
        except DatabaseError as error:
            if told is None or not _is_untranslatable(error, session.facts):
                raise
        self._textless_until = now + _UNTRANSLATABLE_S
        return top_queries.read(session, own, self._limit, self._query_text, None, timeout_s), False


def _is_untranslatable(error: DatabaseError, facts: Facts) -> bool:
    """Whether some text cannot be written in this encoding, or no text of another one can.

    Of the latter, the message names both encodings, in quotes that are each language's own.
    """
    lacks_conversion = error.sqlstate == _UNDEFINED_FUNCTION and facts.server_encoding in error.message
    return lacks_conversion or error.sqlstate in _UNTRANSLATABLE
