"""Multixacts that are not frozen in time: in the end no row can be locked by two."""

from collections.abc import Sequence

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, Point
from pgdoctor_lib.checks.registry import Said, Sample, check
from pgdoctor_lib.checks.xid_wraparound import STOPS_AT, Ids, aged

_TREND = "mxid-wraparound:age"
_MXIDS = Ids(
    "datminmxid_age",
    "relminmxid_age",
    "autovacuum_multixact_freeze_max_age",
    400_000_000,
    "vacuum_multixact_failsafe_age",
    "multixacts",
    "lets no two transactions lock the same row any more",
)


@check(
    category="wraparound and vacuum",
    scope="server",
    reads=("databases", "settings", "autovacuum_queue"),
    primary=True,
    follows=("xmin-horizon", "autovacuum-off"),
)
def mxid_wraparound(
    now: Document,
    before: Document,
    *,
    warning_times: float = 2,
    critical_times: float = 4,
    critical_count: float = 1_600_000_000,
) -> Said:
    """Multixact ids are not frozen in time (pg_database.datminmxid): in the end rows cannot be locked."""
    oldest = max((row.get("datminmxid_age") or 0 for row in now.rows("databases")), default=0)
    yield Sample(_TREND, oldest)

    def days_left(age: float) -> float | None:
        return delta.days_left(_since_frozen([*now.trends.get(_TREND, ()), (now.server_time, age)]), STOPS_AT)

    yield from aged(now, _MXIDS, (warning_times, critical_times, critical_count), days_left)


def _since_frozen(points: Sequence[Point]) -> Sequence[Point]:
    """Those after the age fell for the last time: what it grew by until then says nothing of what is left."""
    falls = [index for index in range(1, len(points)) if points[index][1] < points[index - 1][1]]
    return points[falls[-1] :] if falls else points
