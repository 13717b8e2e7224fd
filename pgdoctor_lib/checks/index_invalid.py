"""Indexes that no query can use, and that each write keeps up all the same."""

import re

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier, quote_identifier
from pgdoctor_lib.units import format_bytes

_LEFT_OVER = re.compile(r"_cc(new|old)\d*$")
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
        evidence={each: row.get(each) for each in _EVIDENCE},
        remedy=_remedy(row, identifier(schema, name), is_rest),
        caution="waits for transactions that use the table; reads and writes go on",
    )


def _remedy(row: Row, index: str, is_rest: bool) -> str:
    if is_rest:
        return f"DROP INDEX CONCURRENTLY {index};\n"
    if not row.get("indisunique"):
        return f"REINDEX INDEX CONCURRENTLY {index};\n"
    table = identifier(str(row.get("schemaname")), str(row.get("relname")))
    columns = ", ".join(map(quote_identifier, row.get("columns") or ()))
    find = f"SELECT {columns}, count(*) FROM {table} GROUP BY {columns} HAVING count(*) > 1;"
    return (
        "-- it is unique: rows that are there twice keep it from being built, and must be mended first\n"
        + (f"-- {find}\n" if columns and not row.get("has_expressions") and not row.get("is_partial") else "")
        + f"REINDEX INDEX CONCURRENTLY {index};\n"
    )
