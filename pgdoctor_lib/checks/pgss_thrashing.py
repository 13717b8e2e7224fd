"""pg_stat_statements forgets statements for want of room."""

from collections.abc import Sequence
from itertools import pairwise

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, NotExamined, Point
from pgdoctor_lib.checks.registry import Said, Sample, check, warning
from pgdoctor_lib.checks.statements import read_at
from pgdoctor_lib.units import format_count, format_span

_TREND = "pgss-dealloc"
_WINDOW_S = 2 * DAY_S
_LEAST_MAX = 10_000


@check(category="queries", scope="server", reads=("server", "queries", "settings"), compares=("queries",), every_s=300)
def pgss_thrashing(now: Document, before: Document, *, warning_percent: float = 100) -> Said:
    """pg_stat_statements throws out statements all the time (pg_stat_statements_info.dealloc, 14+)."""
    total = now.total("queries")
    dealloc, most = total.get("dealloc"), total.get("max")
    if dealloc is None or not most:
        raise NotExamined("pg_stat_statements counts this from version 1.9 on, with PostgreSQL 14")
    yield Sample(_TREND, dealloc)
    points = _points(now, before)
    if len(points) < 2:
        raise NotExamined("two snapshots are needed, and this is the first")
    times = sum(max(0.0, new - old) for (_, old), (_, new) in pairwise(points))  # less than before: it was reset
    evicted = times * max(10, most // 20)
    if evicted >= most * warning_percent / 100:
        yield warning(
            "",
            f"pg_stat_statements has thrown out statements {format_count(times)} times within "
            f"{format_span(points[-1][0] - points[0][0])}, about {format_count(evicted)} of them: it has room for "
            f"{format_count(most)}, and what it tells of them is incomplete",
            subject="pg_stat_statements",
            threshold=f"{warning_percent:g} % of pg_stat_statements.max, thrown out within two days; 5 % go each time",
            evidence={
                **{key: total.get(key) for key in ("dealloc", "entries", "max", "track")},
                "dealloc_before": points[0][1],
            },
            remedy="-- room for more; where track is all, top takes less\n"
            + alter_system(now, {"pg_stat_statements.max": str(max(_LEAST_MAX, 2 * int(most)))}, restart=True),
            caution="a restart of the server, and some shared memory",
        )


def _points(now: Document, before: Document) -> Sequence[Point]:
    """The count within two days, the oldest first."""
    since = now.server_time - _WINDOW_S
    points = [point for point in now.trends.get(_TREND, ()) if point[0] >= since]
    if before.has("queries") and before.total("queries").get("dealloc") is not None:
        points.append((read_at(before), before.total("queries")["dealloc"]))
    return [*sorted(points), (now.server_time, now.total("queries")["dealloc"])]
