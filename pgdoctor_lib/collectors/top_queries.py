"""Statements' counters, from pg_stat_statements: wherever it is, and why not where it isn't.

Two things are made of one reading: `top_queries`, in the shape of the first PGDoctor, and the section `queries`.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from pgdoctor_lib.collectors import texts as masking
from pgdoctor_lib.collectors.json_text import NO_JSON, is_json
from pgdoctor_lib.collectors.registry import Asked, query
from pgdoctor_lib.collectors.remedies import CREATE, PRELOAD, grant
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn, Host
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.query import quote_identifier
from pgdoctor_lib.postgres.server import Facts, Kind
from pgdoctor_lib.postgres.session import Row, Session
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import CollectorError

NAME = "top_queries"
SECTION = "queries"
EXTENSION = "pg_stat_statements"
STATEMENT_TIMEOUT_S = 5.0
SEARCH_S = 5.0  # for all the databases that might have the extension together: they answer soon, or hold up the cycle
SEARCH_AGAIN_S = 3600.0
_RECORD = "set compute_query_id to auto and pg_stat_statements.track to top"
_FORGET = (
    "as a superuser, forget the statements of databases in other encodings: "
    "SELECT pg_stat_statements_reset(0, dbid, 0) FROM (SELECT DISTINCT dbid FROM pg_stat_statements(false)) s "
    "LEFT JOIN pg_database d ON d.oid = dbid WHERE d.encoding IS DISTINCT FROM "
    "(SELECT encoding FROM pg_database WHERE datname = current_database())"
)
_UNTRANSLATABLE = ("22021", "22P05")
_QUERYID = re.compile("-?[0-9]{1,19}")
_KNOWN = "pgdoctor:known"  # stands for queryids, which are numbers
_SEPARATOR, _PARTS = "\x1e", 4  # JSON that the server wrote holds no control characters
_ALL = """SELECT n.count || ' ' || concat_ws(chr(30),
       (SELECT coalesce(json_agg(u), '[]')::text FROM u),
       json_build_object('hidden', t.hidden_count, 'recording', t.recording),
       json_build_object('rows', coalesce((SELECT json_agg(r) FROM r), '[]'), 'total', row_to_json(t),
                         'more', greatest(0, t.count - n.count)),
       (SELECT coalesce(string_agg(queryid, ' '), '') FROM r WHERE query IS NOT NULL))
  FROM t, (SELECT count(*) FROM r) n"""


@dataclass(frozen=True)
class _Place:
    """Where the extension was found (None: nowhere), and until when that is believed (monotonic)."""

    dbname: str | None
    until: float


_places: dict[tuple[tuple[Host, ...], str], _Place] = {}


@dataclass(frozen=True)
class TopQueries:
    """`json`: the array as text, None where it could not be read; `errors`: what is missing from it, and why.

    `queries`: the section's text; `told`: the queryids of those of its rows that came with their texts.
    """

    json: str | None
    errors: tuple[CollectorError, ...] = ()
    queries: str | None = None
    told: frozenset[str] = frozenset()


def asked(
    facts: Facts,
    limit: int,
    query_text: QueryText,
    dbid: int = 0,
    *,
    texts: bool = True,
    known: frozenset[str] = frozenset(),
) -> Asked:
    """The statements of database `dbid` (0: this one) that are among the first `limit` by any measure, and sums of all.

    `known`: queryids whose texts the section `queries` may leave out.
    """
    reading = _reading(facts.kind, limit, query_text, dbid, texts=texts)
    return Asked(NAME, (reading.replace(_KNOWN, ",".join(sorted(known))),))


@lru_cache(32)
def _reading(kind: Kind, limit: int, query_text: QueryText, dbid: int, *, texts: bool) -> str:
    """The column of `asked`, with `_KNOWN` for the queryids that change from cycle to cycle."""
    schema = dict(kind.extensions)[EXTENSION].schema
    variables = {"pgss_schema": schema, "dbid": str(dbid), "limit": str(limit), "texts": str(texts).lower()}
    variables |= {"known": f"{{{_KNOWN}}}", **masking.variables(query_text)}
    reading, rows = query(SECTION).sql(kind.has, **variables).rsplit("\nSELECT ", 1)
    scan = f"{quote_identifier(schema)}.pg_stat_statements"
    read = {f"{scan}(false)": "entry", f"{scan}('{variables['texts']}')": "wording"}
    ctes = {"r": f"SELECT {rows}"}
    for name, file in (("t", f"{SECTION}.total"), ("u", NAME)):
        ctes[name] = query(file).sql(kind.has, **variables)
        for call, cte in read.items():
            ctes[name] = ctes[name].replace(call, cte)
    made = "".join(f", {name} AS MATERIALIZED (\n{sql})" for name, sql in ctes.items())
    return f"{reading}{made}\n{_ALL}"


def readable(facts: Facts) -> bool:
    """Whether this database has the extension, and the server its library."""
    return EXTENSION in facts.extensions and facts.pg_stat_statements_loaded


def unreadable(facts: Facts) -> TopQueries:
    """Why there is nothing to be read in this database, and what mends it."""
    if facts.pg_stat_statements_loaded:
        return _nothing("pg_stat_statements is loaded, but no extension of this database", CREATE)
    created = EXTENSION in facts.extensions
    return _nothing("pg_stat_statements is not loaded", PRELOAD if created else f"{PRELOAD}, then {CREATE}")


def answered(row: Row, facts: Facts) -> TopQueries:
    """What the column of `asked` brought, and what it tells is missing."""
    parts = (row[0] or "").partition(" ")[2].split(_SEPARATOR)
    told = _total(parts[1]) if len(parts) == _PARTS else None
    if told is None or not (is_json(parts[0], "[") and is_json(parts[2], "{")):
        return TopQueries(None, (CollectorError(NAME, NO_JSON),))
    hidden_count, recording = told
    errors = []
    if hidden_count:
        hidden = f"{hidden_count} statements of other roles are hidden from {one_line(facts.role)}"
        errors.append(CollectorError(NAME, hidden, grant(facts)))
    if not recording:
        errors.append(CollectorError(NAME, "pg_stat_statements records nothing", _RECORD))
    ids = parts[3].split()
    return TopQueries(parts[0], tuple(errors), parts[2], frozenset(filter(_QUERYID.fullmatch, ids)))


def alone(
    session: Session, limit: int, query_text: QueryText, dbid: int = 0, known: frozenset[str] = frozenset()
) -> TopQueries:
    """Database `dbid`'s top queries, read in a statement of its own. Texts that this encoding lacks are left out."""
    try:
        return _read(session, asked(session.facts, limit, query_text, dbid, known=known))
    except DatabaseError as error:
        if error.sqlstate not in _UNTRANSLATABLE:
            raise
    found = _read(session, asked(session.facts, limit, query_text, dbid, texts=False))
    why = f"texts are left out: some database's statements cannot be written in {session.facts.server_encoding}"
    return replace(found, errors=(*found.errors, CollectorError(NAME, why, _FORGET)))


