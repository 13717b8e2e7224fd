"""Indexes for which there is another one that does all that they do."""

from pgdoctor_lib.checks.altering import LOCKS
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info, warning
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_bytes

_EVIDENCE = ("relname", "size_bytes", "idx_scan", "columns", "backs_constraint", "indisreplident", "definition")


@check(category="indexes", scope="database", reads=("indexes",), times=2)
def index_duplicate(now: Document, before: Document, *, least_bytes: float = 10 * 1024**2) -> Said:
    """An index does what another one of its table does: the same, or the beginning of it (pg_index)."""
    for row in now.rows("indexes"):
        if row.get("is_extension_member") or row.get("indisvalid") is False:
            continue
        name = f"{row.get('schemaname')}.{row.get('indexrelname')}"
        size = row.get("size_bytes") or 0
        what = f"index {name} ({format_bytes(size)}) on table {row.get('relname')}"
        if other := row.get("duplicate_of"):
            yield warning(
                name,
                f"{what} is the same as index {other}: each write pays for both",
                threshold="same access method, columns, operator classes, collations, directions and condition",
                **_rest(row, name, other),
            )
        elif (other := row.get("redundant_to")) and size >= least_bytes:
            yield info(
                name,
                f"{what} is the beginning of index {other}, which serves the same queries",
                threshold=f"a B-tree index begins with all of its columns; told from {format_bytes(least_bytes)} on",
                **_rest(row, name, other),
            )


def _rest(row: Row, name: str, other: object) -> dict[str, object]:
    evidence = {"other": other, **{each: row.get(each) for each in _EVIDENCE}, "locked": row.get("locked") or None}
    return {"subject": name, "evidence": evidence, **_remedy(row, str(other))}


def _remedy(row: Row, other: str) -> dict[str, str]:
    schema, name = str(row.get("schemaname")), str(row.get("indexrelname"))
    table = identifier(schema, str(row.get("relname")))
    before = (
        f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {identifier(other)};\n" if row.get("indisreplident") else ""
    )
    if row.get("backs_constraint"):
        return {
            "remedy": f"{before}ALTER TABLE {table} DROP CONSTRAINT {identifier(name)};\n",
            "caution": f"{LOCKS}; fails where a foreign key references this very constraint",
        }
    if row.get("relkind") == "I":
        return {
            "remedy": f"{before}DROP INDEX {identifier(schema, name)};\n",
            "caution": "an index of a partitioned table cannot be dropped CONCURRENTLY: locks it and its partitions "
            "for a moment (ACCESS EXCLUSIVE): set lock_timeout first",
        }
    return {
        "remedy": f"{before}DROP INDEX CONCURRENTLY {identifier(schema, name)};\n",
        "caution": f"REPLICA IDENTITY {LOCKS}; the rest waits for transactions that use the table, and nobody for it"
        if before
        else "waits for transactions that use the table; reads and writes go on",
    }
