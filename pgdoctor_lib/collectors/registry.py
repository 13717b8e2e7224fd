"""Finds the collectors by their files, and writes what each contributes to the one statement."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pgdoctor_lib.collectors import texts
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.postgres.query import Query, load
from pgdoctor_lib.postgres.server import Facts

FOLDER = Path(__file__).parent
_APART = ("top_queries",)  # not sections: these have a place of their own in the snapshot


@dataclass(frozen=True)
class Asked:
    """One collector's part of the statement: scalar subselects, each the JSON of a file's result as text."""

    name: str
    columns: tuple[str, ...]

    @property
    def statement(self) -> str:
        """This part as a statement of its own."""
        return f"SELECT /* pgdoctor:{self.name} */ {', '.join(f'({column})' for column in self.columns)}"


@cache
def query(name: str) -> Query:
    """The query in `<name>.sql`."""
    return load(FOLDER / f"{name}.sql")


@cache
def names() -> tuple[str, ...]:
    """Every file's name without `.sql`, in order: `activity`, `activity.total`, …"""
    return tuple(sorted(path.name.removesuffix(".sql") for path in FOLDER.glob("*.sql")))


def fits(name: str, facts: Facts) -> bool:
    """Whether `<name>.sql` makes sense on this server."""
    return query(name).fits(facts.has, in_recovery=facts.in_recovery)


def sections(facts: Facts, query_text: QueryText) -> list[Asked]:
    """What the sections ask of this server."""
    found = [name for name in names() if "." not in name and name not in _APART and fits(name, facts)]
    return [Asked(name, (_section(name, facts, texts.variables(query_text)),)) for name in found]


def _section(name: str, facts: Facts, variables: dict[str, str]) -> str:
    """One row: the object itself. Many: `rows`, `total` (at least their `count`) and `more`, which are not shown."""
    sql = query(name).sql(facts.has, **variables)
    if query(name).meta["rows"].startswith("one"):
        return f"SELECT row_to_json(t)::text FROM (\n{sql}) t"
    total = "SELECT count(*) AS count FROM r"
    if f"{name}.total" in names():
        total = query(f"{name}.total").sql(facts.has)
    return (
        f"WITH r AS MATERIALIZED (\n{sql}), t AS MATERIALIZED (\n{total})\n"
        "SELECT json_build_object('rows', coalesce((SELECT json_agg(r) FROM r), '[]'), 'total', row_to_json(t),"
        " 'more', greatest(0, t.count - (SELECT count(*) FROM r)))::text FROM t"
    )
