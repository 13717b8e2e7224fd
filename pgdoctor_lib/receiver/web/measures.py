"""The series that charts show, by name: those of the store, and those made of several of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pgdoctor_lib.receiver.store.model import Series, Values
from pgdoctor_lib.receiver.web.chart import Data

PEAKS_FROM_S = 300.0
Number = float | None


class Reads(Protocol):
    """The store, as far as it gives series."""

    def series(self, source: str, names: Sequence[str], since: float, until: float, points: int) -> Series | None:
        """Values of a database over time."""
        ...


def _added(*values: Number) -> Number:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _greater(*values: Number) -> Number:
    return max((value for value in values if value is not None), default=None)


def _hit_percent(hit: Number, read: Number) -> Number:
    return None if hit is None or read is None or not hit + read else 100 * hit / (hit + read)


def _per_hour(value: Number) -> Number:
    return None if value is None else value * 3600


def _seconds(value: Number) -> Number:
    return None if value is None else value / 1000


MADE: Mapping[str, tuple[Callable[..., Number], tuple[str, ...]]] = {
    "made.transactions": (_added, ("database.xact_commit", "database.xact_rollback")),
    "made.cache_hit": (_hit_percent, ("database.blks_hit", "database.blks_read")),
    "made.checkpoints_timed": (_per_hour, ("checkpointer.num_timed",)),
    "made.checkpoints_requested": (_per_hour, ("checkpointer.num_requested",)),
    "made.statement_time": (_seconds, ("queries.total_exec_time_ms",)),
    "made.lag": (_greater, ("replication.replay_lag_bytes", "replication.lag_bytes")),
}


def needed(names: Sequence[str]) -> list[str]:
    """What the store is to be asked for."""
    return list(dict.fromkeys(each for name in names for each in (MADE[name][1] if name in MADE else (name,))))


def made(series: Series, names: Sequence[str]) -> Mapping[str, Values]:
    """Of what the store gave, the series by those names."""
    return {name: _one(series, name) for name in names}


def read(store: Reads, source: str, names: Sequence[str], span: tuple[float, float], points: int) -> Data:
    """Of a database, within a span of time."""
    series = store.series(source, needed(names), *span, points)
    if series is None:
        return Data(span, [], {})
    return Data(span, series.times, made(series, names), _peaks(series, names))


def _peaks(series: Series, names: Sequence[str]) -> Mapping[str, Values]:
    """Of those that are kept as they are, where a step has many points: elsewhere they are hardly over the means."""
    if series.step_s < PEAKS_FROM_S:
        return {}
    return {name: series.peaks[name] for name in names if name in series.peaks}


def _one(series: Series, name: str) -> Values:
    if name not in MADE:
        return series.values.get(name) or [None] * len(series.times)
    make, parts = MADE[name]
    return [make(*each) for each in zip(*(_one(series, part) for part in parts), strict=True)]
