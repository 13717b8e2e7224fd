"""Findings as Markdown, for an issue or a chat."""

from collections.abc import Iterable, Iterator

from pgdoctor_lib.finding import Finding
from pgdoctor_lib.report.result import Result, tally, worst_first
from pgdoctor_lib.secret import printable
from pgdoctor_lib.units import format_span

_SPECIAL = str.maketrans({each: f"\\{each}" for each in "\\`*_[]<>|#~"})


def document(results: Iterable[Result]) -> str:
    """All databases, the sickest first."""
    return "\n".join(line for result in worst_first(results) for line in _result(result))


def _result(result: Result) -> Iterator[str]:
    yield f"## {_escaped(result.name)}\n"
    if result.error:
        yield f"Could not be examined: {_escaped(result.error)}\n"
        return
    yield f"{_escaped(result.of)}: {tally(result.findings)}.\n"
    for finding in result.findings:
        yield from _finding(finding)
    if result.not_examined:
        yield "Not examined:\n"
        yield from (f"- `{check}`: {_escaped(why)}" for check, why in result.not_examined.items())
        yield ""


def _finding(finding: Finding) -> Iterator[str]:
    yield f"### {finding.severity.word}: {finding.check}\n"
    yield f"{_escaped(finding.summary)}.\n"
    if finding.because_of:
        yield f"- follows from: {_escaped(finding.because_of)}"
    if finding.threshold:
        yield f"- compared with: {_escaped(finding.threshold)}"
    if finding.days_left is not None:
        yield f"- left at this pace: {format_span(finding.days_left * 86400)}"
    if finding.caution:
        yield f"- mind: {_escaped(finding.caution)}"
    if finding.more:
        yield f"- and {finding.more} more like it"
    if finding.remedy:
        yield f"\n```sql\n{_fenced(finding.remedy)}\n```\n"


def _fenced(text: str) -> str:
    """Several lines, each without what a terminal would take for a command; no fence of ours ends in it."""
    return "\n".join(map(printable, text.rstrip().split("\n"))).replace("```", "` ` `")


def _escaped(text: str) -> str:
    return printable(text).translate(_SPECIAL)
