"""What one diagnosis of a database leaves for the next: since when, how often, and trends, a point an hour."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgdoctor_lib.checks.document import Document, Point
from pgdoctor_lib.finding import Finding

POINT_EVERY_S = 3600.0
MOST_POINTS = 72
MOST_TRENDS = 40
_EARLY = 0.95  # cycles are never quite an hour apart


@dataclass(frozen=True)
class Watch:
    """Of a finding, shown or not yet: since when (epoch seconds), and in how many snapshots in a row it was there."""

    since: float
    times: int


@dataclass(frozen=True)
class State:
    """`watched`: by `Finding.id`; `trends`: by name, oldest point first; `shown`: the findings themselves.

    `not_examined`: by check, why it could not tell. `muted`: findings that were not told, so that they are known where
    their section is not due; a snapshot does not have them.
    """

    watched: Mapping[str, Watch] = field(default_factory=dict)
    trends: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    shown: tuple[Finding, ...] = ()
    not_examined: Mapping[str, str] = field(default_factory=dict)
    muted: tuple[Finding, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For a snapshot, which has the findings already, and what was not examined."""
        watched = {key: [watch.since, watch.times] for key, watch in self.watched.items()}
        return {"watched": watched, "trends": dict(self.trends)}

    def of_checks(self, wanted: Callable[[str], bool]) -> "State":
        """What it knows of some checks, with all trends."""
        return State(
            {key: watch for key, watch in self.watched.items() if wanted(key.partition(":")[0])},
            self.trends,
            tuple(each for each in self.shown if wanted(each.check)),
            {check: why for check, why in self.not_examined.items() if wanted(check)},
            tuple(each for each in self.muted if wanted(each.check)),
        )

    def joined(self, other: "State") -> "State":
        """With what the other one knows of other checks, but for trends."""
        return State(
            {**self.watched, **other.watched},
            self.trends,
            (*self.shown, *other.shown),
            {**self.not_examined, **other.not_examined},
            (*self.muted, *other.muted),
        )

    @classmethod
    def after(cls, document: Document) -> "State":
        """What that snapshot's diagnosis left; nothing where it had none."""
        return cls.of_json(document.diagnosis, document.findings) if document.diagnosis else cls()

    @classmethod
    def before(cls, document: Document) -> "State":
        """What it found when it was made, as far as it still tells."""
        left = cls.after(document)
        now = round(document.server_time)
        watched = {key: Watch(watch.since, watch.times - 1) for key, watch in left.watched.items()}
        trends = {name: [point for point in points if point[0] < now] for name, points in left.trends.items()}
        trends = {name: points for name, points in trends.items() if points}
        return cls(watched, trends, left.shown, left.not_examined)

    @classmethod
    def of_json(cls, found: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> "State":
        """From a snapshot. KeyError, TypeError or ValueError where it is none."""
        watched = {str(key): Watch(float(since), int(times)) for key, (since, times) in found["watched"].items()}
        trends = {
            str(name): [(float(when), float(value)) for when, value in points]
            for name, points in found["trends"].items()
        }
        not_examined = {str(check): str(why) for check, why in found["not_examined"].items()}
        return cls(watched, trends, tuple(map(Finding.of_json, findings)), not_examined)


def with_samples(
    old: Mapping[str, Sequence[Point]], samples: Mapping[str, float], now: float
) -> Mapping[str, Sequence[Point]]:
    """The trends with the samples of now, where the last point is an hour old; those long without any are gone."""
    kept = {name: points for name, points in old.items() if now - points[-1][0] < POINT_EVERY_S * MOST_POINTS}
    for name, value in samples.items():
        points = kept.get(name, ())
        if not points or now - points[-1][0] >= POINT_EVERY_S * _EARLY:
            kept[name] = (*points, (round(now), value))[-MOST_POINTS:]
    return dict(sorted(kept.items(), key=lambda item: item[1][-1][0], reverse=True)[:MOST_TRENDS])
