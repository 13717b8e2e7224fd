"""Updates of large tables that write every index."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_count, format_span

_COUNTERS = ("n_tup_upd", "n_tup_hot_upd")


@check(category="indexes", scope="database", reads=("tables",), compares=("tables",), primary=True, every_s=300)
def hot_updates(
    now: Document,
    before: Document,
    *,
    info_percent: float = 50,
    least_hourly_count: float = 50_000,
    least_row_count: float = 1_000_000,
) -> Said:
    """Updates of a large table write a new entry into each of its indexes (pg_stat_all_tables.n_tup_hot_upd)."""
    found: list[tuple[float, Finding]] = []
    for change in delta.rows(now, before, "tables", ("relid",), _COUNTERS):
        row, updates = change.row, change.by["n_tup_upd"]
        share = 100 * change.by["n_tup_hot_upd"] / (updates or 1)
        rows = max(row.get("reltuples") or 0, row.get("n_live_tup") or 0)
        is_own = not row.get("relispartition") and not row.get("is_extension_member") and row.get("index_count")
        is_often = change.in_an_hour("n_tup_upd") >= least_hourly_count
        if is_own and is_often and rows >= least_row_count and share < info_percent:
            limit = f"less than {info_percent:g} % of {format_count(least_hourly_count)} updates an hour or more"
            found.append((updates - change.by["n_tup_hot_upd"], _finding(change, share, limit)))
    yield from (each for _, each in sorted(found, key=lambda pair: -pair[0]))


def _finding(change: Change, share: float, limit: str) -> Finding:
    row: Row = change.row
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    pasted = identifier(str(row.get("schemaname")), str(row.get("relname")))
    return info(
        name,
        f"of {format_count(change.by['n_tup_upd'])} updates of table {name} within {format_span(change.seconds)} only "
        f"{share:.0f} % were HOT: each of the others wrote into all its indexes ({row['index_count']})",
        subject=name,
        threshold=limit,
        evidence={
            **{each: change.by[each] for each in _COUNTERS},
            "n_tup_newpage_upd": row.get("n_tup_newpage_upd"),
            "index_count": row.get("index_count"),
            "reloptions": row.get("reloptions"),
        },
        remedy="-- room in each page for the new row; pages that are there get it as they are written anew\n"
        f"{'-- for each partition: ' if row.get('relkind') == 'p' else ''}ALTER TABLE {pasted} SET (fillfactor = 90);\n"
        "-- and see whether an index is on a column that changes all the time: without it such updates can be HOT\n",
        caution="the table grows by a tenth, in time; the lock (SHARE UPDATE EXCLUSIVE) lets reads and writes go on",
    )
