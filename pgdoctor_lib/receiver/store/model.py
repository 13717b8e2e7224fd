"""What the store takes and gives: plain, frozen, the same whichever database is behind it. Times in epoch seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pgdoctor_lib.errors import PGDoctorError

MOST_FINDINGS = 2000  # that are told at once, the worst
Values = Sequence[float | None]
Tags = list[str] | dict[str, str]
_SILENT_INTERVALS, _SILENT_LEAST_S = 3, 15.0


class StoreError(PGDoctorError):
    """The store could not be read or written."""


class Unreadable(StoreError):
    """One row of it is damaged. Where there are many like it, it counts as missing."""


def silent_after_s(interval_s: float) -> float:
    """Three intervals."""
    return max(_SILENT_INTERVALS * interval_s, _SILENT_LEAST_S)


def too_new(place: str) -> StoreError:
    """For a store whose tables this version does not know."""
    hint = "start that version, or restore a backup from before the upgrade"
    return StoreError(f"{place}: made by a newer PGDoctor", hint=hint)


@dataclass(frozen=True)
class Retention:
    """How long what is kept, in seconds: snapshots and their points; steps of 5 minutes; of an hour; all bodies.

    After `bodies_s` one body an hour is left. `max_bytes`: of the store, 0 for any size.
    """

    raw_s: float = 14 * 86_400.0
    five_minutes_s: float = 90 * 86_400.0
    hour_s: float = 730 * 86_400.0
    bodies_s: float = 86_400.0
    max_bytes: int = 0


@dataclass(frozen=True)
class Kept:
    """A snapshot in the store. `new`: False where it was there already."""

    snapshot_id: str
    source_id: str
    received_at: float
    new: bool


@dataclass(frozen=True)
class Source:
    """A database as its latest snapshot tells it. `project`: whose token it came with, "" for the receiver's own.

    `server`: the same for all databases of a server; what is before the "/" is its standbys' too. `why`: of a silent
    one, what its agent tells in the snapshots of others.
    """

    id: str
    name: str
    project: str
    snapshot_id: str
    collected_at: float
    received_at: float
    interval_s: float
    tags: Tags
    db_name: str
    db_version: str
    hostname: str
    size_bytes: int | None
    active_sessions: int | None
    errors: int
    summary: Mapping[str, Any]
    critical: int = 0
    warnings: int = 0
    server: str = ""
    why: str = ""

    @property
    def silent_after_s(self) -> float:
        """How long nothing may come before its data count as missing."""
        return silent_after_s(self.interval_s)

    @property
    def slow_s(self) -> float:
        """How far its agent's clock is behind the receiver's, where that is more; else 0."""
        return float(self.summary.get("slow_s", 0.0))


@dataclass(frozen=True)
class Line:
    """A snapshot as a line of a list. `body_bytes`: its JSON, inflated; `has_body`: it was not thinned out."""

    id: str
    collected_at: float
    received_at: float
    size_bytes: int | None
    active_sessions: int | None
    errors: int
    body_bytes: int
    has_body: bool = True


@dataclass(frozen=True)
class Series:
    """Values over time. `times`: the middle of each step; a gap is None. Counters are per second.

    `peaks`: the highest within each step, where several points fell into one.
    """

    step_s: float
    times: Sequence[float]
    values: Mapping[str, Values]
    peaks: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True)
class FindingRow:
    """A finding over its life. `id`: as the snapshot has it; `gone_at`: None while it is there; `data`: the finding."""

    source_id: str
    id: str
    check: str
    severity: str
    since: float
    last_seen: float
    gone_at: float | None
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """What happened at a moment. `kind`: restart, failover, version, settings, schema, mark, opened, resolved."""

    at: float
    kind: str
    key: str
    text: str


@dataclass(frozen=True)
class QueryStat:
    """A statement over a span of time, added up over roles. `share`: of all statements' time, 0 to 1.

    `counters`: what each grew by, by the names of section `queries` (`rows`, `shared_blks_read`, `wal_bytes`, …);
    `spark`: time per second in equal steps of the span.
    """

    queryid: str
    text: str
    roles: Sequence[str]
    calls: float
    total_time_ms: float
    share: float
    counters: Mapping[str, float]
    spark: Values

    @property
    def mean_ms(self) -> float:
        """What a call took."""
        return self.total_time_ms / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class QuerySeries:
    """A statement over time. `steps[i]` spans `times[i]` to `times[i + 1]`: what its counters grew by; None: a gap."""

    queryid: str
    text: str
    roles: Sequence[str]
    times: Sequence[float]
    steps: Sequence[Mapping[str, float] | None]
    plan: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Objects:
    """Section `tables` or `indexes`. `at`: when it was read; `total`: over all that there are; `more`: how many of them
    the snapshot left out, whose choice is the collector's."""

    at: float
    rows: Sequence[dict[str, Any]]
    total: Mapping[str, Any]
    more: int


@dataclass(frozen=True)
class ObjectSeries:
    """A table or an index over time: `columns` by the names of its section, as they were read at `times`."""

    times: Sequence[float]
    columns: Mapping[str, Values]


@dataclass(frozen=True)
class TokenRow:
    """A project's token. What it is is not kept."""

    name: str
    created_at: float
    last_used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True)
class Extension:
    """What the store's database has for tables that grow with time. `unused`: why the store's are not so; else ""."""

    name: str
    version: str
    unused: str = ""


@dataclass(frozen=True)
class StoreStats:
    """How much is kept."""

    size_bytes: int
    sources: int
    snapshots: int
    bodies: int
    oldest: float | None
    newest: float | None
