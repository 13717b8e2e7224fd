"""Findings as a monitoring plugin tells them: one line with performance data, and an exit status."""

from collections.abc import Sequence

from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report.result import Result, tally, worst_first
from pgdoctor_lib.secret import one_line

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_LONGEST = 400


def line(results: Sequence[Result]) -> tuple[str, int]:
    """The line and the exit status (monitoring-plugins.org/doc/guidelines.html)."""
    findings = [finding for result in results for finding in result.findings]
    status = _status(results)
    told = f"PGDOCTOR {_WORDS[status]} - {'; '.join(filter(None, (_tally(results), _worst(results))))}"
    counts = {severity: sum(1 + each.more for each in findings if each.severity is severity) for severity in Severity}
    data = " ".join(f"{severity.word}={count};;;0" for severity, count in reversed(counts.items()))
    unknown = sum(bool(result.error) for result in results)
    return (
        f"{one_line(told.replace('|', '/'), _LONGEST)} | {data} databases={len(results)};;;0 unknown={unknown};;;0",
        status,
    )


def _tally(results: Sequence[Result]) -> str:
    """What was found in those that were seen; "" where none was."""
    seen = [result for result in results if not result.error]
    found = tally(finding for result in seen for finding in result.findings)
    if len(seen) == len(results):
        return found
    return f"{found} in {len(seen)} of {len(results)} databases" if seen else ""


def _status(results: Sequence[Result]) -> int:
    worst = max((finding.severity for result in results for finding in result.findings), default=Severity.INFO)
    if worst is Severity.CRITICAL:
        return CRITICAL
    if any(result.error for result in results):
        return UNKNOWN
    return WARNING if worst is Severity.WARNING else OK


def _worst(results: Sequence[Result]) -> str:
    for result in worst_first(results):
        if result.error:
            return f"{result.name}: {result.error}"
        if result.worst > Severity.INFO:
            return f"{result.name}: {_cause(result.findings)}"
    return ""


def _cause(findings: Sequence[Finding]) -> str:
    """What all of the first tree follows from, and the worst in it."""
    cause, ids, below = findings[0], {findings[0].id}, []
    for each in findings[1:]:
        if each.because_of in ids:
            ids.add(each.id)
            below.append(each)
    worst = max(below, key=lambda each: each.severity, default=None)
    return cause.summary + (f"; from this follows: {worst.summary}" if worst else "")
