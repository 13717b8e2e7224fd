"""Tables that autovacuum does not get to."""

from collections.abc import Iterator

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import counted, format_count, format_span

_KINDS = (
    ("n_dead_tup", "vacuum_threshold", "dead rows"),
    ("n_ins_since_vacuum", "vacuum_insert_threshold", "rows inserted since it was last vacuumed"),
)
_RECENTLY_S = 3600.0
_GREATEST_COST_LIMIT = 10_000


@check(
    category="wraparound and vacuum",
    scope="database",
    reads=("autovacuum_queue", "autovacuum", "settings", "server"),
    primary=True,
    for_s=7200,
    follows=("xmin-horizon",),
    follows_same=("autovacuum-cancelled",),
)
def autovacuum_behind(
    now: Document, before: Document, *, warning_times: float = 2, least_row_count: float = 10_000
) -> Said:
    """Tables have been far beyond autovacuum's own threshold for hours, or all its workers are busy (pg_class)."""
    total = now.total("autovacuum")
    if total.get("autovacuum") is False or total.get("track_counts") is False:
        raise NotExamined("autovacuum is off, and so is never behind: see autovacuum-off")
    yield from _workers(now, total)
    for row in sorted(now.rows("autovacuum_queue"), key=lambda row: -(row.get("over_factor") or 0)):
        is_waiting = row.get("autovacuum_enabled") is not False and row.get("worker_pid") is None
        if is_waiting and row.get("schemaname") not in ("pg_catalog", "information_schema"):
            over = [each for each in _over(row, least_row_count) if each[0] >= warning_times]
            if over:
                yield _table(now, row, *max(over), warning_times)


def _over(row: Row, least: float) -> Iterator[tuple[float, str]]:
    """Of each kind of rows that calls for VACUUM: how far over the threshold, and which."""
    for column, threshold, what in _KINDS:
        count, limit = row.get(column), row.get(threshold)
        if count is not None and limit is not None and count >= least:
            yield count / max(limit, 1), f"{format_count(count)} {what}"


def _table(now: Document, row: Row, times: float, rows: str, least: float) -> Finding:
    toast = "TOAST of " if row.get("relkind") == "t" else ""
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    last_s = now.age_s(row.get("last_autovacuum"))
    came = "autovacuum was never there" if last_s is None else f"autovacuum was last there {format_span(last_s)} ago"
    in_vain = last_s is not None and last_s < _RECENTLY_S
    pasted = identifier(str(row.get("schemaname")), str(row.get("relname")))
    return warning(
        f"{toast}{name}",
        f"{toast or 'table '}{name} has {rows}, {times:.1f} times what calls autovacuum: {came}"
        + (", and could not clean" if in_vain else ""),
        subject=name,
        threshold=f"{least:g} × the threshold that holds for this table (autovacuum_vacuum_threshold, _scale_factor)",
        evidence={k: v for k, v in row.items() if v is not None and not k.startswith(("relfrozen", "relmin"))},
        remedy=f"VACUUM (ANALYZE) {pasted};\n"
        f"-- if it comes again, let autovacuum work faster: autovacuum_vacuum_cost_limit = {_more(now)}\n",
        caution="reads the table and its indexes, at full speed; reads and writes go on",
    )


def _more(now: Document) -> int:
    return int(min(_GREATEST_COST_LIMIT, 5 * (now.total("autovacuum").get("cost_limit") or 200)))


def _workers(now: Document, total: Row) -> Iterator[Finding]:
    busy, most = total.get("count") or 0, total.get("autovacuum_max_workers")
    waiting = (now.total("autovacuum_queue").get("waiting_count") or 0) - busy
    if most and busy >= most and waiting > 0:
        yield warning(
            "workers",
            f"all {counted(most, 'worker')} of autovacuum are busy, and {counted(waiting, 'table')} more of this "
            "database wait for one",
            subject="autovacuum_max_workers",
            threshold=f"autovacuum_max_workers ({most})",
            evidence={
                "autovacuum_max_workers": most,
                "cost_limit": total.get("cost_limit"),
                "cost_delay_ms": total.get("cost_delay_ms"),
                "working_on": [str(row.get("relation")) for row in now.rows("autovacuum")][:10],
            },
            remedy="-- more work between two pauses; more workers alone do not help: they share this limit\n"
            + alter_system(now, {"autovacuum_vacuum_cost_limit": str(_more(now))}),
            caution="autovacuum takes more of the disks' bandwidth",
        )
