"""Two snapshots: what counters grew by, and what a slope comes to.

A counter that fell was reset in between: there is no telling then, and the row is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.checks.document import Document, NotExamined, Point, Row

HOUR_S = 3600.0
DAY_S = 86400.0
_LEAST_S = 1.0
_FORESEEN_DAYS = 3650.0


@dataclass(frozen=True)
class Change:
    """`row` as it is now, what each counter grew `by`, and over how many `seconds`."""

    row: Row
    by: Mapping[str, float]
    seconds: float

    def in_an_hour(self, counter: str) -> float:
        """The growth within an hour; where less time has passed, within that: one event is not extrapolated."""
        return self.by[counter] * HOUR_S / max(HOUR_S, self.seconds)


def seconds(now: Document, before: Document, section: str) -> float:
    """Between the two. Raises `NotExamined` where there is nothing to compare with."""
    if not before.has(section):
        now.one(section)  # says why it is missing now
        raise NotExamined("two snapshots are needed, and this is the first")
    elapsed = now.taken_at(section) - before.taken_at(section)
    if elapsed < _LEAST_S:
        raise NotExamined("the two snapshots are of the same moment")
    return elapsed


def one(now: Document, before: Document, section: str, counters: Sequence[str]) -> Change:
    """Of a section of one row. Raises `NotExamined` where counters were reset."""
    return _only(now.one(section), now, before, section, counters, before.one)


def total(now: Document, before: Document, section: str, counters: Sequence[str]) -> Change:
    """Of a section's total."""
    return _only(now.total(section), now, before, section, counters, before.total)


def rows(
    now: Document, before: Document, section: str, keys: Sequence[str], counters: Sequence[str]
) -> Iterator[Change]:
    """Of the rows that both have: those with the same `keys`."""
    elapsed = seconds(now, before, section)
    old = {tuple(row.get(key) for key in keys): row for row in before.rows(section)}
    for row in now.rows(section):
        was = old.get(tuple(row.get(key) for key in keys))
        by = grown(row, was, counters) if was else None
        if by is not None:
            yield Change(row, by, elapsed)


def grown(row: Row, was: Row, counters: Sequence[str]) -> dict[str, float] | None:
    """What each counter grew by (0 where it is null); None where one fell, or they were reset in between.

    Zeros lose nothing by a reset: before 15 a database has them, and no time of a reset, until something is counted.
    """
    old = {counter: float(was.get(counter) or 0) for counter in counters}
    if row.get("stats_reset") != was.get("stats_reset") and any(old.values()):
        return None
    by = {counter: float(row.get(counter) or 0) - old[counter] for counter in counters}
    return None if any(value < 0 for value in by.values()) else by


def per_day(points: Sequence[Point], least_s: float = DAY_S) -> float | None:
    """What a value grows by in a day (least squares); None where the points span less than `least_s`."""
    if len(points) < 2 or points[-1][0] - points[0][0] < least_s:
        return None
    mean_t = sum(when for when, _ in points) / len(points)
    mean_v = sum(value for _, value in points) / len(points)
    spread = sum((when - mean_t) ** 2 for when, _ in points)
    return DAY_S * sum((when - mean_t) * (value - mean_v) for when, value in points) / spread


def growth(points: Sequence[Point], least_s: float = DAY_S) -> float | None:
    """The same, but the least of both halves' and of all: what happened once is within one of the halves."""
    whole = per_day(points, least_s)
    if whole is None:
        return None
    middle = (points[0][0] + points[-1][0]) / 2
    halves = ([each for each in points if each[0] <= middle], [each for each in points if each[0] >= middle])
    slopes = [per_day(half, 1) for half in halves]
    return min([whole, *(slope for slope in slopes if slope is not None)])


def days_left(points: Sequence[Point], limit: float, least_s: float = DAY_S) -> float | None:
    """Until the value reaches `limit`, from the last point on.

    None where it does not grow, or it is too early, or it takes longer than anybody can foresee.
    """
    slope = growth(points, least_s)
    left = max(0.0, (limit - points[-1][1]) / slope) if slope and slope > 0 else None
    return left if left is not None and left <= _FORESEEN_DAYS else None


def _only(row: Row, now: Document, before: Document, section: str, counters: Sequence[str], read) -> Change:  # type: ignore[no-untyped-def]
    elapsed = seconds(now, before, section)
    by = grown(row, read(section), counters)
    if by is None:
        raise NotExamined("counters were reset between the two snapshots")
    return Change(row, by, elapsed)
