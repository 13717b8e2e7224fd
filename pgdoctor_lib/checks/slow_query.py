"""Statements that are slow, and run often."""

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.checks.statements import ran
from pgdoctor_lib.units import format_count, format_span


@check(
    category="queries",
    scope="database",
    reads=("queries",),
    compares=("queries",),
    every_s=300,
    follows_same=("query-regression",),
)
def slow_query(
    now: Document, before: Document, *, warning_mean_ms: float = 1000, least_calls_count: float = 50
) -> Said:
    """A statement takes long each time, and runs often (pg_stat_statements.total_exec_time, calls)."""
    for one in ran(now, before):
        if one.calls >= least_calls_count and one.mean_ms >= warning_mean_ms:
            yield warning(
                one.queryid,
                f"a statement takes {one.mean_ms / 1000:.3g} s on average, and ran {format_count(one.calls)} times "
                f"within {format_span(one.seconds)}: {one.name}",
                subject=one.name,
                threshold=f"{warning_mean_ms:g} ms on average, over {least_calls_count:g} calls or more",
                evidence=one.evidence,
                remedy=one.remedy,
                caution="EXPLAIN with ANALYZE executes the statement",
            )
