"""What a check says: the finding, its severity, what was compared, what mends it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How bad it is. `critical`: data, or the service, is lost or about to be; `info`: worth knowing."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """As it is written: "critical"."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Severity":
        """From "critical". KeyError for any other word."""
        return cls[word.upper()]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    `check`: the check's id; `key`: the object's stable name within the check, "" where there is but one; `subject`: the
    same for people; `summary`: one sentence with the numbers; `threshold`: what they were compared with, and where that
    comes from; `evidence`: JSON values; `remedy`: SQL, or lines of a shell or words as comments, to be pasted;
    `caution`: what the remedy costs; `days_left`: at the present slope; `since`: epoch seconds, by the server where it
    tells, else since the agent has seen it; `because_of`: `id` of the finding that it follows from; `more`: how many
    like it are not shown.
    """

    check: str
    key: str
    severity: Severity
    summary: str
    subject: str = ""
    threshold: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)
    remedy: str = ""
    caution: str = ""
    days_left: float | None = None
    since: float | None = None
    category: str = ""
    because_of: str = ""
    more: int = 0

    @property
    def id(self) -> str:
        """Check and key, by which it is muted and told from others: "slot-lost:gone"."""
        return f"{self.check}:{self.key}" if self.key else self.check

    def as_json(self) -> dict[str, Any]:
        """As it stands in a snapshot: all fields, the severity as a word."""
        return {**vars(self), "severity": self.severity.word}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "Finding":
        """From a snapshot. KeyError, TypeError or ValueError where it is none."""
        known = {each.name: found[each.name] for each in fields(cls) if each.name in found}
        known |= {name: str(known[name]) for name in ("check", "key", "because_of") if name in known}
        return cls(**{**known, "severity": Severity.of(str(found["severity"]))})


def causes_first(findings: Iterable[Finding]) -> list[Finding]:
    """Each with what follows from it right behind it, the worst first: a cause is as bad as what comes of it."""
    given = sorted(findings, key=lambda each: -each.severity)
    bad = gravest(given)
    ordered = sorted(given, key=lambda each: (-bad[each.id], each.because_of in bad))
    below: dict[str, list[Finding]] = {}
    for each in ordered:
        below.setdefault(each.because_of, []).append(each)
    found: dict[int, Finding] = {}  # by identity: a snapshot may have causes in a ring, and one id twice
    left = ordered[::-1]
    while left:
        each = left.pop()
        if id(each) not in found:
            found[id(each)] = each
            left += below.get(each.id, [])[::-1]
    return list(found.values())


def gravest(findings: Iterable[Finding]) -> dict[str, Severity]:
    """By id, how bad it is, or the worst of what follows from it."""
    given = sorted(findings, key=lambda each: -each.severity)
    causes = {each.id: each.because_of for each in given}
    bad: dict[str, Severity] = {}
    for each in given:
        name = each.id
        while name in causes and name not in bad:
            bad[name] = each.severity
            name = causes[name]
    return bad
