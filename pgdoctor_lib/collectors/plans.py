"""Plans of the statements that took most time: EXPLAIN (GENERIC_PLAN), PostgreSQL 16 and later, never executed.

Planning is not harmless by itself: it runs immutable functions, others' too, with the rights of whoever asks. So a
statement is planned only where nothing but PostgreSQL's own code can be reached: `search_path` is pg_catalog, whatever
is named beyond it is a table that depends on nothing but PostgreSQL's own types, operators and functions
(plans.names.sql), and PGDoctor's role is no superuser. For every other statement the reason is told in place of the
plan. What is left is a table's owner who gives it a function in the millisecond between the look and the plan.

Asked for once an hour, where `explain` is true.

| key | what |
|---|---|
| `rows` | three statements that took most time: `queryid` as in `queries`, `plan` as EXPLAIN (FORMAT JSON) has it, or \
the `reason` why there is none |
| `total`, `more` | as everywhere |
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.collectors.registry import CADENCES_S, query
from pgdoctor_lib.collectors.statement_text import Refused, Statement, parse
from pgdoctor_lib.collectors.top_queries import EXTENSION, readable
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.postgres.session import Row, Session
from pgdoctor_lib.quoting import identifier, requoted
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import CollectorError, Section

NAME = "plans"
EVERY_S = CADENCES_S["hourly"]
READING_S = 5.0
PLANNING_S = 1.0
MOST_CHARS = 100_000  # of one plan
_NEEDS = "pg >= 16"
_GUARD = """SELECT /* pgdoctor:plans */ set_config('search_path', 'pg_catalog, pg_temp', true),
       set_config('lock_timeout', '10', true),
       (SELECT set_config(name, 'view, foreign-table', true)
          FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'),
       pg_my_temp_schema() <> 0 OR current_setting('is_superuser')::bool"""
_PLAIN = re.compile(
    "Node Type|Strategy|Partial Mode|Parent Relationship|Join Type|Operation|Command|Scan Direction|Relation Name|"
    "Alias|Index Name|CTE Name|Tuplestore Name|Function Name|Subplan Name|Schema|Conflict Resolution|Sampling Method"
)
_CONSTANT = re.compile(
    r"""("(?:[^"]|"")*"|[^\W\d][\w$]*(?!')|\$\d+)|[A-Za-z]?'(?:[^'\\]|''|\\.)*'|'.*|(?<![\w.])\d[\w.]*""", re.DOTALL
)


@dataclass(frozen=True)
class Plans:
    """`section`: None where there is nothing to tell but `errors`."""

    section: Section | None
    errors: tuple[CollectorError, ...] = ()


def read(session: Session, query_text: QueryText) -> Plans:
    """The worst statements' plans, each in a read-only transaction of its own. Raises where the connection is lost."""
    if why := _unable(session.facts):
        return Plans(None, (CollectorError(NAME, *why),))
    variables = {"pgss_schema": session.facts.extensions[EXTENSION].schema}
    with session.transaction(READING_S):
        [superuser] = session.query("SELECT /* pgdoctor:plans */ current_setting('is_superuser')")
        worst = _asked(session, "worst", **variables)
    if superuser != ("off",):
        refused = "the role is a superuser: others' statements are not planned with its rights"
        return Plans(None, (CollectorError(NAME, refused, "connect as a role with pg_monitor and pg_read_all_data"),))
    rows = [_row(session, str(queryid), text or "", query_text) for queryid, text in worst]
    told = {"rows": rows, "total": {"count": len(rows)}, "more": 0}
    return Plans(Section(NAME, json.dumps(told, ensure_ascii=False, separators=(",", ":"))))


def _asked(session: Session, file: str, **variables: str) -> list[Row]:
    """The rows of `plans.<file>.sql`, asked for in words that keep it out of its own answer."""
    sql = query(f"{NAME}.{file}").sql(session.facts.has, **variables)
    return session.query(f"SELECT /* pgdoctor:{NAME} */ x.* FROM (\n{sql}) x")


