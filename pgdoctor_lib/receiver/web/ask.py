"""What an address asks a view for: a span of time, an order, a filter; and addresses that ask for something else."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from urllib.parse import parse_qsl, urlencode

from pgdoctor_lib.receiver import moments

RANGES: Mapping[str, float] = {
    "15m": 900.0,
    "1h": 3600.0,
    "6h": 21_600.0,
    "24h": 86_400.0,
    "7d": 604_800.0,
    "30d": 2_592_000.0,
}
_MOST_CHARS = 4000
_NUMBER = re.compile(r"[0-9]{1,11}", re.ASCII)
_TIMES = ("from", "to", "range")


@dataclass(frozen=True)
class Ask:
    """A request for a page. `now`: epoch seconds; `path`: without the query; `given`: the query's fields.

    `usual`: the range where the address names none; `signed_in`: whether whoever asks showed a token;
    `paused`: whether pages are to stay as they are; `refusing_since`: since when the receiver can keep no snapshot.
    """

    now: float
    path: str
    given: Mapping[str, str] = field(default_factory=dict)
    usual: str = "6h"
    signed_in: bool = False
    paused: bool = False
    refusing_since: float | None = None

    @classmethod
    def of(cls, now: float, path: str, query: str) -> "Ask":
        """From an address. Fields that are unknown do no harm; of one that comes twice the last counts."""
        try:
            pairs = parse_qsl(query, max_num_fields=30, errors="replace")
        except ValueError:
            pairs = []
        return cls(now, path, {key[:30]: value[:_MOST_CHARS].replace("\0", "") for key, value in pairs})

    def text(self, name: str, default: str = "") -> str:
        """A field, without the spaces around it."""
        return self.given.get(name, default).strip()

    def number(self, name: str) -> int | None:
        """A field that is a plain number; None where it is none."""
        value = self.text(name)
        return int(value) if _NUMBER.fullmatch(value) else None

    def moment(self, name: str) -> float | None:
        """A field that is a time, as ISO 8601 or in epoch seconds; None where it is none."""
        return _or_none(moments.moment_of, self.text(name))

    @property
    def is_live(self) -> bool:
        """Whether it ends now, and so moves on."""
        return self.moment("to") is None

    @property
    def is_usual(self) -> bool:
        """Whether the address says nothing of the span."""
        return self.is_live and self.moment("from") is None and self._length_s is None

    @property
    def range(self) -> str:
        """The name of the range that is shown; "" for one that the address spells out."""
        if self.is_usual:
            return self.usual
        given = self.text("range")
        return given if self.is_live and self.moment("from") is None and given in RANGES else ""

    @property
    def span(self) -> tuple[float, float]:
        """From when to when, epoch seconds."""
        length_s = RANGES[self.usual] if self._length_s is None else self._length_s
        return moments.span(self.now, self.moment("from"), self.moment("to"), length_s)

    @property
    def unread(self) -> list[str]:
        """What the address says of the span that cannot be meant so, a sentence each."""
        first, last = self.moment("from"), self.moment("to")
        told = [f"{name}={self.text(name)[:40]} is no time like 2024-01-15T10:00:00Z, or epoch seconds."
                for name in ("from", "to") if self.text(name) and self.moment(name) is None]  # fmt: skip
        if self.text("range") and self._length_s is None:
            told.append(f"range={self.text('range')[:40]} is no span like 30m, 6h or 7d.")
        if first is not None and first > (self.now if last is None else last):
            told.append("It begins after its end: shown the other way round.")
        return told

    @property
    def _length_s(self) -> float | None:
        return _or_none(moments.length_of, self.text("range"))

    def link(self, path: str | None = None, **changes: object) -> str:
        """An address in HTML: this one with other fields; None takes one away. Of another path the times are kept."""
        kept = self.given if path is None else {key: self.given[key] for key in _TIMES if key in self.given}
        fields = {**kept, **changes}
        query = urlencode({key: str(value) for key, value in fields.items() if value not in (None, "")})
        target = self.path if path is None else path
        return escape(f"{target}?{query}" if query else target)

    def hidden(self, without: Iterable[str]) -> str:
        """The fields that a form keeps, `without` those of its own."""
        kept = {key: value for key, value in self.given.items() if key not in without and value}
        return "".join(
            f'<input type="hidden" name="{escape(key)}" value="{escape(value)}">' for key, value in kept.items()
        )


def _or_none(read: Callable[[str], float], text: str) -> float | None:
    try:
        return read(text)
    except ValueError:
        return None
