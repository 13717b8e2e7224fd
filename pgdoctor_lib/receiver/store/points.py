"""The series' arithmetic, pure: packed points, what lies between two of them, buckets of time.

A point is a snapshot's raw figures. Between two points of a source lies a `Piece`: a span of time and the value in it,
of a counter what it grew by, per second. There is none where the counter was reset or fell, or where snapshots are
missing in between. A figure that comes in some snapshots only (a section that is asked for every five minutes) is
taken from the last point that has it. So the order in which snapshots arrive does not matter.
"""

import math
import sys
import zlib
from array import array
from binascii import crc32
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pgdoctor_lib.receiver import metrics, shapes
from pgdoctor_lib.receiver.metrics import METRICS, PLACE
from pgdoctor_lib.receiver.store.model import Unreadable

SPARSE_S = 900.0  # a figure that comes every five minutes may be missing twice
_SHORTEST_GAP_S = 30.0
_INTERVALS = 3.0
# Since when a section's counters run, by these columns. The order is that of the packed points: new ones go to the end.
_RESETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("database", ("stats_reset", "archiver_stats_reset")),
    ("wal", ("stats_reset",)),
    ("checkpointer", ("stats_reset",)),
    ("bgwriter", ("stats_reset",)),
    ("queries", ("stats_reset",)),
)
_RESET_PLACE = {section: place for place, (section, _) in enumerate(_RESETS)}
_HEAD = 2  # interval, count of resets

Piece = tuple[float, float, float]


@dataclass(frozen=True)
class Point:
    """A snapshot's figures. `resets`: a mark for each of the sections with counters, another one after a reset."""

    at: float
    interval_s: float
    resets: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Rollup:
    """A bucket of time, finished: of each metric the mean and the highest value."""

    at: float
    step_s: float
    means: Sequence[float]
    peaks: Sequence[float]


def pack_point(document: Mapping[str, Any], interval_s: float) -> bytes:
    """A snapshot's JSON, read."""
    resets = [_reset(shapes.section(document, section), columns) for section, columns in _RESETS]
    return _pack(array("d", [interval_s, len(resets), *resets, *metrics.values(document)]))


def unpack_point(at: float, data: bytes) -> Point:
    """As it was packed, by this version or an older one."""
    numbers = _unpack("d", data)
    if len(numbers) < _HEAD or not 0 <= numbers[1] <= len(numbers) - _HEAD:
        raise Unreadable("a series cannot be read: it has no head")
    first = _HEAD + int(numbers[1])
    return Point(at, numbers[0], _filled(numbers[_HEAD:first], len(_RESETS)), _filled(numbers[first:], len(METRICS)))


def pack_rollup(means: Sequence[float], peaks: Sequence[float]) -> bytes:
    """Seven digits are enough for a mean."""
    return _pack(array("f", [*means, *peaks]))


def unpack_rollup(at: float, step_s: float, data: bytes) -> Rollup:
    """As it was packed, by this version or an older one."""
    numbers = _unpack("f", data)
    half = len(numbers) // 2
    return Rollup(at, step_s, _filled(numbers[:half], len(METRICS)), _filled(numbers[half:], len(METRICS)))


def gaps(points: Sequence[Point]) -> list[bool]:
    """Of each whether one is missing before it. For `pieces` of many metrics it is found out once."""
    return [False, *(other.at - one.at > gap_s(one, other) for one, other in pairwise(points))][: len(points)]


def pieces(points: Sequence[Point], place: int, after_gap: Sequence[bool] | None = None) -> Iterator[Piece]:
    """Of one metric, from points in the order of time. `after_gap`: what `gaps` says of them."""
    metric = METRICS[place]
    is_counter, reset = metric.kind == "counter", _RESET_PLACE.get(metric.section)
    last: Point | None = None  # the last one that has the metric
    mark = math.nan
    for point, is_after_gap in zip(points, gaps(points) if after_gap is None else after_gap, strict=True):
        if is_after_gap:
            last = None
        value = point.values[place]
        if math.isnan(value):
            continue
        if reset is not None and not math.isnan(point.resets[reset]):
            if is_counter and not math.isnan(mark) and mark != point.resets[reset]:
                last = None
            mark = point.resets[reset]
        begun = None
        if last and (point.at - last.at <= SPARSE_S or point.at - last.at <= gap_s(last, point)):
            begun = last.at
        if not is_counter:
            yield (point.at - point.interval_s if begun is None else begun), point.at, value
        elif last and begun is not None and value >= last.values[place] and point.at > begun:
            yield begun, point.at, (value - last.values[place]) / (point.at - begun)
        last = point


