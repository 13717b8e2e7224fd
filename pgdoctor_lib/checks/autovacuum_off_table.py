"""Autovacuum is turned off for a table."""

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier, relation_literal
from pgdoctor_lib.units import format_bytes, format_count

_PARTITIONS = """-- each statement that this makes, for the partitions that keep autovacuum out
SELECT format('ALTER TABLE %s RESET (autovacuum_enabled);', c.oid::regclass)
  FROM pg_partition_tree({}) p JOIN pg_class c ON c.oid = p.relid
 WHERE c.reloptions::text ~* 'autovacuum_enabled=(f|of|n|0)';
"""
_EVIDENCE = ("reltuples", "n_live_tup", "n_dead_tup", "size_bytes", "reloptions", "last_vacuum", "last_autovacuum")


@check(
    category="wraparound and vacuum",
    scope="database",
    reads=("tables",),
    primary=True,
    every_s=300,
    follows=("autovacuum-off",),
)
def autovacuum_off_table(
    now: Document, before: Document, *, least_row_count: float = 10_000, least_unattended_s: float = DAY_S
) -> Said:
    """A table keeps autovacuum out (pg_class.reloptions)."""
    for row in now.rows("tables"):
        rows = max(row.get("reltuples") or 0, row.get("n_live_tup") or 0)
        by_hand = now.age_s(row.get("last_vacuum"))
        is_attended = by_hand is not None and by_hand < least_unattended_s
        is_own = not row.get("relispartition") and not row.get("is_extension_member")
        if row.get("autovacuum_enabled") is False and rows >= least_row_count and is_own and not is_attended:
            yield _table(row, rows, least_row_count)


def _table(row: Row, rows: float, least: float) -> Finding:
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    names = str(row.get("schemaname")), str(row.get("relname"))
    is_tree = row.get("relkind") == "p"
    last = row.get("last_vacuum") or row.get("last_autovacuum")
    return warning(
        name,
        f"{'a partition of ' if is_tree else ''}table {name} keeps autovacuum out: {format_count(rows)} rows "
        f"({format_bytes(row.get('size_bytes') or 0)}), {format_count(row.get('n_dead_tup') or 0)} of them dead, "
        + (f"last vacuumed {str(last)[:10]}" if last else "never vacuumed"),
        subject=name,
        threshold=f"autovacuum_enabled=false on a table from {format_count(least)} rows on, and no VACUUM within a day",
        evidence={each: row.get(each) for each in _EVIDENCE},
        remedy=_PARTITIONS.format(relation_literal(*names))
        if is_tree
        else f"ALTER TABLE {identifier(*names)} RESET (autovacuum_enabled);\n",
        caution="waits for, and for a moment holds, a SHARE UPDATE EXCLUSIVE lock: reads and writes go on",
    )
