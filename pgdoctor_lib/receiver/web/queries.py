"""The statements that cost most, and one of them over time, before and after a mark, with its plan."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pgdoctor_lib.receiver.store.model import Event, QuerySeries, QueryStat, Source
from pgdoctor_lib.receiver.store.readings import added
from pgdoctor_lib.receiver.web import chart, events, frame, parts, units
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.listing import Column, Listing, count_of

_TEXT_CHARS = 220
_PLAN_CHARS = 20_000
_MOST_LINES = 200
_ALL = 0.995  # of all statements' time: the rest is lost in rounding


def view(source: Source, stats: Sequence[QueryStat], ask: Ask, foot: frame.Foot) -> str:
    """The list."""
    heading = frame.heading("Queries", ask)
    if not stats:
        body = heading + _why_none(source)
    else:
        body = f'{heading}<p class="quiet">{_about(stats)}</p>' + _listing(source, ask).html(stats, ask)
    return frame.of_database(source, "Queries", body, ask, foot)


def page(source: Source, series: QuerySeries, happened: Sequence[Event], ask: Ask, foot: frame.Foot) -> str:
    """One statement."""
    data = _data(series, ask.span)
    figures = "".join(chart.figure(panel, data, carried=True) for panel in PANELS)
    few = parts.empty("It takes two readings to draw a line, five minutes apart.")
    marks = [event for event in happened if event.kind == "mark"]
    body = (
        f"{frame.heading('Statement', ask)}"
        f"{parts.facts(_names(series))}"
        f"{parts.copyable(series.text) if series.text else parts.empty('Its text has not come.')}"
        f"{_totals(series, ask.span)}{_before_after(series, marks)}"
        f"{events.strip(happened, ask.span)}{chart.group(figures or few)}{_plan(series.plan)}"
        f"<section><h2>What happened</h2>{events.listed(happened, ask.now)}</section>"
    )
    title = f"Statement {series.queryid}"
    return frame.of_database(source, "Queries", body, ask, foot, charts=True, title=title)


def _about(stats: Sequence[QueryStat]) -> str:
    told = "What each took within the span, of all the time that statements took, added up over roles."
    share = sum(stat.share for stat in stats)
    if share >= _ALL:
        return told
    return f"{told} Those listed took {parts.percent(share)} of it; of the others snapshots do not tell, or only once."


def _names(series: QuerySeries) -> list[tuple[str, str]]:
    roles = [("Roles", parts.safe(", ".join(series.roles)))] if series.roles else []
    return [("Fingerprint", f"<code>{parts.safe(series.queryid)}</code>"), *roles]


def _why_none(source: Source) -> str:
    if source.summary.get("has_pg_stat_statements", True):
        return parts.empty(
            "No statements within this span yet.",
            "<p>They are compared from the second reading on, five minutes apart.</p>",
        )
    lines = (
        "shared_preload_libraries = 'pg_stat_statements'   -- in postgresql.conf, then restart\n"
        "CREATE EXTENSION pg_stat_statements;   -- in this database"
    )
    return parts.empty("pg_stat_statements could not be read. Two lines bring it:", parts.copyable(lines))


def _listing(source: Source, ask: Ask) -> Listing[QueryStat]:
    return Listing(
        columns=_columns(source, ask),
        words=lambda stat: f"{stat.text} {stat.queryid} {' '.join(stat.roles)}",
        usual="share",
        noun="statements",
    )


def _columns(source: Source, ask: Ask) -> Sequence[Column[QueryStat]]:
    def linked(stat: QueryStat) -> str:
        address = ask.link(f"/databases/{source.id}/queries/{parts.segment(stat.queryid)}")
        return f'<a href="{address}"><code>{parts.one_line(stat.text, _TEXT_CHARS) or "text not told"}</code></a>'

    def took(key: str, title: str, value: Callable[[QueryStat], float]) -> Column[QueryStat]:
        return Column(key, title, lambda stat: parts.milliseconds(value(stat)), value)

    return (
        Column("query", "Statement", linked, lambda stat: stat.text.lower(), numeric=False, down=False),
        Column("share", "Share", _share, lambda stat: stat.share, about="of all statements' time"),
        Column("spark", "Time", lambda stat: chart.spark(stat.spark), about="over the span"),
        Column("calls", "Calls", lambda stat: count_of(_whole(stat.calls)), lambda stat: stat.calls),
        took("mean", "Mean", lambda stat: stat.mean_ms),
        took("total", "Total", lambda stat: stat.total_time_ms),
        *map(_counter, _COUNTERS),
    )


def _counter(name: str) -> Column[QueryStat]:
    title, unit = _COUNTERS[name]
    return Column(
        name, title, lambda stat: units.told(stat.counters.get(name), unit), lambda stat: stat.counters.get(name)
    )


_COUNTERS: Mapping[str, tuple[str, str]] = {
    "rows": ("Rows", ""),
    "shared_blks_read": ("Blocks read", ""),
    "temp_blks_written": ("Temp. blocks", ""),
    "wal_bytes": ("WAL", "bytes"),
}


def _share(stat: QueryStat) -> str:
    width = max(0.0, min(1.0, stat.share)) * 40
    bar = f'<rect class="c0" width="{width:.1f}" height="8"/>'
    return f'{parts.percent(stat.share)} <svg class="share" width="40" height="8" aria-hidden="true">{bar}</svg>'


PANELS = (
    chart.Panel("mean", "Mean time of a call", "ms", {"mean": "Mean"}),
    chart.Panel(
        "time", "Time, per second", "ms", {"total_exec_time_ms": "Executing", "total_plan_time_ms": "Planning"}
    ),
    chart.Panel("calls", "Calls", "/s", {"calls": "Calls"}),
    chart.Panel("rows", "Rows", "/s", {"rows": "Rows"}),
    chart.Panel(
        "blocks",
        "Blocks",
        "/s",
        {
            "shared_blks_hit": "Found in the cache",
            "shared_blks_read": "Read from the system",
            "shared_blks_dirtied": "Changed",
        },
    ),
    chart.Panel("temp", "Temporary blocks", "/s", {"temp_blks_read": "Read", "temp_blks_written": "Written"}),
    chart.Panel("wal", "WAL", "bytes/s", {"wal_bytes": "Written"}),
)


def _data(series: QuerySeries, span: tuple[float, float]) -> chart.Data:
    """Per second, each value in the middle of its step."""
    steps = list(zip(series.times, series.times[1:], series.steps, strict=False))
    times = [(start + end) / 2 for start, end, _ in steps]
    names = {name for panel in PANELS for name in panel.lines} - {"mean"}
    values: dict[str, list[float | None]] = {
        name: [
            None if step is None or step.get(name) is None else step[name] / max(end - start, 1e-9)
            for start, end, step in steps
        ]
        for name in names
    }
    values["mean"] = [None if step is None else _mean(step) for _, _, step in steps]
    return chart.Data(span, times, values)


def _mean(step: Mapping[str, float]) -> float | None:
    calls = step.get("calls")
    return step.get("total_exec_time_ms", 0.0) / calls if calls else None


def _sum(series: QuerySeries, first: float, last: float) -> dict[str, float]:
    """What the counters grew by within, as the list has it."""
    steps = zip(series.times, series.times[1:], series.steps, strict=False)
    return added(((start, end, step) for start, end, step in steps if step is not None), first, last)


def _totals(series: QuerySeries, span: tuple[float, float]) -> str:
    total = _sum(series, *span)
    if not total.get("calls"):
        return '<p class="quiet">It did not run within this span.</p>'
    hit, read = total.get("shared_blks_hit", 0.0), total.get("shared_blks_read", 0.0)
    pairs = [
        ("Calls", parts.number(_whole(total["calls"]))),
        ("Mean", parts.milliseconds(_mean(total))),
        ("Total", parts.milliseconds(total.get("total_exec_time_ms"))),
        ("Rows", parts.short(total.get("rows"))),
        ("Rows a call", parts.short(total.get("rows", 0.0) / total["calls"])),
        ("Found in the cache", parts.percent(hit / (hit + read)) if hit + read else parts.NOTHING),
        ("Blocks read", parts.short(read)),
        ("Temporary blocks", parts.short(total.get("temp_blks_written", 0.0))),
        ("WAL", parts.size(total.get("wal_bytes", 0.0))),
    ]
    return parts.facts(pairs)


def _whole(calls: float) -> int:
    """A share of a call was a call."""
    return max(1, round(calls))


def _before_after(series: QuerySeries, marks: Sequence[Event]) -> str:
    """The same counters before and after each mark, as far as the span goes."""
    if not marks or len(series.times) < 2:
        return ""
    first, last = series.times[0], series.times[-1]
    rows = []
    for mark in marks[:5]:
        before, after = _sum(series, first, mark.at), _sum(series, mark.at, last)
        was, now = _mean(before), _mean(after)
        change = parts.percent_change(was, now)
        rows.append(
            [parts.one_line(mark.text, 60), parts.moment(mark.at), *map(parts.milliseconds, (was, now)), change,
             parts.short(before.get("calls")), parts.short(after.get("calls"))]
        )  # fmt: skip
    heads = ("Mark", "At (UTC)", "Mean before", "Mean after", "Change", "Calls before", "Calls after")
    return f"<h2>Before and after a mark</h2>{parts.table(heads, rows, numeric=frozenset(range(2, 7)))}"


def _plan(plan: Mapping[str, Any] | None) -> str:
    if plan is None:
        return ""
    if plan.get("reason"):
        return f'<h2>Plan</h2><p class="quiet">There is none: {parts.safe(plan["reason"])}</p>'
    found = plan.get("plan")
    told = found if isinstance(found, str) else json.dumps(found, indent=1, ensure_ascii=False)
    outline = "\n".join(_outline(found))
    shape = parts.copyable(outline) if outline else ""
    return (
        f'<h2>Plan</h2><p class="quiet">A generic one, not executed.</p>{shape}'
        f'<details id="plan"><summary>as JSON</summary><pre>'
        f"{parts.lines(told[:_PLAN_CHARS])}</pre></details>"
    )


_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Sort Key",
    "Group Key",
)


def _outline(found: object) -> list[str]:
    """A plan's nodes as EXPLAIN writes them, each below its parent."""
    lines: list[str] = []
    todo: list[tuple[int, object]] = [(0, found)]
    while todo and len(lines) < _MOST_LINES:
        depth, node = todo.pop()
        if not isinstance(node, Mapping) or not node.get("Node Type"):
            continue
        on = node.get("Relation Name") or node.get("Index Name") or node.get("CTE Name")
        what = f"{node.get('Node Type')}{f' on {on}' if on else ''}"
        lines.append(f"{'  ' * depth}{what}  (cost {node.get('Total Cost')}, rows {node.get('Plan Rows')})")
        lines += [f"{'  ' * depth}    {key}: {_joined(node[key])}" for key in _CONDITIONS if node.get(key)]
        below = node.get("Plans")
        if isinstance(below, list):
            todo += [(depth + 1, each) for each in below[:_MOST_LINES][::-1]]
    return lines


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