def gap_s(one: Point, other: Point) -> float:
    """How far two points may be apart without one missing between them."""
    return max(_SHORTEST_GAP_S, _INTERVALS * max(one.interval_s, other.interval_s))


def reach_s(interval_s: float) -> float:
    """How far beyond a span the points are that tell of it."""
    return max(SPARSE_S, _INTERVALS * interval_s) + interval_s


class Buckets:
    """Equal steps of time: the mean of what was put in, weighed by its length, and the highest of it."""

    def __init__(self, start: float, step_s: float, count: int) -> None:
        self.start, self.step_s, self.count = start, step_s, count
        self._sums, self._weights, self._peaks = [0.0] * count, [0.0] * count, [-math.inf] * count

    def add(self, begun: float, ended: float, value: float, peak: float) -> None:
        """A value that holds from `begun` to `ended`."""
        if not math.isfinite(value):
            return
        first = max(0, math.floor((begun - self.start) / self.step_s))
        last = min(self.count - 1, math.ceil((ended - self.start) / self.step_s) - 1)
        for place in range(first, last + 1):
            left = self.start + place * self.step_s
            weight = min(ended, left + self.step_s) - max(begun, left)
            if weight > 0:
                self._sums[place] += value * weight
                self._weights[place] += weight
                self._peaks[place] = max(self._peaks[place], peak)

    def means(self) -> list[float | None]:
        """None where nothing was put in."""
        return [total / weight if weight else None for total, weight in zip(self._sums, self._weights, strict=True)]

    def peaks(self) -> list[float | None]:
        """None where nothing was put in."""
        return [peak if weight else None for peak, weight in zip(self._peaks, self._weights, strict=True)]


def fill(
    buckets: Buckets,
    name: str,
    rollups: Iterable[Rollup],
    points: Sequence[Point],
    since: float,
    after_gap: Sequence[bool] | None = None,
) -> None:
    """Put a metric's values in: the rollups', then, from `since` on, the points'. `after_gap`: as for `pieces`."""
    place = PLACE[name]
    for rollup in rollups:
        if not math.isnan(rollup.means[place]):
            buckets.add(rollup.at, rollup.at + rollup.step_s, rollup.means[place], rollup.peaks[place])
    for begun, ended, value in pieces(points, place, after_gap):
        if ended > since:
            buckets.add(max(begun, since), ended, value, value)


def summed_up(at: float, step_s: float, put: Callable[[Buckets, str], None]) -> bytes | None:
    """One bucket of all metrics, packed; None where it is empty. `put` fills it with one metric."""
    means, peaks = [], []
    for metric in METRICS:
        bucket = Buckets(at, step_s, 1)
        put(bucket, metric.name)
        means.append(_or_missing(bucket.means()[0]))
        peaks.append(_or_missing(bucket.peaks()[0]))
    return None if all(map(math.isnan, means)) else pack_rollup(means, peaks)


def _or_missing(value: float | None) -> float:
    return metrics.MISSING if value is None else value


def _reset(section: Mapping[str, Any] | None, columns: tuple[str, ...]) -> float:
    """A number that stands for the times in these columns; missing where the section is."""
    if section is None:
        return metrics.MISSING
    total = section.get("total")
    row = total if isinstance(total, dict) else section
    return float(crc32("|".join(str(row.get(column))[:40] for column in columns).encode("utf-8", "replace")))


def _pack(numbers: "array[float]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return zlib.compress(numbers.tobytes())


def _unpack(kind: str, data: bytes) -> "array[float]":
    numbers: array[float] = array(kind)
    try:
        numbers.frombytes(zlib.decompress(data))
    except (zlib.error, ValueError, TypeError) as error:
        raise Unreadable(f"a series cannot be read: {error}") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _filled(numbers: "array[float]", count: int) -> Sequence[float]:
    return numbers if len(numbers) >= count else [*numbers, *[metrics.MISSING] * (count - len(numbers))]