def candidates(session: Session) -> list[Row]:
    """The databases of the server that may have the extension: names, each with this database's oid."""
    with session.transaction(STATEMENT_TIMEOUT_S):
        rows = session.query(query(f"{NAME}.elsewhere").sql(session.facts.has))
    return [row for row in rows if len(row) == 2 and re.fullmatch("[0-9]{1,10}", row[1] or "")]


def elsewhere(
    databases: list[Row], dsn: Dsn, limit: int, query_text: QueryText, known: frozenset[str] = frozenset()
) -> TopQueries:
    """The same from another database of the server: the first that has the extension and lets us in.

    Where it was found, or that it was not, is remembered for an hour: no cycle in between searches.
    """
    key, now = (dsn.hosts, dsn.dbname), time.monotonic()
    place = _places.get(key)
    if place and now < place.until:
        databases = [each for each in databases if each[0] == place.dbname]
    else:
        place = None
    try:
        with deadline(SEARCH_S, "the search for pg_stat_statements"):
            for dbname, dbid in databases:
                found = _from(
                    dsn,
                    str(dbname),
                    partial(alone, limit=limit, query_text=query_text, dbid=int(dbid or 0), known=known),
                )
                if found:
                    _places[key] = place or _Place(dbname, now + SEARCH_AGAIN_S)
                    return found
    except DeadlineExceeded as error:
        _places[key] = _Place(None, now + SEARCH_AGAIN_S)
        return _nothing(error.message, CREATE)
    if place is None:
        _places[key] = _Place(None, now + SEARCH_AGAIN_S)
    elif place.dbname:
        _places.pop(key, None)  # it has gone from there: the next cycle searches
    return _nothing("pg_stat_statements is loaded, but an extension of no database that can be read", CREATE)


def _from(dsn: Dsn, dbname: str, read: Callable[[Session], TopQueries]) -> TopQueries | None:
    try:
        with connect(dsn, dbname=dbname, connect_timeout_s=1, total_s=SEARCH_S) as session:
            return read(session) if readable(session.facts) else None
    except DatabaseError:
        return None  # a database that does not let us in is no database to read it from


def _read(session: Session, part: Asked) -> TopQueries:
    with session.transaction(STATEMENT_TIMEOUT_S):
        row = session.row(part.statement, len(part.columns))
    return answered(row, session.facts)


def _total(text: str) -> tuple[int, bool] | None:
    """How many statements are hidden, and whether any is recorded; None where the text does not tell."""
    try:
        total = json.loads(text)
        hidden, recording = total["hidden"], total["recording"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return (hidden, bool(recording)) if isinstance(hidden, int) and 0 <= hidden < 2**63 else None


def _nothing(error: str, hint: str) -> TopQueries:
    return TopQueries(None, (CollectorError(NAME, error, hint),))
