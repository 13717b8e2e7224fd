"""The findings: each with what it was compared with, its evidence, its remedy, and below it what follows from it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report.html.parts import facts, label, lines, moment, safe, seconds, table_of, value

_Evidence = Mapping[str, object]


@dataclass(frozen=True)
class Findings:
    """How they are written. `now`: epoch seconds; `drawn`: by id of a finding, the picture that shows its tree."""

    shown: Sequence[Finding]
    now: float
    drawn: Mapping[str, str]

    def html(self) -> str:
        """All of them, worst first."""
        ids = {finding.id for finding in self.shown}
        told: set[int] = set()
        roots = [finding for finding in self.shown if finding.because_of not in ids]
        first = [self._finding(finding, told) for finding in roots]
        rest = [self._finding(finding, told) for finding in self.shown if id(finding) not in told]  # causes in a ring
        return "".join(first + rest)

    def _finding(self, finding: Finding, told: set[int]) -> str:
        told.add(id(finding))
        below = [
            self._finding(each, told) for each in self.shown if each.because_of == finding.id and id(each) not in told
        ]
        follows = f'<div class="follows"><p>From this follows:</p>{"".join(below)}</div>' if below else ""
        word = finding.severity.word
        return (
            f'<article class="finding {word}"><h4><span class="badge {word}">{word}</span> {safe(finding.check)}'
            f' <span class="quiet">{safe(finding.category)}</span></h4><p class="summary">{safe(finding.summary)}</p>'
            f"{self._proof(finding)}{_more(finding)}{_remedy(finding)}{follows}</article>"
        )

    def _proof(self, finding: Finding) -> str:
        """What is but worth knowing opens when asked."""
        told = facts(self._facts(finding)) + self.drawn.get(finding.id, "")
        told += "".join(_evidence(finding.evidence, drawn=finding.id in self.drawn))
        if told and finding.severity is Severity.INFO:
            return f"<details><summary>what was seen</summary>{told}</details>"
        return told

    def _facts(self, finding: Finding) -> Iterator[tuple[str, str]]:
        if finding.threshold:
            yield "compared with", safe(finding.threshold)
        if finding.since is not None:
            yield "since", f"{moment(finding.since)} ({seconds(max(0.0, self.now - finding.since))})"
        if finding.days_left is not None:
            yield "left at this pace", seconds(finding.days_left * 86400)


def _more(finding: Finding) -> str:
    return f'<p class="quiet">and {finding.more} more like it</p>' if finding.more else ""


def _remedy(finding: Finding) -> str:
    remedy = caution = ""
    if finding.remedy:
        remedy = f'<div class="remedy"><p>To mend it</p><pre tabindex="0">{lines(finding.remedy)}</pre></div>'
    if finding.caution:
        caution = f'<p class="mind"><b>Mind:</b> {safe(finding.caution)}</p>'
    return remedy + caution


def _evidence(evidence: _Evidence, *, drawn: bool) -> Iterator[str]:
    """Plain values side by side, each thing with parts in a part of its own. `drawn`: a picture has the tree."""
    hidden = ("tree", "root") if drawn else ()
    told = {key: found for key, found in evidence.items() if key not in hidden and found not in (None, [], {})}
    if plain := {key: found for key, found in told.items() if not _is_deep(found)}:
        yield _values(plain)
    for key, found in told.items():
        if isinstance(found, dict):
            yield f'<div class="part"><p>{label(key)}</p>{_values(found)}</div>'
        elif isinstance(found, list) and _is_deep(found):
            yield table_of([each if isinstance(each, dict) else {key: each} for each in found], label(key))


def _is_deep(found: object) -> bool:
    if isinstance(found, list):
        return any(isinstance(each, dict) for each in found)
    return isinstance(found, dict)


def _values(found: _Evidence) -> str:
    told = [(str(key), each) for key, each in found.items() if each is not None]
    return f'<dl class="seen">{"".join(_pairs(told))}</dl>'


def _pairs(told: Iterable[tuple[str, object]]) -> Iterator[str]:
    for key, each in told:
        code = ("<code>", "</code>") if key in ("query", "definition") else ("", "")
        yield f"<div><dt>{label(key)}</dt><dd>{code[0]}{value(key, each)}{code[1]}</dd></div>"
