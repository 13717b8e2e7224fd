"""The open findings: a line each that opens to what was seen, what mends it, and what follows from it.

There may be hundreds. They come in pages; and where what is folded up in them would make a page heavy, a line leads to
the finding's own page instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

from pgdoctor_lib.finding import Finding, Severity, causes_first, gravest
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import MOST_FINDINGS, FindingRow
from pgdoctor_lib.receiver.web import parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.listing import paged, way
from pgdoctor_lib.report.html import parts as report

PAGE_ROWS = 15
_MOST_CHARS = 400
_MOST_HTML = 9_000  # of what is folded up, all in all
_MOST_DEEP = 20  # one within the other
_HIDDEN = ("tree", "root")


@dataclass(frozen=True)
class Told:
    """A finding as it is shown."""

    finding: Finding
    since: float
    gone_at: float | None = None

    @property
    def number(self) -> int:
        """The same for the same finding, whatever its name holds."""
        return int(sha256(self.finding.id.encode("utf-8", "replace")).hexdigest()[:12], 16)

    @property
    def key(self) -> str:
        """Its anchor in a page."""
        return f"f-{self.number}"


def told(rows: Sequence[FindingRow]) -> list[Told]:
    """Worst first, then the newest; a cause with what follows from it. What is no finding is left out."""
    found = [Told(finding, row.since, row.gone_at) for row in rows if (finding := _read(row.data))]
    newest = sorted(found, key=lambda each: -each.since)
    place = {id(each): number for number, each in enumerate(causes_first(each.finding for each in newest))}
    return sorted(found, key=lambda each: place[id(each.finding)])


@dataclass
class _Drawing:
    """What lines are drawn of. `drawn`: by id, a picture; `seen`: what stands somewhere; `left`: of `_MOST_HTML`."""

    all: Sequence[Told]
    ask: Ask
    drawn: Mapping[str, str]
    base: str
    seen: set[str] = field(default_factory=set)
    left: int = _MOST_HTML

    @cached_property
    def gravest(self) -> Mapping[str, Severity]:
        """By id, how bad it is, or the worst of what follows from it."""
        return gravest(each.finding for each in self.all)


def lines(all_: Sequence[Told], ask: Ask, base: str, drawn: Mapping[str, str]) -> str:
    """A page of them; one that follows from another stands in that one. `base`: the database's; `drawn`: by id, a
    picture."""
    if not all_:
        was = "is" if ask.is_live else "was"
        return f'<p class="well">Nothing {was} wrong that PGDoctor knows of.</p>'
    ids = {each.finding.id for each in all_}
    roots = [each for each in all_ if each.finding.because_of not in ids]
    loops = _out_of_reach(all_, roots)
    shown, page, pages = paged([*roots, *loops], ask, PAGE_ROWS)
    drawing = _Drawing(all_, ask, drawn, base)
    body = "".join(_line(each, drawing) for each in shown if each.key not in drawing.seen)
    return f'<div class="findings">{body}</div>{way(ask, page, pages)}{capped(len(all_))}'


def capped(count: int) -> str:
    """Where so many findings were told that there may be more: that it is so."""
    told = f"There may be more: the worst {parts.number(MOST_FINDINGS)} are told."
    return f'<p class="quiet">{told}</p>' if count >= MOST_FINDINGS else ""


def one(all_: Sequence[Told], number: str, ask: Ask, base: str, drawn: Mapping[str, str]) -> str | None:
    """One of them, open; None where it is not there (any more)."""
    found = next((each for each in all_ if str(each.number) == number), None)
    return None if found is None else _line(found, _Drawing(all_, ask, drawn, base, left=10**9), is_open=True)


def _out_of_reach(all_: Sequence[Told], roots: Sequence[Told]) -> list[Told]:
    """Those that follow from each other in a circle."""
    reached = {each.finding.id for each in roots}
    grew = True
    while grew:
        more = {each.finding.id for each in all_ if each.finding.because_of in reached} - reached
        reached |= more
        grew = bool(more)
    return [each for each in all_ if each.finding.id not in reached]


def _read(data: Mapping[str, Any]) -> Finding | None:
    try:
        return Finding.of_json(data)
    except (KeyError, TypeError, ValueError):
        return None


def _line(told: Told, drawing: _Drawing, depth: int = 0, *, is_open: bool = False) -> str:
    drawing.seen.add(told.key)
    finding, word = told.finding, told.finding.severity.word
    below = [each for each in drawing.all if each.finding.because_of == finding.id and each.key not in drawing.seen]
    drawing.seen |= {each.key for each in below}
    count = f' <span class="quiet">and {_count(finding, below, drawing)}</span>' if below else ""
    return (
        f'<details class="finding {word}" id="{told.key}"{" open" if is_open else ""}>'
        f'<summary><span class="badge {word}">{word}</span>'
        f'<span class="said">{parts.one_line(finding.summary, _MOST_CHARS)}{count}</span>'
        f'<span class="quiet">{_when(told, drawing.ask.now)}</span></summary><div class="inside">'
        f"{_inside(told, below, drawing, depth)}</div></details>"
    )


def _when(told: Told, now: float) -> str:
    gone = "" if told.gone_at is None else f", gone {parts.ago(told.gone_at, now)}"
    return parts.ago(told.since, now) + gone


def _count(finding: Finding, below: Sequence[Told], drawing: _Drawing) -> str:
    """How many follow from it; and how bad the worst is, where that is worse than the cause."""
    worst = drawing.gravest[finding.id]
    words = f"{len(below)} that {'follows' if len(below) == 1 else 'follow'}"
    return f"{words}, {worst.word}" if worst > finding.severity else words


def _inside(told: Told, below: Sequence[Told], drawing: _Drawing, depth: int) -> str:
    finding = told.finding
    if depth >= _MOST_DEEP:
        return _elsewhere(told, drawing)
    follows = "".join(_line(each, drawing, depth + 1) for each in below)
    picture = drawing.drawn.get(finding.id, "")
    body = (
        f"{_facts(finding)}{picture}{''.join(_evidence(finding, bool(picture)))}{_remedy(finding)}"
        f"{f'<h3>From this follows</h3>{follows}' if follows else ''}"
    )
    if len(body) > drawing.left:
        return _elsewhere(told, drawing)
    drawing.left -= len(body)
    return body


def _elsewhere(told: Told, drawing: _Drawing) -> str:
    """The way to its own page."""
    address = drawing.ask.link(f"{drawing.base}/findings/{told.number}")
    return f'<p><a href="{address}">What was seen, and how to mend it</a></p>'


def _facts(finding: Finding) -> str:
    pairs = [("Check", f"<code>{parts.safe(finding.check)}</code>")]
    if finding.subject:
        pairs.append(("Of", parts.one_line(finding.subject, _MOST_CHARS)))
    if finding.threshold:
        pairs.append(("Compared with", parts.one_line(finding.threshold, _MOST_CHARS)))
    if (days := shapes.real(finding.days_left)) is not None:
        pairs.append(("Left at this pace", parts.span(days * 86_400)))
    if finding.more:
        pairs.append(("Like it, not told", parts.number(shapes.number(finding.more))))
    return parts.facts(pairs)


def _remedy(finding: Finding) -> str:
    remedy = f"<h3>To mend it</h3>{parts.copyable(str(finding.remedy))}" if finding.remedy else ""
    caution = f'<p class="mind"><b>Mind:</b> {parts.safe(finding.caution)}</p>' if finding.caution else ""
    return remedy + caution


def _evidence(finding: Finding, has_picture: bool) -> Iterator[str]:
    """Plain values side by side; each thing with parts in a part of its own."""
    seen: object = finding.evidence  # a snapshot may have anything there
    evidence = seen if isinstance(seen, Mapping) else {}
    hidden = _HIDDEN if has_picture else ()
    found = {str(key): each for key, each in evidence.items() if key not in hidden and each not in (None, [], {})}
    if plain := [(key, each) for key, each in found.items() if not _is_deep(each)]:
        yield f"<h3>What was seen</h3>{_values(plain)}"
    things = [_thing(key, each) for key, each in found.items() if isinstance(each, dict)]
    if things:
        yield f'<div class="parts">{"".join(things)}</div>'
    for key, each in found.items():
        if isinstance(each, list) and _is_deep(each):
            yield report.table_of([row if isinstance(row, dict) else {key: row} for row in each], report.label(key))


def _thing(key: str, found: Mapping[str, Any]) -> str:
    return f"<div><h3>{report.label(key)}</h3>{_values([(str(name), each) for name, each in found.items()])}</div>"


def _is_deep(found: object) -> bool:
    if isinstance(found, list):
        return any(isinstance(each, dict) for each in found)
    return isinstance(found, dict)


def _values(pairs: Sequence[tuple[str, object]]) -> str:
    told = "".join(
        f"<div><dt>{report.label(key)}</dt><dd>{_value(key, each)}</dd></div>"
        for key, each in pairs
        if each is not None
    )
    return f'<dl class="facts">{told}</dl>'


def _value(key: str, found: object) -> str:
    told = report.value(key, found)
    return f"<code>{told}</code>" if key in ("query", "definition") else told
