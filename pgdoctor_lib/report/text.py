"""Findings for a terminal: worst first, what follows from another beneath it, each with its proof and its remedy."""

import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report.result import Result, tally, worst_first
from pgdoctor_lib.secret import printable
from pgdoctor_lib.units import format_span

_COLOURS = {Severity.CRITICAL: "1;31", Severity.WARNING: "1;33", Severity.INFO: "1;36"}
_LEAST_WIDTH, _MOST_WIDTH = 60, 110
_MOST_CHARS = 400  # of one line's text
_MOST_LISTED = 12
_NEW_S = 10.0  # what a look of some seconds has seen for no longer may have been there for ever
_INDENT = "    "


class Text:
    """How it is written. `width`: of the terminal; `colour`: whether it shows any; `now`: epoch seconds.

    `reasons`: whether it tells why a check could not examine something, or merely which.
    """

    def __init__(self, width: int, now: float, *, colour: bool, reasons: bool) -> None:
        self._width = min(max(width, _LEAST_WIDTH), _MOST_WIDTH)
        self._now = now
        self._colour = colour
        self._reasons = reasons

    def results(self, results: Iterable[Result]) -> str:
        """All databases, the sickest first."""
        return "\n".join("\n".join(self._result(result)) + "\n" for result in worst_first(results))

    def _result(self, result: Result) -> Iterator[str]:
        name = self._painted(printable(result.name), "1")
        if result.error:
            yield f"{name}: {self._painted('could not be examined', _COLOURS[Severity.CRITICAL])}"
            yield from self._wrapped(result.error, _INDENT)
            return
        yield f"{name}: {tally(result.findings)} ({result.of})"
        shown = {finding.id for finding in result.findings}
        told: set[int] = set()
        roots = [finding for finding in result.findings if finding.because_of not in shown]
        for finding in (*roots, *result.findings):  # what is left are causes in a ring
            if id(finding) not in told:
                yield ""
                yield from self._finding(finding, result.findings, told, "  ")
        if result.muted:
            yield ""
            yield f"  {self._painted('muted', '2')}"
            yield from self._wrapped(", ".join(result.muted), _INDENT)
        yield from self._not_examined(result)

    def _finding(self, finding: Finding, others: Sequence[Finding], told: set[int], indent: str) -> Iterator[str]:
        """One, and those that follow from it. `told`: which were."""
        told.add(id(finding))
        word = self._painted(f"{finding.severity.word.upper():<8}", _COLOURS[finding.severity])
        yield f"{indent}{word} {self._painted(finding.check, '1')}"
        below = indent + _INDENT
        yield from self._wrapped(finding.summary, below)
        if finding.severity > Severity.INFO:  # what is but worth knowing is told in short
            for label, text in self._facts(finding):
                yield from self._wrapped(f"{label}: {text}", below)
            yield from self._seen(finding.evidence, below)
        if finding.more:
            yield f"{below}and {finding.more} more like it"
        if finding.remedy:
            yield f"{below}{self._painted('to mend it:', '2')}"
            yield from (f"{below}{_INDENT}{printable(line)}" for line in finding.remedy.rstrip().split("\n"))
        if finding.caution:
            yield from self._wrapped(f"mind: {finding.caution}", below)
        for each in others:
            if each.because_of == finding.id and id(each) not in told:
                yield f"{below}{self._painted('from this follows:', '2')}"
                yield from self._finding(each, others, told, below)

    def _facts(self, finding: Finding) -> Iterator[tuple[str, str]]:
        if finding.threshold:
            yield "compared with", finding.threshold
        if finding.since is not None and self._now - finding.since >= _NEW_S:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(finding.since))
            yield "since", f"{when} ({format_span(self._now - finding.since)})"
        if finding.days_left is not None:
            yield "left at this pace", format_span(finding.days_left * 86400)

    def _seen(self, evidence: Mapping[str, object], indent: str) -> Iterator[str]:
        """What proves it: plain values in a line, each thing of a list in its own, a tree as one."""
        plain = {key: value for key, value in evidence.items() if not isinstance(value, dict | list) or not value}
        if told := _pairs(plain):
            yield from self._wrapped(f"seen: {told}", indent)
        for key, value in evidence.items():
            if isinstance(value, dict) and value:
                yield from self._wrapped(f"{key}: {_pairs(value)}", indent)
            elif isinstance(value, list) and value:
                yield f"{indent}{printable(key)}:"
                for each in value[:_MOST_LISTED]:
                    yield from self._wrapped(_item(each), indent + "  " * _depth(each))

    def _not_examined(self, result: Result) -> Iterator[str]:
        """Which checks, or by reason which."""
        if not result.not_examined:
            return
        yield ""
        if not self._reasons:
            named = ", ".join(result.not_examined)
            yield from self._wrapped(f"not examined (--only CHECK tells why): {named}", "  ")
            return
        yield f"  {self._painted('not examined', '2')}"
        by_reason: dict[str, list[str]] = {}
        for check, why in result.not_examined.items():
            by_reason.setdefault(why, []).append(check)
        for why, names in by_reason.items():
            yield from self._wrapped(f"{', '.join(names)}: {why}", _INDENT)

    def _wrapped(self, text: str, indent: str) -> list[str]:
        return textwrap.wrap(
            printable(text),
            max(self._width, len(indent) + 40),
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _painted(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _depth(item: object) -> int:
    depth = item.get("depth") if isinstance(item, dict) else None
    return min(max(depth, 1), 8) if isinstance(depth, int) else 1


def _item(item: object) -> str:
    if not isinstance(item, dict):
        return _value(item)
    return _pairs({key: value for key, value in item.items() if key not in ("depth", "parent_pid")})


def _pairs(values: Mapping[str, object]) -> str:
    told = ", ".join(f"{key}={_value(value)}" for key, value in values.items() if value is not None)
    return told if len(told) <= _MOST_CHARS else told[:_MOST_CHARS] + " …"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
