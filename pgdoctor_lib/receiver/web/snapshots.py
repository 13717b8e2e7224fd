"""The last snapshots of a database, and the figures of the newest."""

from collections.abc import Mapping, Sequence

from pgdoctor_lib.receiver.store.model import Line, Source
from pgdoctor_lib.receiver.web import frame, parts
from pgdoctor_lib.receiver.web.ask import Ask


def view(source: Source, lines: Sequence[Line], ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    rows = [
        (
            parts.moment(line.collected_at),
            parts.ago(line.collected_at, ask.now),
            f"{parts.span(max(0.0, line.received_at - line.collected_at))} later",
            parts.size(line.size_bytes),
            parts.number(line.active_sessions),
            parts.number(line.errors),
            f'<a href="/api/snapshots/{line.id}">{parts.size(line.body_bytes)}</a>' if line.has_body else "not kept",
            f'<a href="{ask.link(f"/databases/{source.id}/locks", at=int(line.collected_at) + 1)}">locks</a>'
            if line.has_body
            else "",
        )
        for line in lines
    ]
    heads = ("Collected (UTC)", "Age", "Received", "Size", "Active sessions", "Errors", "JSON", "See")
    table = parts.table(heads, rows, numeric=frozenset((3, 4, 5, 6)))
    body = f"{frame.heading('Snapshots')}<h2>The last {len(lines)}</h2>{table}{_figures(source)}"
    return frame.of_database(source, "Snapshots", body, ask, foot)


def _figures(source: Source) -> str:
    found = source.summary.get("figures") or {}
    cards = "".join(_card(name, values) for name, values in found.items() if values)
    return f'<h2>Figures of the newest</h2><div class="cards">{cards}</div>' if cards else ""


def _card(name: str, values: Mapping[str, object]) -> str:
    pairs = "".join(f"<dt>{parts.safe(key)}</dt><dd>{parts.figure(key, value)}</dd>" for key, value in values.items())
    return f"<section><h3>{parts.safe(name)}</h3><dl>{pairs}</dl></section>"
