"""One database: what is wrong, its size over time, the queries that cost most, its figures, its last snapshots."""

from collections.abc import Mapping, Sequence
from typing import Any

from pgdoctor_lib.receiver.store import Line, Source
from pgdoctor_lib.receiver.web import chart, home, parts

_QUERY_SHOWN = 160


def view(source: Source, lines: Sequence[Line], sizes: Sequence[tuple[float, int]], now: float) -> str:
    """The page of one database, from its latest snapshot, its last `lines` and its size over time."""
    sections = (
        _head(source, now),
        _errors(source.summary["errors"]),
        f"<h2>Size</h2>{chart.sizes(sizes)}",
        _queries(source.summary),
        _figures(source.summary["figures"]),
        _snapshots(lines, now),
    )
    return parts.frame(source.name, "".join(sections), refresh=True)


def _head(source: Source, now: float) -> str:
    facts = (
        ("Last snapshot", parts.ago(source.collected_at, now)),
        ("Interval", parts.span(source.interval_s)),
        ("Size", parts.size(source.size_bytes)),
        ("Active sessions", parts.number(source.active_sessions)),
        ("Database", parts.safe(source.db_name) or parts.NOTHING),
        ("Server", parts.safe(source.db_version) or parts.NOTHING),
        ("Agent on", parts.safe(source.hostname) or parts.NOTHING),
    )
    told = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    title = f"<h1>{parts.safe(source.name)} {home.badge(source, now)}{parts.tags(source.tags)}</h1>"
    return f'{title}<dl class="facts">{told}</dl>'


def _errors(errors: Sequence[Mapping[str, str]]) -> str:
    if not errors:
        return ""
    items = "".join(
        f"<li><strong>{parts.safe(error['collector'])}</strong>: {parts.safe(error['error'])}"
        + (f'<br><span class="remedy">{parts.safe(error["hint"])}</span>' if error["hint"] else "")
        + "</li>"
        for error in errors
    )
    return f'<h2>What could not be collected</h2><ul class="failures">{items}</ul>'


def _queries(summary: Mapping[str, Any]) -> str:
    title = "<h2>Top queries, by total time</h2>"
    if not summary["top_queries"]:
        why = "No statements yet." if summary["has_pg_stat_statements"] else "pg_stat_statements could not be read."
        return f'{title}<p class="quiet">{why}</p>'
    rows = [
        (
            _statement(query["text"]),
            parts.number(query["calls"]),
            parts.milliseconds(query["total_exec_time_ms"]),
            parts.milliseconds(query["mean_exec_time_ms"]),
            parts.number(query["rows"]),
        )
        for query in summary["top_queries"]
    ]
    return title + parts.table(("Query", "Calls", "Total", "Mean", "Rows"), rows, numeric=frozenset((1, 2, 3, 4)))


def _statement(text: str) -> str:
    """On one line; a long one opens."""
    line = " ".join(text.split())
    if len(line) <= _QUERY_SHOWN:
        return f"<code>{parts.safe(line)}</code>"
    short = parts.safe(line[:_QUERY_SHOWN])
    return f"<details><summary><code>{short}…</code></summary><code>{parts.safe(line)}</code></details>"


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> str:
    cards = "".join(
        f"<section><h3>{parts.safe(name)}</h3><dl>"
        + "".join(f"<dt>{parts.safe(key)}</dt><dd>{parts.figure(key, value)}</dd>" for key, value in values.items())
        + "</dl></section>"
        for name, values in figures.items()
        if values
    )
    return f'<h2>Figures of the last snapshot</h2><div class="cards">{cards}</div>' if cards else ""


def _snapshots(lines: Sequence[Line], now: float) -> str:
    rows = [
        (
            parts.ago(line.collected_at, now),
            f"{parts.span(line.received_at - line.collected_at)} later",
            parts.size(line.size_bytes),
            parts.number(line.active_sessions),
            parts.number(line.errors),
            f'<a href="/api/snapshots/{line.id}">{parts.size(line.body_bytes)}</a>',
        )
        for line in lines
    ]
    heads = ("Collected", "Received", "Size", "Active sessions", "Errors", "JSON")
    return "<h2>Last snapshots</h2>" + parts.table(heads, rows, numeric=frozenset((1, 2, 3, 4, 5)))
