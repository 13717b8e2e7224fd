"""What is remembered of a server's statements: one reading serves several of its databases, mostly without texts.

pg_stat_statements is one list for the whole server. To read it for each database would cost the server as many times
the whole of it; so whoever finds nothing fresh for itself reads for others, too, whose turn comes next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from pgdoctor_lib.collectors import top_queries
from pgdoctor_lib.collectors.known import Known
from pgdoctor_lib.collectors.top_queries import Part, Reading, TopQueries
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.session import Session
from pgdoctor_lib.snapshot import Cost

MOST = 20  # databases in one reading: what came waits in memory
OLD = 0.25  # the share of its interval that a reading may be old by for a database
GONE = 3.0  # so many intervals after it came, a database is read for no more
PATIENCE_S = 0.25  # what a database waits for another that is reading for it, and may hang
DEAR_MS = 100.0  # reading the texts takes longer: then they are asked for once in `DEAR_S` at most
DEAR_S = 300.0
_MOST_OWN = 1000
_UNTRANSLATABLE = ("22021", "22P05")
_UNTRANSLATABLE_S = 3600.0


@dataclass
class _Database:
    """One that reads in this way. `wordings`: the texts of its top queries, by queryid, each as JSON."""

    came: float
    interval_s: float
    known: Known = field(default_factory=Known)
    wordings: Mapping[str, str] = field(default_factory=dict)
    texts_read: float | None = None
    waiting: Part | None = None
    waiting_since: float = 0.0
    waiting_tells: bool = False
    coming: Event | None = None  # somebody else reads for it

    def is_next(self, now: float) -> bool:
        """Whether its turn comes so soon that what is read now will do, and it has nothing fresh yet."""
        soon = self.came + self.interval_s - now <= OLD * self.interval_s
        return soon and self.coming is None and not self.has_fresh(now)

    def has_fresh(self, now: float) -> bool:
        """Whether what waits for it will do."""
        return self.waiting is not None and now - self.waiting_since <= OLD * self.interval_s

    def put(self, part: Part, now: float, *, tells: bool) -> None:
        """What waits for it. `tells`: with texts that it has not been told before."""
        self.waiting, self.waiting_since, self.waiting_tells = part.with_texts(self.wordings), now, tells

    def drop(self) -> None:
        """What waits has grown old. Texts that it would have told are still to be told."""
        if self.waiting and self.waiting_tells:
            self.known.forget()
            self.texts_read = None
        self.waiting = None

    def lacks(self, part: Part, now: float) -> bool:
        """Whether there are statements in it whose texts it has not been told."""
        return not (part.queryids <= self.known.ids(now) and self.wordings.keys() >= part.fingerprints)


class Statements:
    """For all databases of a server that are read as the same role, in the same way."""

    def __init__(self, limit: int, query_text: QueryText) -> None:
        self._limit, self._query_text = limit, query_text
        self._databases: dict[str, _Database] = {}
        self._own: frozenset[str] = frozenset()
        self._texts_ms = 0.0
        self._textless_until = 0.0

    def of(self, name: str, interval_s: float, session: Session, now: float) -> TopQueries:
        """The statements of database `name`, read in this session where no reading brought them lately.

        Raises `DatabaseError`, `DeadlineExceeded`.
        """
        one = self._databases.setdefault(name, _Database(now, interval_s))
        one.came, one.interval_s = now, interval_s
        cost = None
        if one.coming:
            one.coming.wait(PATIENCE_S)
        if not one.has_fresh(now):
            cost = self._read_for(name, self._next(name, now), session, now)
        part, one.waiting = one.waiting, None
        if part is None:
            raise DatabaseError("the server does not know this database by its name")
        errors = [top_queries.textless(session.facts)] if now < self._textless_until else []
        return top_queries.answered(part, session.facts, errors, cost)

    def _next(self, name: str, now: float) -> list[str]:
        """The other databases whose turn is next."""
        here = {each: one for each, one in self._databases.items() if now - one.came <= GONE * one.interval_s}
        self._databases = here
        turns = sorted((one.came, each) for each, one in here.items() if each != name and one.is_next(now))
        return [each for _, each in turns[: MOST - 1]]

    def _read_for(self, name: str, others: list[str], session: Session, now: float) -> Cost:
        """Those of the others that come meanwhile wait for it, for a moment."""
        arrived = Event()
        asked = {each: self._databases[each] for each in (name, *others)}
        for each in others:
            asked[each].coming = arrived
        try:
            return self._read_all(asked, session, now)
        finally:
            for each in others:
                asked[each].coming = None
            arrived.set()

    def _read_all(self, asked: Mapping[str, _Database], session: Session, now: float) -> Cost:
        """Without texts, unless it is the first time; and with them where that shows that some are missing."""
        for one in asked.values():
            one.drop()
        texts = any(one.texts_read is None for one in asked.values())
        reading = self._read(asked, session, now, texts=texts)
        cost = reading.cost
        if not texts and any(self._wants_texts(asked[name], part, now) for name, part in reading.parts.items()):
            texts = True
            reading = self._read(asked, session, now, texts=True)
            cost = replace(reading.cost, ms=round(cost.ms + reading.cost.ms, 3))
        for name, part in reading.parts.items():
            if asked[name].came <= now:  # it has not read for itself meanwhile
                asked[name].put(part, now, tells=texts)
        return cost

    def _wants_texts(self, one: _Database, part: Part, now: float) -> bool:
        dear = self._texts_ms > DEAR_MS and one.texts_read is not None and now - one.texts_read < DEAR_S
        return not dear and one.lacks(part, now)

    def _read(self, asked: Mapping[str, _Database], session: Session, now: float, *, texts: bool) -> Reading:
        """One statement, for all that are asked for."""
        told = (
            {name: one.known.ids(now) for name, one in asked.items()} if now >= self._textless_until and texts else None
        )
        try:
            reading = top_queries.read(session, list(asked), self._limit, self._query_text, self._own, told)
        except DatabaseError as error:
            if told is None or error.sqlstate not in _UNTRANSLATABLE:
                raise
            self._textless_until = now + _UNTRANSLATABLE_S
            return self._read(asked, session, now, texts=texts)
        if texts:
            self._learn(asked, reading, now)
        return reading

    def _learn(self, asked: Mapping[str, _Database], reading: Reading, now: float) -> None:
        """Remember what was told, and which statements are PGDoctor's own."""
        self._texts_ms = reading.cost.ms
        if len(self._own) < _MOST_OWN:
            self._own |= reading.own
        for name, part in reading.parts.items():
            one = asked[name]
            one.known.add(part.queryids - part.postponed, now)
            one.wordings, one.texts_read = part.wordings, now
