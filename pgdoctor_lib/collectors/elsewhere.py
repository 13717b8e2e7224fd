"""Where on a server pg_stat_statements can be read, for those of its databases that lack it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from pgdoctor_lib.collectors.registry import query
from pgdoctor_lib.collectors.remedies import create
from pgdoctor_lib.collectors.top_queries import NAME, STATEMENT_TIMEOUT_S, TopQueries, nothing, readable
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.postgres.session import Session
from pgdoctor_lib.secret import one_line

SEARCH_S = 5.0  # for all the databases that might have the extension together: they answer soon, or hold up the cycle
EACH_S = SEARCH_S / 3  # for one of them, until whoever is in it leaves, and to connect
AGAIN_S = 300.0  # until it is searched for again where it was not found; then it may have been created
FOUND_S = 3600.0

Visit = Callable[[str, Callable[[Session], TopQueries | None]], TopQueries | None]
"""Has a session in the database of that name used, and hands on what comes of it."""


@dataclass(frozen=True)
class _Place:
    """Where the extension was found (None: nowhere, and `why`), and until when that is believed (monotonic)."""

    dbname: str | None
    until: float
    why: str = ""


class Elsewhere:
    """For one server and role: what one database's search found, the others need not search for."""

    def __init__(self) -> None:
        self._place: _Place | None = None

    def read(
        self, databases: list[str], visit: Visit, read: Callable[[Session], TopQueries], facts: Facts
    ) -> TopQueries:
        """What `read` finds in another database: the first that has the extension and lets us in.

        `facts`: of the database that lacks it.
        """
        now, before = time.monotonic(), self._place
        place = before if before and now < before.until else None
        if place and place.dbname is None:
            return nothing(place.why, create(facts))
        failures: list[str] = []
        try:
            with deadline(SEARCH_S, "the search for pg_stat_statements"):
                for dbname in databases if place is None else [place.dbname]:
                    if found := _in(str(dbname), visit, read, failures):
                        self._place = place or _Place(dbname, now + FOUND_S)
                        return found
        except DeadlineExceeded as error:
            failures.append(error.message)
        if self._place is before:  # else another found it, or searched in vain, meanwhile
            # Where it has gone from its place, or is not to be had there now, the next cycle searches.
            self._place = None if place else _Place(None, now + AGAIN_S, _why(failures))
        return nothing(_why(failures), create(facts))


def candidates(session: Session) -> list[str]:
    """The names of the server's databases that may have the extension."""
    with session.transaction(STATEMENT_TIMEOUT_S):
        rows = session.query(query(f"{NAME}.elsewhere").sql(session.facts.has))
    return [row[0] for row in rows if len(row) == 1 and row[0]]


def _in(dbname: str, visit: Visit, read: Callable[[Session], TopQueries], failures: list[str]) -> TopQueries | None:
    try:
        return visit(dbname, lambda session: read(session) if readable(session.facts) else None)
    except (DatabaseError, DeadlineExceeded) as error:
        failures.append(one_line(f"{dbname}: {error.message}", 200))
        return None


def _why(failures: list[str]) -> str:
    if failures:
        return f"pg_stat_statements is loaded, but not here, and could not be looked for everywhere ({failures[0]})"
    return "pg_stat_statements is loaded, but an extension of no database that can be read"
