"""Runs what is due against one database: together in one statement, or, where that fails, each on its own."""

from dataclasses import replace

from pgdoctor_lib.collectors import top_queries
from pgdoctor_lib.collectors.json_text import NO_JSON, is_json
from pgdoctor_lib.collectors.registry import Asked, sections
from pgdoctor_lib.collectors.remedies import failed, unprivileged
from pgdoctor_lib.collectors.top_queries import TopQueries
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.connect import Row, Session, connect
from pgdoctor_lib.snapshot import Collected, CollectorError, Section

BUDGET_S = 60.0
TOGETHER_S = 10.0
ALONE_S = 5.0
_LOST = ("", "57P01", "57P02", "57P03")  # no SQLSTATE: the connection broke; the server is going down


def collect(dsn: Dsn, limit: int, budget_s: float = BUDGET_S, query_text: QueryText = "masked") -> Collected:
    """Connect, collect, disconnect, within about `budget_s`. `query_text`: what is told of queries' texts.

    Raises `DatabaseError` where the database cannot be examined at all.
    """
    with connect(dsn, total_s=budget_s / 2) as session:
        collected = run(session, limit, budget_s, query_text)
        if not session.facts.pg_stat_statements_loaded or top_queries.readable(session.facts):
            return collected
        try:
            candidates = top_queries.candidates(session)
        except (DatabaseError, DeadlineExceeded) as error:
            return _with(collected, TopQueries(None, (CollectorError(top_queries.NAME, str(error)),)))
    return _with(collected, top_queries.elsewhere(candidates, dsn, limit, query_text))


def run(session: Session, limit: int, budget_s: float = BUDGET_S, query_text: QueryText = "masked") -> Collected:
    """Everything that can be read in this session; `limit`: how many top queries.

    A third of the time is for the one statement that asks for all, half of it for asking for each part alone.
    A collector that fails costs its own section. Raises `DatabaseError` when the connection is lost.
    """
    facts = session.facts
    asked = sections(facts, query_text)
    if top_queries.readable(facts):
        asked.append(top_queries.asked(facts, limit, query_text))
    errors: list[CollectorError] = []
    try:
        rows = _together(session, asked, min(TOGETHER_S, budget_s / 3))
    except DatabaseError as error:
        _raise_if_lost(error)
        parts = [part for part in asked if part.name != top_queries.NAME]
        rows, errors = _each(session, parts, min(ALONE_S, budget_s / 2 / len(asked)))
    if not facts.has_pg_monitor:
        errors.append(unprivileged(facts))
    found = [Section(name, row[0] or "null") for name, row in rows.items() if name != top_queries.NAME]
    spoiled = [section for section in found if not is_json(section.json, "{n")]
    errors += [CollectorError(section.name, NO_JSON) for section in spoiled]
    found = [section for section in found if section not in spoiled]
    collected = Collected(facts.db_name, facts.version, tuple(found), None, tuple(errors))
    return _with(collected, _top_queries(session, rows.get(top_queries.NAME), limit, query_text))


def _together(session: Session, asked: list[Asked], timeout_s: float) -> dict[str, Row]:
    """All parts in one round trip: what each brought, by its name."""
    columns = ",\n".join(f"({column})" for part in asked for column in part.columns)
    with session.transaction(timeout_s):
        row = session.row(f"SELECT /* pgdoctor */ {columns}", sum(len(part.columns) for part in asked))
    values = iter(row)
    return {part.name: tuple(next(values) for _ in part.columns) for part in asked}


def _each(session: Session, asked: list[Asked], timeout_s: float) -> tuple[dict[str, Row], list[CollectorError]]:
    """Every part in a transaction of its own: what those that worked brought, and what became of the others."""
    rows: dict[str, Row] = {}
    errors = []
    for part in asked:
        try:
            with session.transaction(timeout_s):
                rows[part.name] = session.row(part.statement, len(part.columns))
        except DatabaseError as error:
            _raise_if_lost(error)
            errors.append(failed(part.name, error, session.facts))
    return rows, errors


def _top_queries(session: Session, row: Row | None, limit: int, query_text: QueryText) -> TopQueries:
    facts = session.facts
    if row is not None:
        return top_queries.answered(row, facts)
    if not top_queries.readable(facts):
        return top_queries.unreadable(facts)
    try:
        return top_queries.alone(session, limit, query_text)
    except DatabaseError as error:
        _raise_if_lost(error)
        return TopQueries(None, (failed(top_queries.NAME, error, facts),))


def _with(collected: Collected, found: TopQueries) -> Collected:
    others = tuple(error for error in collected.errors if error.collector != top_queries.NAME)
    return replace(collected, top_queries=found.json, errors=(*others, *found.errors))


def _raise_if_lost(error: DatabaseError) -> None:
    if error.sqlstate in _LOST or error.sqlstate.startswith("08"):
        raise error
