"""Large tables that are read from end to end, over and over."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier, quote_literal
from pgdoctor_lib.units import format_bytes, format_count, format_span

_COUNTERS = ("seq_scan", "seq_tup_read", "idx_scan")
_REMEDY = """-- which statements read it (pg_stat_statements), those first that read most
SELECT s.calls, s.shared_blks_hit + s.shared_blks_read AS blocks, s.query
  FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid AND d.datname = current_database()
 WHERE strpos(s.query, {name}) > 0 ORDER BY 2 DESC LIMIT 5;
-- then an index on the columns by which they choose rows (see EXPLAIN: Seq Scan, Filter):
-- CREATE INDEX CONCURRENTLY ON {table} (…);
"""


@check(category="indexes", scope="database", reads=("tables",), compares=("tables",), every_s=300)
def seq_scan_large(
    now: Document,
    before: Document,
    *,
    warning_hourly_count: float = 50,
    least_row_count: float = 100_000,
    least_bytes: float = 100 * 1024**2,
    index_percent: float = 95,
) -> Said:
    """Large tables are read from end to end again and again, as no index serves (pg_stat_all_tables.seq_scan)."""
    found: list[tuple[float, Finding]] = []
    limit = (
        f"{warning_hourly_count:g} times an hour, of {format_count(least_row_count)} rows and "
        f"{format_bytes(least_bytes)} at least, and less than {index_percent:g} % of scans by an index"
    )
    for change in delta.rows(now, before, "tables", ("relid",), _COUNTERS):
        rows, times = _rows(change.row), _times(change)
        by_index = 100 * change.by["idx_scan"] / max(change.by["idx_scan"] + change.by["seq_scan"], 1)
        is_own = not change.row.get("relispartition") and not change.row.get("is_extension_member")
        is_large = rows >= least_row_count and (change.row.get("table_size_bytes") or 0) >= least_bytes
        is_often = times * delta.HOUR_S / max(delta.HOUR_S, change.seconds) >= warning_hourly_count
        if is_own and is_large and is_often and by_index < index_percent:
            found.append((times * rows, _finding(change, times, by_index, limit)))
    yield from (each for _, each in sorted(found, key=lambda pair: -pair[0]))


def _rows(row: Row) -> float:
    return max(row.get("reltuples") or 0, row.get("n_live_tup") or 0)


def _times(change: Change) -> float:
    """How often the whole of it was read: one that ends early (LIMIT) is less, and one by three processes is one."""
    return min(change.by["seq_scan"], change.by["seq_tup_read"] / max(_rows(change.row), 1))


def _finding(change: Change, times: float, by_index: float, limit: str) -> Finding:
    row = change.row
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    size = format_bytes(row.get("table_size_bytes") or 0)
    return warning(
        name,
        f"table {name} ({format_count(_rows(row))} rows, {size}) was read from end to end {format_count(times)} times "
        f"within {format_span(change.seconds)}; {by_index:.0f} % of its scans used an index",
        subject=name,
        threshold=limit,
        evidence={
            **{each: change.by[each] for each in _COUNTERS},
            "seconds": round(change.seconds),
            "rows": _rows(row),
            "table_size_bytes": row.get("table_size_bytes"),
            "index_count": row.get("index_count"),
        },
        remedy=_REMEDY.format(
            name=quote_literal(str(row.get("relname"))).strip(),
            table=identifier(str(row.get("schemaname")), str(row.get("relname"))),
        ),
        caution="an index costs room, and each write a little more; CONCURRENTLY locks nobody out, but takes longer",
    )
