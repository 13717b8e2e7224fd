"""The plain middle that everyone shares: what one cycle collected, and its sealed form.

Rows stay the JSON text that the server wrote: `Section.json` goes into the body as it came.
"""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from pgdoctor_lib.finding import Finding
from pgdoctor_lib.secret import redact

SCHEMA_VERSION = 1
RANDOM_BITS = 74  # of a UUIDv7: 12 and 62
_NUMBER = re.compile(r"\b\d[\d.,]*\b")


@dataclass(frozen=True)
class Section:
    """One collector's result; `json` is text that the server wrote."""

    name: str
    json: str


@dataclass(frozen=True)
class CollectorError:
    """A collector that failed: which, why on one line, and what mends it.

    `is_listing`: `error` ends with a list, behind a colon, that changes while the error stays the same.
    """

    collector: str
    error: str
    hint: str = ""
    is_listing: bool = field(default=False, compare=False)

    @property
    def sort(self) -> str:
        """What is the same in the next cycle, whatever the numbers are by then, and the list."""
        before_list = replace(self, error=self.error.partition(":")[0]) if self.is_listing else self
        return _NUMBER.sub("", before_list.line)

    @property
    def line(self) -> str:
        """For people: "replication: permission denied …; GRANT …"."""
        return f"{self.collector}: {self.error}{f'; {self.hint}' if self.hint else ''}"


@dataclass(frozen=True)
class Cost:
    """What a collector cost: milliseconds of the server's time, rows that came, bytes of their JSON."""

    ms: float
    rows: int
    bytes: int


@dataclass(frozen=True)
class Collected:
    """What `collectors.run` brings home from one database.

    `top_queries` is None where pg_stat_statements could not be read. `costs`: of each collector that was asked.
    """

    db_name: str
    db_version: str
    sections: tuple[Section, ...] = ()
    top_queries: str | None = None
    errors: tuple[CollectorError, ...] = ()
    costs: dict[str, Cost] = field(default_factory=dict)


@dataclass(frozen=True)
class Unreachable:
    """A database of which nothing could be collected, twice or more: since when (epoch seconds), and why."""

    name: str
    since: float
    error: str


@dataclass(frozen=True)
class Agent:
    """Who collected: PGDoctor's version, the host's name, the process.

    `dropped_snapshots`: how many it has given up since its start, of all databases, because the spool was full or they
    grew too old. `usage`: what it takes of its machine (agent/usage.py). `unreachable`: its other databases that fail.
    """

    version: str
    hostname: str
    pid: int
    dropped_snapshots: int = 0
    usage: dict[str, float | int | None] = field(default_factory=dict)
    unreachable: tuple[Unreachable, ...] = ()


@dataclass(frozen=True)
class Mark:
    """What somebody called a moment: a deploy, a migration. `at`: epoch seconds."""

    label: str
    at: float


@dataclass(frozen=True)
class Snapshot:
    """One cycle of one database. `collected_at` in epoch seconds, `duration_ms` of the collection.

    `findings`, worst first; `diagnosis`: how they came about, and what the next one needs (agent/diagnosis.py).
    `mark`: the newest of this database.
    """

    snapshot_id: str
    collected_at: float
    duration_ms: float
    agent: Agent
    name: str
    tags: tuple[str, ...] | dict[str, str]
    interval_s: float
    collected: Collected
    findings: tuple[Finding, ...] = ()
    diagnosis: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None

    def body(self) -> bytes:
        """The JSON document of the wire, as UTF-8."""
        collected = self.collected
        head = {
            "schema_version": SCHEMA_VERSION,
            "snapshot_id": self.snapshot_id,
            "collected_at": iso_time(self.collected_at),
            "duration_ms": round(self.duration_ms, 1),
            "agent": {**vars(self.agent), "collectors": collected.costs},
            "database": {
                "name": self.name,
                "tags": self.tags,
                "interval_s": whole(self.interval_s),
                **({"mark": {"label": self.mark.label, "at": iso_time(self.mark.at)}} if self.mark else {}),
            },
            "meta": {"db_name": collected.db_name, "db_version": collected.db_version},
            "has_pg_stat_statements": collected.top_queries is not None,
        }
        findings = _json([finding.as_json() for finding in self.findings])
        diagnosis = f'"diagnosis":{_json(self.diagnosis)},' if self.diagnosis else ""
        errors = [_error(error) for error in collected.errors]
        sections = ",".join(f"{_json(section.name)}:{section.json}" for section in collected.sections)
        return (
            f'{_json(head)[:-1]},"top_queries":{collected.top_queries or "[]"},'
            f'"sections":{{{sections}}},"findings":{findings},{diagnosis}"errors":{_json(errors)}}}'
        ).encode("utf-8", "replace")

    def seal(self) -> "Sealed":
        """The bytes that go to disk and over the wire, the same at every attempt."""
        return Sealed(self.snapshot_id, self.name, self.body())


@dataclass(frozen=True)
class Sealed:
    """A finished snapshot: nothing changes it from here on."""

    snapshot_id: str
    name: str
    body: bytes = field(repr=False)


def new_id(wall: float | None = None) -> str:
    """A time-ordered UUID (RFC 9562, version 7) for the moment `wall` (epoch seconds)."""
    return uuid7(time.time() if wall is None else wall, secrets.randbits(RANDOM_BITS))


def uuid7(wall: float, random: int) -> str:
    """A UUID in version 7's layout: that moment in ms, then a number of `RANDOM_BITS`."""
    milliseconds = int(wall * 1000) & (1 << 48) - 1
    high, low = random >> 62, random & (1 << 62) - 1
    text = f"{milliseconds << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def iso_time(epoch: float) -> str:
    """ISO 8601 in UTC with milliseconds: 2024-01-15T10:00:00.000Z."""
    moment = datetime.fromtimestamp(epoch, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=vars)


def _error(error: CollectorError) -> dict[str, str]:
    told = {"collector": error.collector, "error": redact(error.error)}
    return {**told, "hint": error.hint} if error.hint else told


def whole(number: float) -> float:
    """60 for 60.0: the way people write it."""
    return int(number) if number == int(number) else number
