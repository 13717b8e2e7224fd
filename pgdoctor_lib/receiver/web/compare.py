"""Two times of a database, or two databases, side by side: settings, schema, sizes, statements, findings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.receiver.store.model import Event, Source
from pgdoctor_lib.receiver.web import frame, parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.latest import attempt
from pgdoctor_lib.report.compare import Changed, Difference, is_later
from pgdoctor_lib.report.compare import compare as compare_documents
from pgdoctor_lib.report.statements import Statement, Statements
from pgdoctor_lib.snapshot import iso_time

SECTIONS = ("settings", "extensions", "schema", "database_sizes", "table_sizes", "queries", "database")
_MOST, _HEAD_CHARS = 100, 40
_TYPED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
_QUICK = (("an hour ago", 3600), ("a day ago", 86_400), ("a week ago", 7 * 86_400))


@dataclass(frozen=True)
class Side:
    """What is compared with. `title`: plain text."""

    source: Source
    title: str
    document: Document | None


@dataclass(frozen=True)
class Comparison:
    """What it shows. `first`: None where the address does not say yet; `marks`: the newest first.

    `bodies_s`: for how long each snapshot is kept whole.
    """

    source: Source
    others: Sequence[Source]
    marks: Sequence[Event]
    first: Side | None
    second: Side | None
    bodies_s: float


def moment_of(ask: Ask, name: str) -> float | None:
    """A time from an address: ISO 8601, epoch seconds, or as the form's field has it (UTC)."""
    typed = ask.text(name)
    if not _TYPED.fullmatch(typed):
        return ask.moment(name)
    try:
        return datetime.fromisoformat(typed).replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def view(comparison: Comparison, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    source = comparison.source
    body = f"{frame.heading('Compare')}{form(source, comparison.others, ask, 'Compare')}{_quick(comparison.marks, ask)}"
    body += _told(comparison, ask)
    return frame.of_database(source, "Compare", body, ask, foot)


def form(source: Source, others: Sequence[Source], ask: Ask, button: str) -> str:
    """With which database, at which time."""
    chosen = ask.text("with")
    options = "".join(
        f'<option value="{each.id}"{" selected" if each.id == chosen else ""}>{parts.one_line(each.name, 80)}</option>'
        for each in others
        if each.id != source.id
    )
    then = moment_of(ask, "then")
    typed = iso_time(then)[:16] if then is not None else ""
    return (
        f'<form class="compare" method="get" action="{ask.link(ask.path).partition("?")[0]}">'
        '<label>With <select name="with"><option value="">itself</option>'
        f'{options}</select></label><label>at (UTC) <input type="datetime-local" name="then" value="{typed}"></label>'
        f"<button>{button}</button></form>"
    )


@dataclass(frozen=True)
class Compared:
    """Two sides, in the order in which they were compared: of one server's the earlier one first."""

    found: Difference
    first: Side
    second: Side

    @property
    def is_same(self) -> bool:
        """Whether they are two times of one database."""
        return self.first.source.id == self.second.source.id

    @property
    def titles(self) -> tuple[str, str]:
        """The sides in the head of a table."""
        return ("before", "after") if self.is_same else (_short(self.first.title), _short(self.second.title))


def _short(title: str) -> str:
    return title if len(title) <= _HEAD_CHARS else f"{title[: _HEAD_CHARS - 1]}…"


def compared(first: Side, second: Side) -> Compared | None:
    """None where one of them has no snapshot."""
    one, other = first.document, second.document
    if one is None or other is None:
        return None
    if is_later(one, other):
        return Compared(compare_documents(other, one), second, first)
    return Compared(compare_documents(one, other), first, second)


def changes(found: Sequence[Changed], first: str, second: str) -> str:
    """Things with their value on both sides."""
    if not found:
        return '<p class="well">The same on both sides.</p>'
    cells = [
        [
            parts.one_line(each.name, 120),
            parts.one_line(each.before, 200) if each.before is not None else parts.NOTHING,
            parts.one_line(each.after, 200) if each.after is not None else parts.NOTHING,
            parts.one_line(each.note, 80),
        ]
        for each in found[:_MOST]
    ]
    table = parts.table(("What", first, second, "Note"), cells)
    return table + (f'<p class="quiet">and {len(found) - _MOST} more</p>' if len(found) > _MOST else "")


def _quick(marks: Sequence[Event], ask: Ask) -> str:
    times = [(words, ask.now - seconds) for words, seconds in _QUICK]
    links = [f'<a href="{ask.link(then=int(at), **{"with": None})}">{words}</a>' for words, at in times]
    links += [
        f'<a href="{ask.link(then=int(mark.at), **{"with": None})}">mark {parts.one_line(mark.text, 40)}</a>'
        for mark in marks[:8]
    ]
    return f'<p class="quick">With itself {" ".join(links)}</p>'


def _told(comparison: Comparison, ask: Ask) -> str:
    first, second = comparison.first, comparison.second
    if first is None or second is None:
        return parts.empty("Choose what to compare it with: another database, or a time.")
    for side in (first, second):
        if side.document is None:
            return parts.empty(
                f"No snapshot is kept of {side.title}.",
                f"<p>Each is kept whole for {parts.span(comparison.bodies_s)}, then one an hour.</p>",
            )
    found, why = attempt(lambda: compared(first, second), None)
    if found is None:
        return parts.empty(f"These cannot be compared: {why}")
    return _difference(found, ask)


def _difference(both: Compared, ask: Ask) -> str:
    found, first, second = both.found, both.first, both.second
    was, now = first.title, second.title
    heads = "".join(
        f"<div><dt>{word}</dt><dd>{parts.safe(side.title)}: {parts.moment(document.collected_at)} UTC</dd></div>"
        for word, side, document in (("First", first, found.first), ("Second", second, found.second))
    )
    notes = "".join(f"<li>{parts.safe(note)}</li>" for note in found.notes)
    missing = "".join(f"<li>{parts.safe(what)}: {parts.safe(why)}</li>" for what, why in found.not_compared.items())
    sections = (
        ("Settings", len(found.settings), changes(found.settings, was, now)),
        ("Extensions", len(found.extensions), changes(found.extensions, was, now)),
        ("Schema", len(found.schema), _schema(both)),
        ("Sizes", len(found.sizes), _sizes(both)),
        *_statements(found.statements, both, ask),
        *_findings(both),
    )
    told = "".join(
        f"<section><h2>{title} <span class='quiet'>{count}</span></h2>{body}</section>"
        for title, count, body in sections
        if count
    )
    nothing = "" if told else '<p class="well">Nothing differs in what can be compared.</p>'
    unknown = (
        f'<details id="missing"><summary>Not compared: {len(found.not_compared)}</summary><ul>{missing}</ul></details>'
    )
    listed = f"<ul>{notes}</ul>" if notes else ""
    return f'<dl class="facts">{heads}</dl>{listed}{told}{nothing}{unknown if missing else ""}'


def _schema(both: Compared) -> str:
    """Of two times what was done; of two databases, neither of which is the earlier one, where it is."""
    first, second = (f"in {parts.safe(title)} alone:" for title in both.titles)
    words = ("created", "dropped", "altered") if both.is_same else (second, first, "not the same:")
    found = both.found.schema
    items = "".join(
        f"<li>{words[0 if each.before is None else 1 if each.after is None else 2]}"
        f" {parts.one_line(each.name, 160)}</li>"
        for each in found[:_MOST]
    )
    more = f'<p class="quiet">and {len(found) - _MOST} more</p>' if len(found) > _MOST else ""
    return f'<ul class="plain">{items}</ul>{more}'


def _sizes(both: Compared) -> str:
    cells = [
        [
            f"{parts.safe(each.kind)} {parts.one_line(each.name, 120)}",
            parts.size(each.before),
            parts.size(each.after),
            f"{'+' if each.after >= each.before else '−'}{parts.size(abs(each.after - each.before))}",
        ]
        for each in both.found.sizes[:_MOST]
    ]
    was, now = both.titles
    heads = ("What", was.capitalize(), now.capitalize(), "Change") if both.is_same else ("What", was, now, "Difference")
    return parts.table(heads, cells, numeric=frozenset((1, 2, 3)))


def _statements(ran: Statements, both: Compared, ask: Ask) -> list[tuple[str, int, str]]:
    is_same = both.is_same
    where = "" if is_same else f" in {parts.one_line(both.second.title, 60)}"
    kinds = (
        (f"Statements slower{where}", ran.slower),
        (f"Statements faster{where}", ran.faster),
        ("New statements" if is_same else f"Statements{where} alone", ran.new),
        ("Statements that ran no more" if is_same else f"Statements not{where}", ran.gone),
    )
    return [(title, len(found), _ran(found, ask, both)) for title, found in kinds]


def _ran(found: Sequence[Statement], ask: Ask, both: Compared) -> str:
    base = ask.path.rpartition("/")[0]
    cells = []
    for each in found[:_MOST]:
        told = f"<code>{parts.one_line(each.text or f'queryid {each.queryid}', 200)}</code>"
        link = f'<a href="{base}/queries/{parts.segment(each.queryid)}">{told}</a>' if both.is_same else told
        one, other = each.before, each.after
        cells.append(
            [link, parts.milliseconds(one.mean_ms), parts.milliseconds(other.mean_ms),
             parts.percent_change(one.mean_ms, other.mean_ms), parts.short(one.calls), parts.short(other.calls)]
        )  # fmt: skip
    was, now = both.titles if both.is_same else (f"in {title}" for title in both.titles)
    change = "Change" if both.is_same else "Difference"
    heads = ("Statement", f"Mean {was}", f"Mean {now}", change, f"Calls {was}", f"Calls {now}")
    return parts.table(heads, cells, numeric=frozenset(range(1, 6)))


def _findings(both: Compared) -> list[tuple[str, int, str]]:
    found, is_same = both.found, both.is_same
    first, second = (parts.one_line(side.title, 60) for side in (both.first, both.second))
    kinds = (
        ("Findings opened" if is_same else f"Findings of {second} alone", found.opened),
        ("Findings got worse" if is_same else f"Findings worse in {second}", found.worse),
        ("Findings got milder" if is_same else f"Findings milder in {second}", found.milder),
        ("Findings resolved" if is_same else f"Findings of {first} alone", found.resolved),
    )
    return [(title, len(each), _finding_list(each)) for title, each in kinds]


def _finding_list(found: Sequence[Finding]) -> str:
    items = "".join(
        f'<li><span class="badge {word}">{word}</span> {parts.one_line(each.summary, 300)}</li>'
        for each in found[:_MOST]
        for word in (each.severity.word,)
    )
    return f'<ul class="plain">{items}</ul>'