def _unable(facts: Facts) -> tuple[str, str] | None:
    if not facts.has(_NEEDS):
        return "EXPLAIN (GENERIC_PLAN) came with PostgreSQL 16", "upgrade the server, or set explain to false"
    if not readable(facts) or not facts.has(f"{EXTENSION} >= 1.8"):
        return (
            "no pg_stat_statements (1.8 or later) in this database",
            "CREATE EXTENSION pg_stat_statements;",
        )
    return None


def _row(session: Session, queryid: str, text: str, query_text: QueryText) -> dict[str, Any]:
    try:
        plan, reason = _plan(session, text), None
        if len(plan) > MOST_CHARS:
            raise Refused(f"its plan is longer than {MOST_CHARS:,} characters")
        shown = _masked(json.loads(plan)[0]["Plan"], query_text)
    except Refused as error:
        shown, reason = None, str(error)
    except DatabaseError as error:
        if not error.sqlstate or error.sqlstate.startswith(("08", "57P")):
            raise
        shown, reason = None, one_line(error.message, 200)
    except (ValueError, LookupError, TypeError, RecursionError):
        shown, reason = None, "the server's answer is no plan"
    return {"queryid": queryid, "plan": shown, "reason": reason}


def _plan(session: Session, text: str) -> str:
    """The plan's JSON as the server wrote it."""
    statement = parse(text)
    with session.transaction(PLANNING_S):
        [guarded] = session.query(_GUARD)
        if guarded[-1] != "f":
            raise Refused("the session is a superuser's, or has temporary tables")
        rows = _asked(session, "names", names=json.dumps(_names(statement)))
        sql = statement.sql(_schemas(statement, rows))
        lines = session.query(f"EXPLAIN /* pgdoctor:plans */ (GENERIC_PLAN, COSTS, FORMAT JSON) {sql}")
    return "\n".join(line[0] or "" for line in lines)


def _names(statement: Statement) -> list[list[object]]:
    """What plans.names.sql is asked about."""
    asked: list[list[object]] = [[None, name, None, True] for name in sorted(statement.called())]
    asked += [[None, statement.tokens[place].text, statement.privileges[place], False] for place in statement.tables]
    asked += [[schema, name, statement.privileges.get(place), False] for place, schema, name in statement.qualified()]
    return asked


def _schemas(statement: Statement, rows: list[Row]) -> dict[int, str]:
    """Which schema each unqualified table is in. `Refused` where anything is not to be planned, or not clear."""
    found: dict[tuple[str | None, str | None], list[str | None]] = {}
    schemas = {row[0] for row in rows if row[2] == "t"}
    for asked_schema, name, is_schema, nspname, problem in rows:
        if problem and (asked_schema is None or is_schema == "t"):
            raise Refused(one_line(requoted(problem), 200))
        found.setdefault((asked_schema, name), []).append(nspname)
    for _, schema, name in statement.qualified():
        if schema in schemas and schema != "pg_catalog" and found.get((schema, name)) in (None, [None]):
            raise Refused(one_line(f"{identifier(*filter(None, (schema, name)))} is no table", 200))
        if schema == "pg_catalog" and not name:
            raise Refused("it names an operator with its schema")
    return {place: where for place in statement.tables if (where := _one_schema(statement, place, found))}


def _one_schema(
    statement: Statement, place: int, found: Mapping[tuple[str | None, str | None], list[str | None]]
) -> str | None:
    name = statement.tokens[place].text
    places = {each for each in found.get((None, name), []) if each}
    if "pg_catalog" in places:
        return None
    if len(places) != 1:
        why = "in several schemas" if places else "no table of this database"
        raise Refused(one_line(f"{identifier(name)} is {why}", 200))
    return places.pop()


def _masked(value: Any, query_text: QueryText, key: str = "") -> Any:
    """The plan, constants of its expressions (of an index's predicate, say) masked as in queries' texts."""
    if isinstance(value, dict):
        return {name: _masked(each, query_text, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, query_text, key) for each in value]
    if not isinstance(value, str) or _PLAIN.fullmatch(key) or query_text == "full":
        return value
    if query_text == "none":
        return None
    return _CONSTANT.sub(lambda match: match[1] or ("'***'" if "'" in match[0] else "***"), value)
