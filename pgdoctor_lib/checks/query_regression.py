"""Statements that have become slower than they were."""

from collections.abc import Sequence
from statistics import median

from pgdoctor_lib.checks.delta import HOUR_S
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, Sample, check, warning
from pgdoctor_lib.checks.statements import Ran, ran, time_ms
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.units import format_count, format_span

_MOST = 10  # statements of which a trend is kept


@check(
    category="queries",
    scope="database",
    reads=("queries", "database"),
    compares=("queries",),
    times=2,
    every_s=300,
)
def query_regression(  # noqa: PLR0913 (each is a threshold of its own)
    now: Document,
    before: Document,
    *,
    warning_factor: float = 3,
    least_points_count: float = 12,
    least_calls_count: float = 50,
    least_mean_ms: float = 5,
    least_share_percent: float = 1,
    least_uptime_s: float = HOUR_S,
) -> Said:
    """A statement takes several times what it took before (pg_stat_statements, by the hour)."""
    uptime = now.age_s(now.one("database").get("postmaster_start_time"))
    if uptime is not None and uptime < least_uptime_s:
        raise NotExamined(f"the server started {format_span(uptime)} ago: its caches are cold")
    weighs_ms = time_ms(now, before) * least_share_percent / 100
    for one in [each for each in ran(now, before) if each.calls >= least_calls_count][:_MOST]:
        means = [mean for _, mean in now.trends.get(_trend(one), ())]
        yield Sample(_trend(one), round(one.mean_ms, 4))
        if len(means) < least_points_count or one.mean_ms < least_mean_ms or one.time_ms < weighs_ms:
            continue
        if one.mean_ms >= warning_factor * median(means) * _more_rows(one):
            yield _told(one, means, warning_factor)


def _trend(one: Ran) -> str:
    return f"query:{one.queryid}"


def _told(one: Ran, means: Sequence[float], factor: float) -> Finding:
    usual = median(means)
    times = f"{one.mean_ms / max(usual, 0.001):.1f} times what is usual ({usual:.3g} ms)"
    calls = f"{format_count(one.calls)} calls within {format_span(one.seconds)}"
    return warning(
        one.queryid,
        f"a statement takes {one.mean_ms:.3g} ms on average, {times}, in {calls}: {one.name}",
        subject=one.name,
        threshold=f"{factor:g} times the median of {len(means)} hours, twice in a row",
        evidence={**one.evidence, "usual_ms": usual, "last_ms": [round(mean, 3) for mean in means[-10:]]},
        remedy=_remedy(one),
        caution="EXPLAIN with ANALYZE executes the statement",
    )


def _more_rows(one: Ran) -> float:
    """How many times the rows a call brings or changes, compared with all its calls before."""
    was = one.before["rows"] / one.before["calls"] if one.before["calls"] else 0.0
    return max(1.0, one.by("rows") / one.calls / was) if was > 0 else 1.0


def _remedy(one: Ran) -> str:
    return (
        "-- what changed? An index is gone, its table grew, a plan turned, a deploy, or somebody is in its way\n"
        "-- ANALYZE the tables that it reads, then compare its plan with the one that it had\n"
    ) + one.remedy
