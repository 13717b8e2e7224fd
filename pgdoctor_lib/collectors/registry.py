"""Finds the collectors by their files, and writes what each contributes to the one statement."""

import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import takewhile
from pathlib import Path

from pgdoctor_lib.collectors import texts
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.postgres.query import Query, load
from pgdoctor_lib.postgres.server import Facts, Kind
from pgdoctor_lib.postgres.session import senseless

FOLDER = Path(__file__).parent
_APART = ("top_queries", "queries")  # not sections: these have a place of their own in the snapshot
CADENCES_S = {"cycle": 0.0, "minutes": 300.0, "hourly": 3600.0, "daily": 86400.0}
_CLOCK = "date_part('epoch', clock_timestamp()) * 1000"  # between two parts: what the first of them took
_ARRIVED = "date_part('epoch', statement_timestamp()) * 1000"  # from then on the server plans
PLANNING = "planning"
"""What it costs to plan, and begin, the statement of several parts: in the ledger beside those."""
_SMALL_NUMBER = re.compile("[0-9]{1,6}")
_INDENT = re.compile(r"\n +")
_CTE_END = re.compile(r"\)(, \w+ AS (NOT )?(MATERIALIZED )?\(.*)?")


@dataclass(frozen=True)
class Asked:
    """One collector's part of the statement: scalar subselects, each the JSON of a file's result as text.

    A section's text begins with the number of its rows. `every_s`: seconds from one time to the next, 0 in each cycle;
    `is_servers`: it is the same in all databases of the server.
    """

    name: str
    columns: tuple[str, ...]
    every_s: float = 0.0
    is_servers: bool = False


@lru_cache(24)
def statement(parts: tuple[Asked, ...]) -> str:
    """All of them in one: the columns of each, with the server's clock in milliseconds before and after each.

    Before the first of several, and for a single one, when the statement came. In the last column, whether the server
    is in recovery.
    """
    columns = [_ARRIVED, _CLOCK] if len(parts) > 1 else [_ARRIVED]
    for part in parts:
        columns += [f"({column})" for column in part.columns] + [_CLOCK]
    mark = f"pgdoctor:{parts[0].name}" if len(parts) == 1 else "pgdoctor:cycle"
    text = f"SELECT /* {mark} */ " + ",\n".join([*columns, "pg_is_in_recovery()::text"])
    return _short(text)


def timed(name: str, sql: str) -> str:
    """A statement of several rows, with when it came, and the server's clock, before and after each row's columns."""
    return _short(f"SELECT /* pgdoctor:{name} */ {_ARRIVED}, x.*, {_CLOCK} FROM (\n{sql}) x")


def _short(sql: str) -> str:
    """libpq's buffer stays as large as the longest question."""
    return _INDENT.sub("\n", sql)


def took_ms(before: str | None, after: str | None) -> float:
    """Milliseconds between two of the clock's columns; 0 where somebody set it back."""
    try:
        took = float(after or 0) - float(before or 0)
    except ValueError:
        raise senseless() from None
    if not math.isfinite(took):
        raise senseless()
    return max(0.0, round(took, 3))


def small_number(text: str | None) -> int:
    """A count, or a place, of up to six digits; 0 where it is none: a server may say anything."""
    return int(text) if text and _SMALL_NUMBER.fullmatch(text) else 0


@cache
def query(name: str) -> Query:
    """The query in `<name>.sql`."""
    return load(FOLDER / f"{name}.sql")


@cache
def names() -> tuple[str, ...]:
    """Every file's name without `.sql`, in order: `activity`, `activity.total`, …"""
    return tuple(sorted(path.name.removesuffix(".sql") for path in FOLDER.glob("*.sql")))


def is_servers(section: str) -> bool:
    """Whether a section is the same in all databases of its server."""
    return section in names() and query(section).meta["scope"] == "server"


def every_s(section: str) -> float | None:
    """Seconds from one time that a section is collected to the next, 0 in each cycle; None for one that has no file."""
    return CADENCES_S[query(section).meta.get("cadence", "cycle")] if section in names() else None


def fits(name: str, kind: Kind) -> bool:
    """Whether `<name>.sql` makes sense on such a server."""
    return query(name).fits(kind.has, in_recovery=kind.in_recovery)


def sections(facts: Facts, query_text: QueryText) -> list[Asked]:
    """What the sections ask of this server."""
    return list(_sections(facts.kind, query_text))


@lru_cache(32)
def _sections(kind: Kind, query_text: QueryText) -> tuple[Asked, ...]:
    found = [name for name in names() if "." not in name and name not in _APART and fits(name, kind)]
    return tuple(_asked(name, kind, texts.variables(query_text)) for name in found)


def _asked(name: str, kind: Kind, variables: dict[str, str]) -> Asked:
    column = _section(name, kind, variables)
    return Asked(name, (column,), every_s(name) or 0.0, is_servers=is_servers(name))


def _section(name: str, kind: Kind, variables: dict[str, str]) -> str:
    """One row: the object itself. Many: `rows`, `total` (at least their `count`) and `more`, which are not shown."""
    sql = query(name).sql(kind.has, **variables)
    if query(name).meta["rows"].startswith("one"):
        return f"SELECT '1 ' || row_to_json(t)::text FROM (\n{sql}) t"
    shared, total = "", "SELECT count(*) AS count FROM r"
    if f"{name}.total" in names():
        shared, (sql, total) = in_common(sql, query(f"{name}.total").sql(kind.has))
    return (
        f"WITH {shared}r AS MATERIALIZED (\n{sql}), t AS MATERIALIZED (\n{total})\n"
        "SELECT n.count || ' ' || json_build_object('rows', coalesce((SELECT json_agg(r) FROM r), '[]'),"
        " 'total', row_to_json(t), 'more', greatest(0, t.count - n.count))::text FROM t, (SELECT count(*) FROM r) n"
    )


def in_common(*statements: str) -> tuple[str, list[str]]:
    """The CTEs that all begin with, which are computed once, and the rest of each. A CTE ends where a line does."""
    files = [statement.split("\n") for statement in statements]
    same = sum(1 for _ in takewhile(lambda lines: len(set(lines)) == 1, zip(*files, strict=False)))
    ends = [number for number in range(1, same + 1) if all(_CTE_END.fullmatch(file[number]) for file in files)]
    if not ends or statements[0].startswith("WITH RECURSIVE"):
        return "", list(statements)
    shared = "\n".join(files[0][: ends[-1]]).removeprefix("WITH ")
    return f"{shared}\n), ", [_from_cte(file[ends[-1] :]) for file in files]


def _from_cte(lines: list[str]) -> str:
    """A statement from the end of one of its CTEs on."""
    following = lines[0].removeprefix(")").removeprefix(", ")
    return "\n".join([f"WITH {following}" if following else "", *lines[1:]])
