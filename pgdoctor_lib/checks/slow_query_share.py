"""Statements that take a large share of all time."""

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.checks.statements import ran, time_ms
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.units import format_count, format_span


@check(
    category="queries",
    scope="database",
    reads=("queries",),
    compares=("queries",),
    every_s=300,
    follows_same=("query-regression", "slow-query"),
)
def slow_query_share(
    now: Document,
    before: Document,
    *,
    warning_percent: float = 30,
    warning_mean_ms: float = 20,
    least_load_percent: float = 10,
    least_calls_count: float = 10,
    least_window_s: float = 600,
) -> Said:
    """One statement takes a large share of all execution time (pg_stat_statements.total_exec_time)."""
    everything = time_ms(now, before)
    for one in ran(now, before):
        load, share = one.time_ms / 10 / one.seconds, 100 * one.time_ms / max(one.time_ms, everything)
        is_lasting = one.seconds >= least_window_s
        if share >= warning_percent and load >= least_load_percent and one.calls >= least_calls_count:
            yield graded(
                Severity.WARNING if one.mean_ms >= warning_mean_ms and is_lasting else Severity.INFO,
                one.queryid,
                f"one statement takes {share:.0f} % of all time, and keeps {load / 100:.1f} sessions busy on average: "
                f"{format_count(one.calls)} calls of {_took(one.mean_ms)} each: {one.name}",
                subject=one.name,
                threshold=f"{warning_percent:g} % of the time of all statements of this database, and "
                f"{least_load_percent:g} % of one session's; a warning where a call takes {warning_mean_ms:g} ms, "
                f"seen for {format_span(least_window_s)}",
                evidence={**one.evidence, "share_percent": round(share, 1), "all_exec_time_ms": round(everything, 3)},
                remedy=one.remedy,
                caution="EXPLAIN with ANALYZE executes the statement",
            )


def _took(mean_ms: float) -> str:
    return f"{mean_ms:.3g} ms" if mean_ms < 1000 else f"{mean_ms / 1000:.3g} s"
