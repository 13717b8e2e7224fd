"""A snapshot as checks read it. Sections are parsed when they are first looked at."""

import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

_FRACTION = re.compile(r"\.(\d+)")  # Python 3.10 wants 3 or 6 digits

_BLOCK_BYTES = 8192

LACKS = "the snapshot has no section"
Row = Mapping[str, Any]
T = TypeVar("T")
Point = tuple[float, float]
"""Epoch seconds, and what the value was then."""


class NotExamined(Exception):
    """A check cannot tell: why, on one line. That is never "fine"."""


@dataclass
class Part:
    """A section: JSON text, as it came or compressed (zlib), or what it was parsed to; `taken_at`: epoch seconds."""

    content: object
    taken_at: float

    def parsed(self) -> Row:
        """What is in it. A server that is none may say anything: then it is empty."""
        if isinstance(self.content, bytes):
            self.content = json.loads(zlib.decompress(self.content))
        if isinstance(self.content, str):
            self.content = json.loads(self.content)
        return self.content if isinstance(self.content, dict) else {}

    @cached_property
    def rows(self) -> list[Row]:
        """Those of a section that has many."""
        return [row for row in self.parsed().get("rows") or () if isinstance(row, dict)]


class Document:
    """One snapshot; or, as what another is compared with, the parts of several that came before it.

    `snapshot_id`, `collected_at` (epoch seconds); `name` and `tags` of the database; `interval_s` between two
    snapshots; `errors`: by collector, why a section is missing; `findings` and `diagnosis`: as it has them of its own;
    `trends`: what was measured before, a point an hour; `fresh_since`: sections that are older count as an earlier
    snapshot's.
    """

    def __init__(self, head: Row, parts: Mapping[str, Part]) -> None:
        database, meta = head.get("database") or {}, head.get("meta") or {}
        self.snapshot_id = str(head.get("snapshot_id") or "")
        self.collected_at = epoch(head.get("collected_at")) or 0.0
        self.name = str(database.get("name") or meta.get("db_name") or "")
        self.tags = database.get("tags") or ()
        self.interval_s = float(database.get("interval_s") or 0)
        self.db_name = str(meta.get("db_name") or "")
        self.db_version = str(meta.get("db_version") or "")
        self.errors = {str(row.get("collector")): _told(row) for row in head.get("errors") or ()}
        if "top_queries" in self.errors:  # one reading brings both
            self.errors.setdefault("queries", self.errors["top_queries"])
        self.findings: Sequence[Row] = head.get("findings") or ()
        self.diagnosis: Row = head.get("diagnosis") or {}
        self.trends: Mapping[str, Sequence[Point]] = {}
        self.since: Mapping[str, float] = {}
        self.fresh_since = self.collected_at
        self.parts = dict(parts)
        self._made: dict[object, Any] = {}
        self._top_queries = head.get("top_queries") or ()

    @classmethod
    def parse(cls, body: str | bytes) -> "Document":
        """Of a whole snapshot's JSON. ValueError where it is none."""
        head = json.loads(body)
        if not isinstance(head, dict) or not isinstance(head.get("sections"), dict):
            raise ValueError("it has no sections")
        taken_at = epoch(head.get("collected_at")) or 0.0
        sections = {name: found if isinstance(found, dict) else {} for name, found in head["sections"].items()}
        try:
            return cls(head, {name: Part(found, taken_at) for name, found in sections.items()})
        except (AttributeError, TypeError):
            raise ValueError("its head makes no sense") from None

    def has(self, section: str) -> bool:
        """Whether it brought that section."""
        return section in self.parts

    def is_fresh(self, section: str) -> bool:
        """Whether that section is of this very snapshot."""
        return self.has(section) and self.taken_at(section) >= self.fresh_since

    def taken_at(self, section: str) -> float:
        """When that section was collected, in epoch seconds."""
        return self._part(section).taken_at

    def one(self, section: str) -> Row:
        """A section of one row. Raises `NotExamined` where it is missing, as do the next three."""
        return self._part(section).parsed()

    def rows(self, section: str) -> list[Row]:
        """The rows of a section that has many."""
        return self._part(section).rows

    def total(self, section: str) -> Row:
        """What it says over all rows, those that are not shown, too."""
        return self.one(section).get("total") or {}

    def setting(self, name: str) -> str | None:
        """A setting's value, as pg_settings tells it; None where the snapshot does not have it."""
        row = self.settings.get(name)
        return None if row is None else row.get("setting")

    def number_setting(self, name: str) -> float | None:
        """The same as a number, in its own unit: pg_settings.unit."""
        value = self.setting(name)
        return None if value is None else float(value)

    @cached_property
    def settings(self) -> Mapping[str, Row]:
        """The rows of `settings` by name."""
        return {str(row.get("name")): row for row in self.rows("settings")}

    def query_text(self, queryid: object) -> str | None:
        """A statement's text, as `top_queries` or `queries` has it; None where neither does."""
        return self._query_texts.get(str(queryid))

    @cached_property
    def top_queries(self) -> Sequence[Row]:
        """The statements that cost most, as the snapshot's head has them; none where they could not be read."""
        top = json.loads(self._top_queries) if isinstance(self._top_queries, str) else self._top_queries
        return [row for row in top or () if isinstance(row, dict)]

    @cached_property
    def _query_texts(self) -> Mapping[str, str]:
        told = {str(row.get("fingerprint")): row.get("normalized_query") for row in self.top_queries}
        rows = self.rows("queries") if self.has("queries") else []
        told |= {str(row.get("queryid")): row["query"] for row in rows if row.get("query")}
        return {key: str(text) for key, text in told.items() if text}

    @property
    def block_bytes(self) -> int:
        """What the server was built with: 8192 nearly everywhere."""
        return int(self.one("server").get("block_size") or _BLOCK_BYTES) if self.has("server") else _BLOCK_BYTES

    @property
    def major(self) -> int:
        """15 for 15.18."""
        return int(self.one("database")["server_version_num"]) // 10000

    @property
    def in_recovery(self) -> bool:
        """Whether it is of a standby."""
        return bool(self.one("database")["in_recovery"])

    @cached_property
    def server_time(self) -> float:
        """The server's clock, in epoch seconds; the agent's, where that is not known."""
        told = self.one("database").get("server_time") if self.has("database") else None
        return epoch(told) or self.collected_at

    def age_s(self, when: object) -> float | None:
        """Seconds by the server's clock since `when`, a time as a section tells it; None for None."""
        moment = epoch(when)
        return None if moment is None else self.server_time - moment

    def lasting_s(self, finding: str) -> float:
        """For how long the finding of that id has been there, in seconds; 0 where it is new."""
        return self.server_time - self.since.get(finding, self.server_time)

    def counted_s(self) -> float:
        """For how long this database's counters have run, in seconds."""
        found = self.one("database")
        began = [self.age_s(found.get(name)) for name in ("stats_reset", "archiver_stats_reset")]
        known = [age for age in began if age is not None]
        return min(known) if known else self.age_s(found.get("postmaster_start_time")) or 0.0

    def once(self, name: object, make: Callable[[], T]) -> T:
        """What several checks make of it, made for the first that asks."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]  # type: ignore[no-any-return]

    def _part(self, section: str) -> Part:
        try:
            return self.parts[section]
        except KeyError:
            raise NotExamined(self.errors.get(section) or f"{LACKS} {section}") from None


def epoch(when: object) -> float | None:
    """Epoch seconds of a time in ISO 8601, as sections have it; None for what is none (`infinity`, say)."""
    if not when:
        return None
    text = _FRACTION.sub(lambda match: f".{match[1]:0<6.6}", str(when).replace("Z", "+00:00"))
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _told(error: Row) -> str:
    hint = error.get("hint")
    return f"{error.get('error')}; {hint}" if hint else str(error.get("error"))
