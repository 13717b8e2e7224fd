"""A database at a glance: what is wrong with it, what it does over time, and what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.receiver.store.model import Event, Source
from pgdoctor_lib.receiver.web import chart, events, findings, frame, panels, parts, units
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.units import counted


@dataclass(frozen=True)
class Overview:
    """What it shows. `found`: the open findings, or those of a span that is over; `happened`: the newest first;
    `drawn`: pictures by finding.
    """

    source: Source
    found: Sequence[findings.Told]
    happened: Sequence[Event]
    data: chart.Data
    drawn: Mapping[str, str]


def view(overview: Overview, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    source, data = overview.source, overview.data
    body = (
        f"{frame.heading('Overview', ask)}{_now(source) if ask.is_live else _then(source, data)}"
        f'<section aria-labelledby="wrong"><h2 id="wrong">{_tally(overview.found, ask)}</h2>'
        f"{findings.lines(overview.found, ask, f'/databases/{source.id}', overview.drawn)}</section>"
        f"{charts(source, data, overview.happened)}"
        f'<section aria-labelledby="happened"><h2 id="happened">What happened</h2>'
        f"{events.listed(overview.happened, ask.now)}</section>"
    )
    return frame.of_database(source, "Overview", body, ask, foot, charts=True)


def finding(overview: Overview, number: str, ask: Ask, foot: frame.Foot) -> str | None:
    """A page of one finding; None where there is none of that number."""
    source = overview.source
    base = f"/databases/{source.id}"
    told = findings.one(overview.found, number, ask, base, overview.drawn)
    body = f'{frame.heading("Finding")}{told}<p><a href="{ask.link(base)}">All findings</a></p>'
    return None if told is None else frame.of_database(source, "Overview", body, ask, foot, title="Finding")


def charts(source: Source, data: chart.Data, happened: Sequence[Event]) -> str:
    """The line of events, the sessions, then all else that is known, and what is not."""
    first = chart.figure(panels.SESSIONS, data, wide=True)
    drawn = [(panel, chart.figure(panel, data)) for panel in panels.OVERVIEW]
    if not first and not any(figure for _, figure in drawn):
        return parts.empty("No figures within this span.", "<p>A longer one may have some.</p>")
    missing = ", ".join(panel.title for panel, figure in drawn if not figure)
    told = f'<p class="quiet">Not known within this span: {missing}.</p>' if missing else ""
    return (
        f"<section>{events.strip(happened, data.span)}"
        f"{chart.group(first + ''.join(figure for _, figure in drawn), source.id)}{told}</section>"
    )


def _now(source: Source) -> str:
    """What the newest snapshot says."""
    pairs = (
        ("Database", parts.safe(source.db_name)),
        ("Server", parts.safe(source.db_version)),
        ("Agent on", parts.safe(source.hostname)),
        ("Size", parts.size(source.size_bytes)),
        ("Active sessions", parts.number(source.active_sessions)),
        ("Snapshot every", parts.span(source.interval_s)),
        ("Tags", parts.tags(source.tags)),
    )
    told = [(name, value) for name, value in pairs if value not in ("", parts.NOTHING)]
    return parts.facts(told) + _errors(source.summary.get("errors") or ())


def _then(source: Source, data: chart.Data) -> str:
    """Of a span that is over, how it was at its end; and what is known of now alone, as such."""
    pairs = (
        ("Database", parts.safe(source.db_name)),
        ("Size at the end", parts.size(data.last("database.size_bytes"))),
        ("Active sessions at the end", units.told(data.last("activity.active"), "")),
        ("Server now", parts.safe(source.db_version)),
        ("Agent now on", parts.safe(source.hostname)),
    )
    return parts.facts([(name, value) for name, value in pairs if value not in ("", parts.NOTHING)])


def _tally(found: Sequence[findings.Told], ask: Ask) -> str:
    title = "Findings" if ask.is_live else "Findings within this span"
    if not found:
        return title
    words = [each.finding.severity.word for each in found]
    counts = [f"{words.count(word)} {word}" for word in ("critical", "info") if word in words]
    if "warning" in words:
        counts.insert("critical" in words, counted(words.count("warning"), "warning"))
    return f"{title}: {', '.join(counts)}"


def _errors(errors: Sequence[Mapping[str, str]]) -> str:
    if not errors:
        return ""
    items = "".join(
        f"<li><b>{parts.safe(error['collector'])}</b>: {parts.safe(error['error'])}"
        + (f'<br><span class="quiet">{parts.safe(error["hint"])}</span>' if error["hint"] else "")
        + "</li>"
        for error in errors
    )
    names = ", ".join(dict.fromkeys(error["collector"] for error in errors))
    return (
        f'<details class="failures" id="failures"><summary>What could not be collected, or not as often:'
        f" {parts.one_line(names, 160)}</summary>"
        f"<ul>{items}</ul></details>"
    )
