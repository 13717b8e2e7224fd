"""B-tree indexes that take far more room than their entries need."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.checks.table_bloat import GIB, estimated, nothing
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_bytes

MIB = 1024**2
_EVIDENCE = ("relname", "size_bytes", "needed_bytes_estimate", "wasted_bytes_estimate", "fillfactor", "basis")


@check(category="bloat", scope="database", reads=("bloat",), follows=("xmin-horizon",))
def index_bloat(
    now: Document,
    before: Document,
    *,
    warning_percent: float = 70,
    warning_bytes: float = 2 * GIB,
    least_bytes: float = 200 * MIB,
    least_percent: float = 50,
) -> Said:
    """B-tree indexes are mostly free space, by what their entries should take (pg_class, pg_stats: an estimate)."""
    limit = (
        f"{warning_percent:g} % wasted, or {format_bytes(warning_bytes)} and {least_percent:g} %; keys in "
        "random order leave about 30 % free by nature, the estimate is good to ±20 %"
    )
    found = []
    for row in estimated(now, "index"):
        percent = row.get("wasted_percent_estimate") or 0
        is_much = row["wasted_bytes_estimate"] >= warning_bytes and percent >= least_percent
        if (percent >= warning_percent or is_much) and (row.get("size_bytes") or 0) >= least_bytes:
            found.append(_finding(row, limit))
    yield from found or nothing(now, "index", least_bytes)


def _finding(row: Row, limit: str) -> Finding:
    name = f"{row.get('schemaname')}.{row.get('indexrelname')}"
    pasted = identifier(str(row.get("schemaname")), str(row.get("indexrelname")))
    size, wasted = format_bytes(row.get("size_bytes") or 0), format_bytes(row["wasted_bytes_estimate"])
    return warning(
        name,
        f"index {name} on {row.get('relname')} takes {size}, of which about {wasted} "
        f"({row.get('wasted_percent_estimate'):.0f} %) is free space",
        subject=name,
        threshold=limit,
        evidence={each: row.get(each) for each in _EVIDENCE},
        remedy=f"REINDEX INDEX CONCURRENTLY {pasted};\n",
        caution="reads the table twice, needs room for a second index, and waits for all transactions that are open; "
        "if it is cut short, an invalid index with the suffix _ccnew is left behind: drop it",
    )
