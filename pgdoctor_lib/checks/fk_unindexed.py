"""Foreign keys without an index on the referencing columns."""

import zlib

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_count

_NAME_BYTES = 63
_EVIDENCE = ("columns", "reltuples", "size_bytes", "ref_columns", "ref_reltuples", "ref_n_tup_del", "confdeltype")


@check(category="schema", scope="database", reads=("constraints", "database"))
def fk_unindexed(
    now: Document,
    before: Document,
    *,
    warning_row_count: float = 100_000,
    warning_deletes_a_day_count: float = 10,
    least_row_count: float = 1_000,
) -> Said:
    """A foreign key has no index: each DELETE of a referenced row reads the whole table (pg_constraint, pg_index)."""
    days = max(1.0, now.counted_s() / DAY_S)
    for row in now.rows("constraints"):
        rows, deleted = row.get("reltuples") or 0, row.get("ref_n_tup_del") or 0
        is_own = row.get("contype") == "f" and not row.get("is_extension_member")
        if row.get("is_indexed") is False and is_own and rows >= least_row_count:
            is_dear = rows >= warning_row_count and deleted / days >= warning_deletes_a_day_count
            limit = (
                f"warning from {format_count(warning_row_count)} rows and {warning_deletes_a_day_count:g} DELETEs of "
                f"referenced rows a day on; told from {format_count(least_row_count)} rows on"
            )
            yield _finding(row, Severity.WARNING if is_dear else Severity.INFO, deleted / days, limit)


def _finding(row: Row, severity: Severity, a_day: float, limit: str) -> Finding:
    schema, table = str(row.get("schemaname")), str(row.get("relname"))
    names = [str(each) for each in row.get("columns") or ()]
    parent = f"{row.get('ref_schemaname')}.{row.get('ref_relname')}"
    is_partitioned = row.get("relkind") == "p"
    how = "" if is_partitioned else " CONCURRENTLY"
    index = f"IF NOT EXISTS {identifier(_index_name(schema, table, names))}"
    return graded(
        severity,
        f"{schema}.{table}.{row.get('conname')}",
        f"foreign key {row.get('conname')} of table {schema}.{table} ({', '.join(names)}) has no index: each DELETE "
        f"from {parent} reads all of its {format_count(row.get('reltuples') or 0)} rows"
        + (f", {format_count(a_day)} times a day" if a_day >= 1 else ""),
        subject=f"{schema}.{table}",
        threshold=limit,
        evidence={each: row.get(each) for each in _EVIDENCE},
        remedy=f"CREATE INDEX{how} {index} ON {identifier(schema, table)} ({', '.join(map(identifier, names))});\n",
        caution="CREATE INDEX of a partitioned table cannot be CONCURRENTLY: writes wait until it is built. Better "
        "make it ON ONLY, one of each partition CONCURRENTLY, and attach those"
        if is_partitioned
        else "reads the table twice, and waits for transactions that use it; reads and writes go on. One more index "
        "for each write to keep up. If it is cut short, an invalid index is left behind: see index-invalid",
    )


def _index_name(schema: str, table: str, columns: list[str]) -> str:
    """The same each time, so that IF NOT EXISTS knows it, and no other relation's: whence the number."""
    base = "_".join([table, *columns])
    end = f"_{zlib.crc32(repr((schema, table, columns)).encode()):08x}_idx"
    return base.encode()[: _NAME_BYTES - len(end)].decode(errors="ignore") + end
