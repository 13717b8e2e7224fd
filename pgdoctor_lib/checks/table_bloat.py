"""Tables that take far more room than their rows need."""

from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier, relation_name, shell_comment
from pgdoctor_lib.units import format_bytes

GIB = 1024**3
_EVIDENCE = (
    "size_bytes",
    "needed_bytes_estimate",
    "wasted_bytes_estimate",
    "dead_bytes_estimate",
    "fillfactor",
    "live_rows_estimate",
    "basis",
)
_REMEDY = """-- where pg_repack is installed, without a long lock:  pg_repack --table={table} {database}
-- else this, in a quiet hour: nobody can read or write the table until it is done
VACUUM (FULL, ANALYZE) {name};
"""


@check(
    category="bloat",
    scope="database",
    reads=("bloat",),
    follows=("xmin-horizon",),
    follows_same=("autovacuum-off-table", "autovacuum-behind", "dead-tuples"),
)
def table_bloat(now: Document, before: Document, *, warning_percent: float = 50, warning_bytes: float = GIB) -> Said:
    """Tables are mostly free space and dead rows, by what their rows should take (pg_class, pg_stats: an estimate)."""
    found = [
        _finding(now, row, f"{warning_percent:g} % and {format_bytes(warning_bytes)} wasted")
        for row in estimated(now, "table")
        if row["wasted_bytes_estimate"] >= warning_bytes
        and (row.get("wasted_percent_estimate") or 0) >= warning_percent
    ]
    yield from found or nothing(now, "table", warning_bytes)


def estimated(now: Document, kind: str) -> list[Row]:
    """Those of that kind whose waste is known, most first."""
    rows = [
        row for row in now.rows("bloat") if row.get("kind") == kind and row.get("wasted_bytes_estimate") is not None
    ]
    return sorted(rows, key=lambda row: -row["wasted_bytes_estimate"])


def nothing(now: Document, kind: str, least_bytes: float) -> tuple[Finding, ...]:
    """Nothing was found. Raises `NotExamined` where the role may not see enough, of what is so large, to say so."""
    rows = [row for row in now.rows("bloat") if row.get("unestimated_because") == "no privilege"]
    hidden = [row for row in rows if row.get("kind") == kind and (row.get("size_bytes") or 0) >= least_bytes]
    if hidden:
        name = hidden[0].get("indexrelname") or hidden[0].get("relname")
        raise NotExamined(
            f"the role may not see how wide columns are, of {name} for one; GRANT pg_read_all_data to it (14+), "
            "or SELECT on the tables"
        )
    return ()


def _finding(now: Document, row: Row, limit: str) -> Finding:
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    names = str(row.get("schemaname")), str(row.get("relname"))
    size, wasted = format_bytes(row.get("size_bytes") or 0), format_bytes(row["wasted_bytes_estimate"])
    return warning(
        name,
        f"table {name} takes {size}, of which about {wasted} ({row.get('wasted_percent_estimate'):.0f} %) is free "
        "space and dead rows",
        subject=name,
        threshold=f"{limit}; the estimate is good to ±20 %",
        evidence={each: row.get(each) for each in _EVIDENCE},
        remedy=_REMEDY.format(
            name=identifier(*names), table=shell_comment(relation_name(*names)), database=shell_comment(now.db_name)
        ),
        caution="VACUUM FULL takes ACCESS EXCLUSIVE: the table cannot even be read meanwhile, and a second copy of it "
        "and its indexes needs room on the disk. Without that, the room is used again for new rows, but not given back",
    )
