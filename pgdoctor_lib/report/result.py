"""What an examination of one database comes to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report.figures import Figures
from pgdoctor_lib.units import counted


@dataclass(frozen=True)
class Result:
    """`name` as configured; `of`: "PostgreSQL 15.18, database app". `error`: why it could not be examined, else "".

    `figures`: what else a page shows, where that was asked for. `muted`: ids of findings that are there, and not told.
    """

    name: str
    of: str = ""
    findings: tuple[Finding, ...] = ()
    not_examined: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    figures: Figures | None = None
    muted: tuple[str, ...] = ()

    @property
    def worst(self) -> int:
        """For an order, worst first: what could not be examined comes before what has no critical finding."""
        if self.error:
            return Severity.CRITICAL
        return max((finding.severity for finding in self.findings), default=0)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "database": self.name,
            "of": self.of,
            "findings": [finding.as_json() for finding in self.findings],
            "not_examined": dict(self.not_examined),
            "muted": list(self.muted),
            "error": self.error or None,
        }


def worst_first(results: Iterable[Result]) -> list[Result]:
    """The sickest database first."""
    return sorted(results, key=lambda result: -result.worst)


def tally(findings: Iterable[Finding]) -> str:
    """For people: "1 critical finding, 2 warnings, 3 notes", or "nothing found"."""
    count = dict.fromkeys(Severity, 0)
    for finding in findings:
        count[finding.severity] += 1 + finding.more
    named = {Severity.CRITICAL: "critical finding", Severity.WARNING: "warning", Severity.INFO: "note"}
    return ", ".join(counted(count[each], word) for each, word in named.items() if count[each]) or "nothing found"
