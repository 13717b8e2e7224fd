"""Statements' counters, from pg_stat_statements: wherever it is, and why not where it isn't.

Two things are made of one reading: `top_queries`, in the shape of the first PGDoctor, and the section `queries`. One
reading is for several databases of a server, since the server goes through the entries of all to find those of one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pgdoctor_lib.collectors import texts as masking
from pgdoctor_lib.collectors.json_text import NO_JSON, is_json
from pgdoctor_lib.collectors.registry import in_common, query, small_number, timed, took_ms
from pgdoctor_lib.collectors.remedies import CREATE, grant, preload, record
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.server import Facts, Kind
from pgdoctor_lib.postgres.session import Row, Session, senseless
from pgdoctor_lib.quoting import quote_literal
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import CollectorError, Cost

NAME = "top_queries"
SECTION = "queries"
EXTENSION = "pg_stat_statements"
STATEMENT_TIMEOUT_S = 5.0
_FORGET = (
    "as a superuser, forget the statements of databases in other encodings: "
    "SELECT pg_stat_statements_reset(0, dbid, 0) FROM (SELECT DISTINCT dbid FROM pg_stat_statements(false)) s "
    "LEFT JOIN pg_database d ON d.oid = dbid WHERE d.encoding IS DISTINCT FROM "
    "(SELECT encoding FROM pg_database WHERE datname = current_database())"
)
_QUERYID = re.compile("-?[0-9]{1,19}")
_FINGERPRINT = re.compile(r'"fingerprint":"(-?[0-9]{1,19})"')  # unescaped, so not in a text
_TEXTLESS = re.compile(r'"fingerprint":"(-?[0-9]{1,19})","normalized_query":null')
_GIVEN = {
    "databases": "{pgdoctor:databases}",
    "texts": "pgdoctor:texts",
    "own": "{pgdoctor:own}",
    "told": "{pgdoctor:told}",
}
_COLUMNS = 10
_JSON = "'{' || substr(json, strpos(json, ',') + 1)"  # without dbid, the first column
_NUMBERED = "SELECT dbid, row_number() OVER () AS number, row_to_json(x)::text AS json FROM"
# A row a database: libpq's buffer stays as large as the largest one.
_ALL = f"""SELECT number,
       '[' || coalesce(u.rows, '') || ']',
       json_build_object('hidden', t.hidden_count, 'recording', t.recording)::text,
       '{{"rows":[' || coalesce(r.rows, '') || '],"total":' || {_JSON.replace("json", "t.json")}
         || ',"more":' || greatest(0, t.count - coalesce(r.count, 0)) || '}}',
       coalesce(s.queryids, ''),
       coalesce(s.postponed, ''),
       coalesce((SELECT string_agg(o.queryid::text, ' ') FROM own o WHERE o.dbid = wanted.dbid), ''),
       coalesce(r.count, 0)
  FROM wanted
  JOIN t USING (dbid)
  LEFT JOIN (SELECT dbid, string_agg({_JSON}, ',' ORDER BY number) AS rows FROM u GROUP BY dbid) u USING (dbid)
  LEFT JOIN (SELECT dbid, string_agg({_JSON}, ',' ORDER BY number) AS rows, count(*)
               FROM r GROUP BY dbid) r USING (dbid)
  LEFT JOIN (SELECT dbid, string_agg(DISTINCT queryid::text, ' ') AS queryids,
                    string_agg(queryid::text, ' ') FILTER (WHERE is_new AND NOT is_told) AS postponed
               FROM shown GROUP BY dbid) s USING (dbid)"""


@dataclass(frozen=True)
class TopQueries:
    """`json`: the array as text, None where it could not be read; `errors`: what is missing from it, and why.

    `queries`: the section's text; `cost`: this database's share of what the reading cost.
    """

    json: str | None
    errors: tuple[CollectorError, ...] = ()
    queries: str | None = None
    cost: Cost | None = None


@dataclass(frozen=True)
class Part:
    """What a reading brought for one database.

    `top`: the array as text; `queries`: the section; `hidden_count`: statements of other roles; `recording`: whether
    any is recorded; `queryids`: of the statements that `queries` tells, `postponed` those whose texts are still to
    come; `own`: of PGDoctor's own statements, which are left out.
    """

    top: str
    queries: str
    hidden_count: int
    recording: bool
    queryids: frozenset[str]
    postponed: frozenset[str]
    own: frozenset[str]

    def with_texts(self, wordings: Mapping[str, str]) -> "Part":
        """With texts from an earlier reading, by queryid, each as JSON."""

        def told(match: re.Match[str]) -> str:
            return f'"fingerprint":"{match[1]}","normalized_query":{wordings.get(match[1], "null")}'

        return replace(self, top=_TEXTLESS.sub(told, self.top))

    @property
    def fingerprints(self) -> frozenset[str]:
        """The queryids of `top`."""
        return frozenset(_FINGERPRINT.findall(self.top))

    @property
    def wordings(self) -> dict[str, str]:
        """The texts in `top` by queryid, each as JSON. {} where it is senseless."""
        try:
            rows = json.loads(self.top)
            return {row["fingerprint"]: json.dumps(row["normalized_query"], ensure_ascii=False) for row in rows}
        except (ValueError, TypeError, LookupError, RecursionError):
            return {}


@dataclass(frozen=True)
class Reading:
    """`parts`: by the database's oid; `cost`: of each of them."""

    parts: dict[int, Part]
    cost: Cost


