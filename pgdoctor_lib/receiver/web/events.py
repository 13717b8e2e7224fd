"""What happened, and when: as marks on a line of time, whose text shows on hover and focus, and as a list."""

from collections.abc import Sequence

from pgdoctor_lib.receiver.store.model import Event
from pgdoctor_lib.receiver.web import parts

_MOST, _MOST_FINDINGS = 30, 15
_FINDINGS = ("opened", "resolved")
WORDS = {
    "restart": "Restart",
    "failover": "Failover",
    "version": "New version",
    "settings": "Settings",
    "schema": "Schema",
    "mark": "Mark",
    "opened": "Opened",
    "resolved": "Resolved",
}


def strip(events: Sequence[Event], span: tuple[float, float]) -> str:
    """The line of time, each mark a link to its line in the list."""
    first, last = span
    inside = [(place, event) for place, event in enumerate(shown(events)) if first <= event.at <= last]
    if not inside:
        return ""
    marks = "".join(_mark(place, event, 100 * (event.at - first) / max(last - first, 1e-9)) for place, event in inside)
    ends = "".join(f"<span>{parts.clock(at, last - first)}</span>" for at in (first, (first + last) / 2, last))
    return (
        '<div class="strip"><svg height="38" width="100%" role="group" aria-label="Events over time">'
        f'<line class="grid" x1="0" x2="100%" y1="29" y2="29"/>{marks}</svg>'
        f'<div class="x" aria-hidden="true">{ends}</div></div>'
    )


def shown(events: Sequence[Event]) -> list[Event]:
    """Those that are told, the newest first: of findings, of which there may be many, no more than leave room for what
    happened to the server."""
    left = {True: _MOST_FINDINGS, False: _MOST}
    told = []
    for event in events:
        is_finding = event.kind in _FINDINGS
        left[is_finding] -= 1
        if left[is_finding] >= 0:
            told.append(event)
    return told


def of_statement(events: Sequence[Event], queryid: str) -> list[Event]:
    """What may have changed how a statement runs, and the findings that are of it."""
    return [each for each in events if each.kind not in _FINDINGS or each.key.endswith(f":{queryid}")]


def listed(events: Sequence[Event], now: float) -> str:
    """The newest first."""
    if not events:
        return '<p class="quiet">Nothing happened within this span that PGDoctor knows of.</p>'
    told = shown(events)
    items = "".join(
        f'<li id="event-{place}" tabindex="-1" data-at="{event.at:.0f}" data-kind="{_kind(event)}">'
        f'{parts.ago(event.at, now)} <span class="kind {_kind(event)}">{_word(event)}</span> '
        f'<span class="said">{parts.one_line(event.text, 200)}</span></li>'
        for place, event in enumerate(told)
    )
    more = f'<p class="quiet">and {len(events) - len(told)} more</p>' if len(events) > len(told) else ""
    return (
        '<div class="past" tabindex="0" role="region" aria-label="What happened">'
        f'<ol class="events" id="events">{items}</ol></div>{more}'
    )


def _kind(event: Event) -> str:
    return event.kind if event.kind in WORDS else "other"


def _word(event: Event) -> str:
    return WORDS.get(event.kind) or parts.one_line(event.kind, 30)


def _mark(place: int, event: Event, percent: float) -> str:
    anchor = "end" if percent > 50 else "start"
    said = f"{_word(event)}: {parts.one_line(event.text, 60)}, {parts.clock(event.at, 1e5)}"
    x = f"{percent:.2f}%"
    return (
        f'<a href="#event-{place}" class="{_kind(event)}">'
        f'<rect x="{x}" y="14" width="12" height="22" class="hit"/><line x1="{x}" x2="{x}" y1="20" y2="36"/>'
        f'<circle cx="{x}" cy="20" r="4"/><text x="{x}" y="11" text-anchor="{anchor}">{said}</text></a>'
    )
