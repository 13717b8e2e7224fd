"""Tables of which a large part is dead rows."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_bytes, format_count, format_span

_EVIDENCE = ("n_live_tup", "n_dead_tup", "table_size_bytes", "last_vacuum", "last_autovacuum", "autovacuum_enabled")


@check(
    category="wraparound and vacuum",
    scope="database",
    reads=("tables", "vacuum", "progress"),
    primary=True,
    every_s=300,
    follows=("xmin-horizon",),
    follows_same=("autovacuum-off-table", "autovacuum-behind"),
)
def dead_tuples(
    now: Document,
    before: Document,
    *,
    warning_percent: float = 20,
    least_row_count: float = 10_000,
    least_bytes: float = 100 * 1024**2,
) -> Said:
    """A large part of a table is dead rows that are not cleaned away (pg_stat_all_tables.n_dead_tup)."""
    due = {
        row.get("relid"): row.get("vacuum_threshold") or 0 for row in _rows(now, "vacuum") if row.get("relkind") != "t"
    }
    being_vacuumed = {row.get("relid") for row in _rows(now, "progress") if row.get("datname") == now.db_name}
    for row in sorted(now.rows("tables"), key=lambda row: -(row.get("n_dead_tup") or 0)):
        dead, relid = row.get("n_dead_tup") or 0, row.get("relid")
        percent = 100 * dead / max(dead + (row.get("n_live_tup") or 0), 1)
        is_large = dead >= least_row_count and (row.get("table_size_bytes") or 0) >= least_bytes
        is_own = row.get("relkind") != "p" and not row.get("is_extension_member")
        is_due = dead > due.get(relid, 0) and relid not in being_vacuumed
        if percent >= warning_percent and is_large and is_own and is_due:
            yield _finding(now, row, percent, warning_percent)


def _rows(now: Document, section: str) -> list[Row]:
    """Of a section that may be missing."""
    return now.rows(section) if now.has(section) else []


def _finding(now: Document, row: Row, percent: float, limit: float) -> Finding:
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    ages = [now.age_s(row.get(column)) for column in ("last_vacuum", "last_autovacuum")]
    last_s = min((age for age in ages if age is not None), default=None)
    dead, size = format_count(row.get("n_dead_tup") or 0), format_bytes(row.get("table_size_bytes") or 0)
    return warning(
        name,
        f"table {name} has {percent:.0f} % dead rows ({dead}, in {size}), and "
        + ("was never vacuumed" if last_s is None else f"was last vacuumed {format_span(last_s)} ago"),
        subject=name,
        threshold=f"{limit:g} % of a table's rows, and more than what calls autovacuum to this table",
        evidence={"dead_percent": round(percent, 1), **{each: row.get(each) for each in _EVIDENCE}},
        remedy=f"VACUUM (ANALYZE) {identifier(str(row.get('schemaname')), str(row.get('relname')))};\n",
        caution="reads the table and its indexes, at full speed; reads and writes go on",
    )
