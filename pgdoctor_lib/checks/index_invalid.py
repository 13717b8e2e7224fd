"""Indexes that no query can use, and that each write keeps up all the same."""

import re

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import comment, identifier, requoted
from pgdoctor_lib.units import format_bytes

_LEFT_OVER = re.compile(r"_cc(new|old)\d*$")
_MOST_CHARACTERS = 500  # of a definition: see indexes.sql
_DOUBLES = "-- rows that are there twice keep it from being built, if it was not cut short: find them, and mend them\n"
_EVIDENCE = ("relname", "indisvalid", "indisready", "indislive", "indisunique", "size_bytes", "definition")


@check(category="indexes", scope="database", reads=("indexes", "progress"), times=2)
def index_invalid(now: Document, before: Document) -> Said:
    """An index is invalid: no query uses it, and writes pay for it (pg_index.indisvalid)."""
    running = now.rows("progress") if now.has("progress") else []
    busy = {row.get("relid") for row in running if row.get("index_relid") and row.get("datname") == now.db_name}
    for row in now.rows("indexes"):
        is_at_work = row.get("is_building") or row.get("relid") in busy
        # A partitioned index is invalid until each partition's is attached; one that was left invalid is told itself
        if row.get("indisvalid") is False and row.get("relkind") == "i" and not is_at_work:
            yield _finding(row)


def _finding(row: Row) -> Finding:
    schema, name = str(row.get("schemaname")), str(row.get("indexrelname"))
    is_rest = bool(_LEFT_OVER.search(name)) or row.get("indislive") is False
    where = "an interrupted REINDEX or DROP INDEX left it" if is_rest else "CREATE INDEX CONCURRENTLY did not end well"
    cost = "each write to the table still keeps it up" if row.get("indisready") else "it only takes room"
    return warning(
        f"{schema}.{name}",
        f"index {schema}.{name} on table {row.get('relname')} is invalid ({where}): no query uses it, and {cost} "
        f"({format_bytes(row.get('size_bytes') or 0)})",
        subject=f"{schema}.{name}",
        threshold="pg_index.indisvalid is false, and nobody builds an index on that table",
        evidence={**{each: row.get(each) for each in _EVIDENCE}, "locked": row.get("locked") or None},
        remedy=_remedy(row, identifier(schema, name), is_rest),
        caution=_caution(row),
    )


def _remedy(row: Row, index: str, is_rest: bool) -> str:
    if not _can_be_dropped(row):
        how = "" if row.get("indisexclusion") else "CONCURRENTLY "
        return f"{_DOUBLES}{_find(row)}-- REINDEX INDEX {how}{index};\n"
    if is_rest:
        return f"DROP INDEX CONCURRENTLY {index};\n"
    if not row.get("indisunique"):
        return f"REINDEX INDEX CONCURRENTLY {index};\n"
    build, drop = _build(row), f"DROP INDEX CONCURRENTLY {index};\n"
    kept = f"-- keep its definition: SELECT pg_get_indexdef({int(row.get('indexrelid') or 0)});\n" if not build else ""
    return f"{_DOUBLES}{_find(row)}{kept}{drop}-- and then build it again\n{build}"


def _caution(row: Row) -> str:
    if not _can_be_dropped(row):
        return (
            "a constraint, or an index of the partitioned table, needs it: it cannot be dropped by itself. While rows "
            "are there twice REINDEX fails, and leaves another index with the suffix _ccnew; without CONCURRENTLY it "
            "locks out everybody until it is done"
        )
    return "waits for transactions that use the table; reads and writes go on"


def _can_be_dropped(row: Row) -> bool:
    return not (row.get("backs_constraint") or (row.get("is_partition") and row.get("indisunique")))


def _find(row: Row) -> str:
    """The rows that are there twice, where it is known which those are."""
    has_more = " INCLUDE (" in str(row.get("definition"))
    if not row.get("columns") or row.get("has_expressions") or row.get("is_partial") or has_more:
        return ""
    table = identifier(str(row.get("schemaname")), str(row.get("relname")))
    columns = ", ".join(identifier(str(each)) for each in row["columns"])
    where = "" if row.get("indnullsnotdistinct") else f" WHERE ({columns}) IS NOT NULL"
    return f"-- SELECT {columns}, count(*) FROM {table}{where} GROUP BY {columns} HAVING count(*) > 1;\n"


def _build(row: Row) -> str:
    """As it was meant, where all of it is known, and goes on one line."""
    sql = requoted(str(row.get("definition") or "")).replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    is_whole = sql and len(str(row["definition"])) < _MOST_CHARACTERS and comment(sql) == sql
    return f"-- {sql};\n" if is_whole else ""
