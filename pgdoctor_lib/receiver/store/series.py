"""Series read: from the points, or the rollups where that would be too many; the newest part always from the points.

What is the server's as a whole comes with one of its databases only. For the others it is taken from that one.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pgdoctor_lib.receiver.metrics import BY_NAME, PLACE
from pgdoctor_lib.receiver.store.db import Db, chunks, marks
from pgdoctor_lib.receiver.store.model import Retention, Series, Source, Unreadable
from pgdoctor_lib.receiver.store.points import (
    Buckets,
    Point,
    Rollup,
    fill,
    gaps,
    pieces,
    reach_s,
    unpack_point,
    unpack_rollup,
)

STEPS = (300, 3600, 86_400)
LATE_S = 600.0  # a bucket is finished when it has been over for so long
_TAIL_S = 3600.0  # how much longer than that it may take
_SERVER = frozenset({"activity", "wal", "checkpointer", "bgwriter", "replication", "slots", "host"})
_MOST_SIBLINGS = 3
_MOST_RAW = 2000
_SELDOM_S = 330.0  # sections of the slowest pace that series are made of come every five minutes
_TOGETHER_S = 120.0
_BOTH = 2.5  # intervals, within which there are two snapshots


@dataclass(frozen=True)
class Span:
    """What is asked for. `retention` and `now` say how far back which step goes."""

    names: Sequence[str]
    since: float
    until: float
    points: int
    retention: Retention
    now: float

    def step_s(self, interval_s: float, count: int = 1) -> int:
        """0 for the points themselves, else the rollups' step: so that few rows are read, and there are some.

        `count`: of so many sources. Rollups that give less than half of the steps that are asked for are left for the
        points, if these are not too many.
        """
        length, most = self.until - self.since, 2 * self.points
        age = self.now - self.since
        is_coarse = length / STEPS[0] < self.points / 2 and count * length / interval_s <= _MOST_RAW
        if (length / interval_s <= most or is_coarse) and age <= self.retention.raw_s:
            return 0
        if length / STEPS[0] <= most and age <= self.retention.five_minutes_s:
            return STEPS[0]
        return STEPS[1] if length / STEPS[1] <= most else STEPS[2]

    def buckets(self, step_s: float) -> Buckets:
        """Steps that lie on whole multiples of themselves, as few as were asked for."""
        width = max(step_s, (self.until - self.since) / self.points, 1.0)
        width = math.ceil(width / step_s) * step_s if step_s >= 1 else width
        start = math.floor(self.since / width) * width
        return Buckets(start, width, max(1, math.ceil((self.until - start) / width)))


@dataclass
class _Part:
    """What was read of a source. `since`: from where on the points count."""

    since: float
    rollups: list[Rollup] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


def read(db: Db, sources: Sequence[str], span: Span, width_s: float = 0.0) -> dict[str, Series]:
    """Of each source that there is. `width_s`: in the steps of a series that was read before, in place of its own."""
    span = replace(span, names=[name for name in span.names if name in BY_NAME])
    found: dict[str, Series] = {}
    groups: dict[tuple[int, float], list[str]] = defaultdict(list)
    for identity, interval_s in _intervals(db, sources):
        groups[span.step_s(interval_s, len(sources)), interval_s].append(identity)
    for (step_s, interval_s), identities in groups.items():
        parts = _parts(db, identities, step_s, interval_s, span)
        for identity in identities:
            found[identity] = _series(parts[identity], width_s or step_s or interval_s, span)
    return found


def with_siblings(db: Db, sources: Sequence[str], span: Span) -> dict[str, Series]:
    """Of each source that there is, with what another database of its server tells in its place."""
    found = read(db, sources, span)
    lacking = {
        source: [name for name, values in series.values.items() if _is_lacking(name, values)]
        for source, series in found.items()
    }
    siblings = _siblings(db, [source for source, names in lacking.items() if names])
    alike: dict[float, list[str]] = defaultdict(list)
    for source in siblings:
        alike[found[source].step_s].append(source)
    for width_s, some in alike.items():
        names = list(dict.fromkeys(name for source in some for name in lacking[source]))
        others = read(db, sorted({each for s in some for each in siblings[s]}), replace(span, names=names), width_s)
        for source in some:
            for sibling in [each for each in siblings[source] if each in others]:
                found[source] = _filled(found[source], others[sibling], lacking[source])
    return found


def _siblings(db: Db, sources: Sequence[str]) -> dict[str, list[str]]:
    """By source the databases of its server that told of it, the last one first."""
    server_of: dict[str, tuple[str, str]] = {}
    spoke: dict[tuple[str, str], list[str]] = defaultdict(list)
    for some in chunks(sources):
        server_of |= {
            identity: (server, project)
            for identity, server, project in db.rows(
                f"SELECT id, server, project FROM source WHERE id IN ({marks(some)}) AND server <> ''", some
            )
        }
    for some in chunks(sorted({server for server, _ in server_of.values()})):
        for identity, server, project in db.rows(
            f"SELECT id, server, project FROM source WHERE server IN ({marks(some)}) AND spoke_at > 0"
            " ORDER BY spoke_at DESC",
            some,
        ):
            spoke[server, project].append(identity)
    return {
        source: [each for each in spoke[place][: _MOST_SIBLINGS + 1] if each != source][:_MOST_SIBLINGS]
        for source, place in server_of.items()
        if spoke[place] not in ([], [source])
    }


def _filled(own: Series, other: Series, names: Sequence[str]) -> Series:
    values, peaks = dict(own.values), dict(own.peaks)
    for name in names:
        values[name] = _either(values[name], other.values[name])
        peaks[name] = _either(peaks[name], other.peaks[name])
    return replace(own, values=values, peaks=peaks)


def latest(
    db: Db, names: Sequence[str], sources: Sequence[Source], rates: Sequence[str] = ()
) -> dict[str, dict[str, float]]:
    """Of each source by metric what its newest snapshot tells, or one shortly before for what comes seldom.

    `rates`: counters of which what they grew by, per second, is told instead.
    """
    groups: dict[tuple[float, float], list[str]] = defaultdict(list)
    for source in sources:
        reach = max(_SELDOM_S, _BOTH * source.interval_s)
        groups[source.collected_at // _TOGETHER_S * _TOGETHER_S, reach].append(source.id)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for (since, reach), some in groups.items():  # with plain bounds: only then does PostgreSQL look into few partitions
        for identity, read in points(db, some, since - reach, since + _TOGETHER_S).items():
            told = {name: _last(point.values[PLACE[name]] for point in reversed(read)) for name in names}
            told |= {name: _last(value for *_, value in reversed([*pieces(read, PLACE[name])])) for name in rates}
            found[identity] = {name: value for name, value in told.items() if value is not None}
    return found


def _last(values: Iterable[float]) -> float | None:
    """The first that is known of values that come from behind."""
    return next((each for each in values if not math.isnan(each)), None)


def rollups(db: Db, sources: Sequence[str], step_s: int, since: float, until: float) -> dict[str, list[Rollup]]:
    """Finished buckets of one step, in the order of time."""
    found: dict[str, list[Rollup]] = defaultdict(list)
    for some in chunks(sources):
        for identity, at, data in db.rows(
            f"SELECT source_id, at, data FROM rollup WHERE source_id IN ({marks(some)}) AND step_s = ?"
            " AND at > ? AND at < ? ORDER BY source_id, at",
            (*some, step_s, since - step_s, until),
        ):
            with suppress(Unreadable):
                rollup = unpack_rollup(at, step_s, data)
                found[identity].append(rollup)
    return found


def points(db: Db, sources: Sequence[str], since: float, until: float) -> dict[str, list[Point]]:
    """In the order of time."""
    found: dict[str, list[Point]] = defaultdict(list)
    for some in chunks(sources):
        for identity, at, data in db.rows(
            f"SELECT source_id, at, data FROM point WHERE source_id IN ({marks(some)}) AND at >= ? AND at <= ?"
            " ORDER BY source_id, at",
            (*some, since, until),
        ):
            with suppress(Unreadable):
                point = unpack_point(at, data)
                found[identity].append(point)
    return found


def _parts(db: Db, sources: Sequence[str], step_s: int, interval_s: float, span: Span) -> dict[str, _Part]:
    """The rollups as far as they go, the next finer ones from there on, and so on down to the points."""
    parts = {identity: _Part(span.since) for identity in sources}
    for step in [each for each in reversed(STEPS) if each <= step_s]:
        for since, some in _together(parts, span.until, step).items():
            for identity, found in rollups(db, some, step, since, span.until).items():
                part = parts[identity]
                part.rollups += [each for each in found if not part.rollups or each.at >= part.since]
                part.since = max(part.since, found[-1].at + step)
    for since, some in _together(parts, span.until, 0).items():
        reach = reach_s(interval_s)
        for identity, read_points in points(db, some, since - reach, span.until + interval_s).items():
            parts[identity].points = read_points
    return parts


def _together(parts: dict[str, _Part], until: float, step_s: int) -> dict[float, list[str]]:
    """Sources that can be read in one go, by since when: those that lack little are, each other one is alone."""
    near = until - 86_400 - LATE_S - _TAIL_S if step_s else until - STEPS[0] - LATE_S - _TAIL_S
    recent = {identity: part.since for identity, part in parts.items() if part.since >= near}
    found: dict[float, list[str]] = defaultdict(list)
    if recent:
        found[min(recent.values())] += recent
    for identity, part in parts.items():
        if identity not in recent:
            found[part.since].append(identity)
    return found


def _series(part: _Part, step_s: float, span: Span) -> Series:
    values, peaks = {}, {}
    buckets, after_gap = span.buckets(step_s), gaps(part.points)
    for name in span.names:
        bucket = span.buckets(step_s)
        fill(bucket, name, part.rollups, part.points, part.since, after_gap)
        values[name], peaks[name] = bucket.means(), bucket.peaks()
    times = [buckets.start + (place + 0.5) * buckets.step_s for place in range(buckets.count)]
    return Series(buckets.step_s, times, values, peaks)


def _intervals(db: Db, sources: Sequence[str]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for some in chunks(sources):
        rows = db.rows(f"SELECT id, interval_s FROM source WHERE id IN ({marks(some)})", some)
        found += [(identity, interval_s) for identity, interval_s in rows]
    return found


def _is_lacking(name: str, values: Sequence[float | None]) -> bool:
    return BY_NAME[name].section in _SERVER and None in values


def _either(mine: Sequence[float | None], other: Sequence[float | None]) -> list[float | None]:
    return [theirs if own is None else own for own, theirs in zip(mine, other, strict=True)]
