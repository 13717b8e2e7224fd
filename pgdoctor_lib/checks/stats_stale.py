"""Tables whose statistics for the planner are old or missing."""

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_count, format_span

_EVIDENCE = ("relkind", "n_live_tup", "reltuples", "n_mod_since_analyze", "analyze_threshold", "autovacuum_enabled")


@check(
    category="maintenance",
    scope="database",
    reads=("statistics", "tables"),
    primary=True,
    times=2,
    follows_same=("autovacuum-off-table", "autovacuum-behind"),
)
def stats_stale(
    now: Document,
    before: Document,
    *,
    warning_percent: float = 50,
    warning_s: float = DAY_S,
    lasting_s: float = 600,
    least_row_count: float = 10_000,
) -> Said:
    """The planner's statistics of a table are missing, or older than half of its rows (pg_stat_all_tables)."""
    of_trees = {row.get("relid"): row.get("n_live_tup") for row in now.rows("tables")} if now.has("tables") else {}
    for row in now.rows("statistics"):
        is_tree = row.get("relkind") == "p"
        rows = (of_trees.get(row.get("relid")) if is_tree else _rows(row)) or 0
        changed, age_s = row.get("n_mod_since_analyze") or 0, row.get("last_analyze_age_s")
        if _is_unwanted(row):
            continue
        is_new = now.lasting_s(f"stats-stale:{_name(row)}") < lasting_s
        severity = Severity.INFO if is_tree or is_new else Severity.WARNING
        if row.get("never_analyzed") and rows >= least_row_count:
            yield _finding(row, f"has {format_count(rows)} rows and was never analyzed", "never analyzed", severity)
        elif changed >= max(least_row_count, warning_percent / 100 * rows) and (age_s is None or age_s >= warning_s):
            when = (
                "has had no ANALYZE that is known" if age_s is None else f"was last analyzed {format_span(age_s)} ago"
            )
            limit = f"{warning_percent:g} % of {format_count(rows)} rows, and {format_span(warning_s)} since ANALYZE"
            yield _finding(row, f"{when}, and {format_count(changed)} rows have changed since", limit, severity)


def _rows(row: Row) -> float:
    return max(row.get("n_live_tup") or 0, row.get("reltuples") or 0)


def _is_unwanted(row: Row) -> bool:
    """ANALYZE is turned off for each of its columns."""
    return bool(row.get("column_count")) and row.get("columns_with_target_0") == row.get("column_count")


def _name(row: Row) -> str:
    return f"{row.get('schemaname')}.{row.get('relname')}"


def _finding(row: Row, what: str, limit: str, severity: Severity) -> Finding:
    name, is_tree = _name(row), row.get("relkind") == "p"
    return graded(
        severity,
        name,
        f"{'partitioned ' if is_tree else ''}table {name} {what}: "
        + ("autovacuum does not analyze it, only its partitions" if is_tree else "the planner guesses"),
        subject=name,
        threshold=limit,
        evidence={each: row.get(each) for each in (*_EVIDENCE, "last_analyze", "last_autoanalyze")},
        remedy=f"ANALYZE {identifier(str(row.get('schemaname')), str(row.get('relname')))};\n",
        caution="reads a sample of the table" + (" and of each partition" if is_tree else ""),
    )