def read(
    session: Session,
    databases: Mapping[int, frozenset[str]],
    limit: int,
    query_text: QueryText,
    told: Mapping[int, frozenset[str]] | None,
    timeout_s: float,
) -> Reading:
    """The statements of each database that are among the first `limit` by any measure, and sums over all of its own.

    `databases`: by oid, the queryids of PGDoctor's own statements, as far as they are known. With texts where `told` is
    given: by oid, the queryids whose texts the section may leave out.
    """
    oids = list(databases)
    texts = str(told is not None).lower()
    values = (f"'{{{','.join(map(str, oids))}}}'", f"'{texts}'", _pairs(oids, databases), _pairs(oids, told or {}))
    sql = _reading(session.facts.kind, limit, query_text)
    rows = session.ask_all(sql, _COLUMNS, timeout_s, again=True, values=values)
    if not 0 < len(rows) <= len(oids):
        raise senseless()
    parts = dict(_part(row[1:-2], oids) for row in rows)
    count = sum(small_number(row[-2]) for row in rows)
    size = sum(len(text or "") for row in rows for text in row)
    took = took_ms(rows[0][0], rows[-1][-1])
    return Reading(parts, Cost(round(took / len(rows), 3), count // len(rows), size // len(rows)))


@lru_cache(32)
def _reading(kind: Kind, limit: int, query_text: QueryText) -> str:
    """What `read` asks, with `$1` to `$4` for what changes from cycle to cycle."""
    variables = {"pgss_schema": dict(kind.extensions)[EXTENSION].schema, "limit": str(limit), **_GIVEN}
    variables |= masking.variables(query_text)
    files = (SECTION, f"{SECTION}.total", NAME)
    shared, (rows, total, top) = in_common(*(query(file).sql(kind.has, **variables) for file in files))
    made, rows = rows.rsplit("\nSELECT ", 1)
    made = made.removeprefix("WITH ")
    ctes = f"{made}, r AS MATERIALIZED ({_NUMBERED} (\nSELECT {rows}) x)"
    ctes += f", t AS MATERIALIZED (SELECT x.*, row_to_json(x)::text AS json FROM (\n{total}) x)"
    sql = timed(NAME, f"WITH {shared}{ctes}, u AS ({_NUMBERED} (\n{top}) x)\n{_ALL}")
    for number, given in enumerate(_GIVEN.values(), 1):
        sql = sql.replace(quote_literal(given), f"${number}")
    return sql


def _pairs(oids: Sequence[int], queryids: Mapping[int, frozenset[str]]) -> str:
    """An array of a database's place in `oids` and a queryid."""
    pairs = (f"{n}/{each}" for n, oid in enumerate(oids, 1) for each in sorted(queryids.get(oid, ())))
    return f"'{{{','.join(pairs)}}}'"


def _part(row: Row, oids: Sequence[int]) -> tuple[int, Part]:
    """A database's oid and what came for it. Raises `DatabaseError` where that makes no sense."""
    number, top, sums, section, *queryids = (text or "" for text in row)
    total = _total(sums)
    place = small_number(number)
    if total is None or not 1 <= place <= len(oids) or not (is_json(top, "[") and is_json(section, "{")):
        raise DatabaseError(NO_JSON)
    return oids[place - 1], Part(top, section, *total, *map(_queryids, queryids))


def _queryids(text: str) -> frozenset[str]:
    return frozenset(filter(_QUERYID.fullmatch, text.split()))


def readable(facts: Facts) -> bool:
    """Whether this database has the extension, and the server its library."""
    return EXTENSION in facts.extensions and facts.pg_stat_statements_loaded


def unloaded(facts: Facts) -> TopQueries:
    """That there is nothing to be read at this server, and what mends it."""
    then = "" if EXTENSION in facts.extensions else f", then {CREATE}"
    return nothing("pg_stat_statements is not loaded", preload(facts) + then)


def answered(part: Part, facts: Facts, errors: Sequence[CollectorError] = (), cost: Cost | None = None) -> TopQueries:
    """What a part tells, and what it tells is missing."""
    found = list(errors)
    if part.hidden_count:
        hidden = f"{part.hidden_count} statements of other roles are hidden from {one_line(facts.role)}"
        found.append(CollectorError(NAME, hidden, grant(facts)))
    if not part.recording:
        found.append(CollectorError(NAME, "pg_stat_statements records nothing", record(facts)))
    return TopQueries(part.top, tuple(found), part.queries, cost)


def textless(facts: Facts) -> CollectorError:
    """Texts that this database's encoding lacks are left out, all of them."""
    why = f"texts are left out: some database's statements cannot be written in {facts.server_encoding}"
    return CollectorError(NAME, why, _FORGET)


def _total(text: str) -> tuple[int, bool] | None:
    """How many statements are hidden, and whether any is recorded; None where the text does not tell."""
    try:
        total = json.loads(text)
        hidden, recording = total["hidden"], total["recording"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return (hidden, bool(recording)) if isinstance(hidden, int) and 0 <= hidden < 2**63 else None


def nothing(error: str, hint: str) -> TopQueries:
    """That there are none, why, and what mends it."""
    return TopQueries(None, (CollectorError(NAME, error, hint),))
