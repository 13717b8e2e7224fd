"""The first view: every database, worst first; where there is none yet, the lines that connect one."""

import shlex
from collections.abc import Sequence

from pgdoctor_lib.receiver.store import Source
from pgdoctor_lib.receiver.web import parts

_STALE_INTERVALS = 3


def state(source: Source, now: float) -> tuple[str, str]:
    """A word for machines (stale, errors, ok) and the words for people."""
    age = max(0.0, now - source.collected_at)
    if age > _STALE_INTERVALS * source.interval_s:
        return "stale", f"no data for {parts.span(age)}"
    if source.errors:
        return "errors", f"{source.errors} error{'s' if source.errors > 1 else ''}"
    return "ok", "ok"


def badge(source: Source, now: float) -> str:
    """The state as a label."""
    kind, words = state(source, now)
    return f'<span class="state {kind}">{words}</span>'


def view(sources: Sequence[Source], now: float, endpoint: str, token_path: str | None) -> str:
    """The page. `endpoint`: the address that agents send to; `token_path`: the token's file, if it is in one."""
    if not sources:
        return parts.frame("No data yet", _first_steps(endpoint, token_path), refresh=True)
    rank = {"stale": 0, "errors": 1, "ok": 2}
    ordered = sorted(sources, key=lambda source: (rank[state(source, now)[0]], source.name))
    wrong = sum(state(source, now)[0] != "ok" for source in sources)
    count = f"{len(sources)} database{'s' if len(sources) > 1 else ''}"
    words = f"{count}, {wrong} in need of a look" if wrong else f"{count}, nothing wrong"
    listing = parts.table(
        ("Database", "State", "Last snapshot", "Size", "Active sessions", "Top query, by total time"),
        [_row(source, now) for source in ordered],
        numeric=frozenset((3, 4)),
    )
    return parts.frame("Databases", f"<h1>{words}</h1>{listing}", refresh=True)


def _row(source: Source, now: float) -> tuple[str, ...]:
    name = f'<a href="/databases/{source.id}">{parts.safe(source.name)}</a>{parts.tags(source.tags)}'
    queries = source.summary["top_queries"]
    top = parts.NOTHING
    if queries:
        text = " ".join(queries[0]["text"].split())
        took = parts.milliseconds(queries[0]["total_exec_time_ms"])
        top = f'<code>{parts.safe(text[:90])}{"…" if len(text) > 90 else ""}</code> <span class="quiet">{took}</span>'
    return (
        name,
        badge(source, now),
        parts.ago(source.collected_at, now),
        parts.size(source.size_bytes),
        parts.number(source.active_sessions),
        top,
    )


def _first_steps(endpoint: str, token_path: str | None) -> str:
    token = f'"$(cat {shlex.quote(token_path)})"' if token_path else "…"
    whence = "" if token_path else "<p>The token is the PGDOCTOR_TOKEN that this receiver was started with.</p>"
    lines = (
        f"export PGDOCTOR_ENDPOINT={shlex.quote(endpoint)}\n"
        f"export PGDOCTOR_TOKEN={token}\n"
        "PGDOCTOR_DSN=postgres://user:password@host:5432/database pgdoctor daemon"
    )
    return (
        "<h1>No data yet</h1><p>Three lines connect a first database. Its snapshots show up here by themselves.</p>"
        f"<pre>{'<br>'.join(parts.safe(line) for line in lines.splitlines())}</pre>{whence}"
        "<p>To send more than one database, list them in a file: <code>pgdoctor config init</code> writes one.</p>"
    )
