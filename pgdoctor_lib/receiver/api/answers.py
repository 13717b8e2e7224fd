"""What is answered: the store's dataclasses as JSON. Times are ISO 8601 in UTC; names are the snapshot's."""

from collections.abc import Mapping
from typing import Any

from pgdoctor_lib.receiver import metrics, shapes
from pgdoctor_lib.receiver.api.question import Question, missing
from pgdoctor_lib.receiver.store import Event, FindingRow, Line, ObjectSeries, QueryStat, Source
from pgdoctor_lib.receiver.web import latest, measures
from pgdoctor_lib.receiver.web.state import state
from pgdoctor_lib.snapshot import iso_time

Json = dict[str, Any]
MADE_UNITS: Mapping[str, str] = {
    "made.transactions": "/s",
    "made.cache_hit": "%",
    "made.checkpoints_timed": "/h",
    "made.checkpoints_requested": "/h",
    "made.statement_time": "s/s",
    "made.lag": "bytes",
}
SERIES: tuple[str, ...] = (*metrics.BY_NAME, *measures.MADE)


def databases(asked: Question) -> Json:
    """By name."""
    told = [_source(source, asked.now) for source in asked.store.sources(asked.project)]
    wanted = asked.given["state"]
    rows, more = asked.page([each for each in told if wanted in (None, each["state"])])
    return {"databases": rows, "more": more}


def database(asked: Question) -> Json:
    """One, with the figures of its latest snapshot."""
    source = asked.source
    figures, errors = source.summary.get("figures") or {}, source.summary.get("errors") or []
    return {**_source(source, asked.now), "collector_errors": errors, "figures": figures}


def snapshots(asked: Question) -> Json:
    """The newest first."""
    source, limit = asked.source, asked.given["limit"]
    lines = asked.store.snapshots(source.id, limit + 1, asked.given["before"])
    following = iso_time(lines[limit - 1].collected_at) if len(lines) > limit else None
    return {"database": source.name, "snapshots": [_line(line) for line in lines[:limit]], "before": following}


def series(asked: Question) -> Json:
    """Figures over time."""
    source, span, names = asked.source, asked.span, asked.given["metrics"]
    data = measures.read(asked.store, source.id, names, span, asked.given["points"])
    peaks = data.peaks if asked.given["with"] == "peaks" else {}
    return {
        "database": source.name,
        **_between(span),
        "times": [iso_time(time) for time in data.times],
        "units": {name: unit_of(name) for name in names},
        "values": {name: [_rounded(value) for value in data.values.get(name, ())] for name in names},
        "peaks": {name: [_rounded(value) for value in values] for name, values in peaks.items()},
    }


def unit_of(name: str) -> str:
    """Of a series: "bytes", "blocks/s"; "" for a plain number."""
    if name in MADE_UNITS:
        return MADE_UNITS[name]
    metric = metrics.BY_NAME[name]
    return f"{metric.unit}/s" if metric.kind == "counter" else metric.unit


def findings(asked: Question) -> Json:
    """Of one database, or of all that may be seen; worst first."""
    identity = asked.source.id if "database" in asked.path else None
    first = asked.given["from"]
    last = asked.now if asked.given["to"] is None else asked.given["to"]
    open_only = first is None and asked.given["to"] is None
    found = asked.store.findings(identity, first, open_only, asked.project)
    wanted = [
        row for row in found if (open_only or row.since <= last) and asked.given["severity"] in (None, row.severity)
    ]
    rows, more = asked.page(wanted)
    return {"findings": [_finding(row) for row in rows], "more": more}


def events(asked: Question) -> Json:
    """The newest first."""
    source, span, kind = asked.source, asked.span, asked.given["kind"]
    found = asked.store.events(source.id, *span)[::-1]
    rows, more = asked.page([event for event in found if kind in (None, event.kind)])
    return {**_between(span), "events": [_event(event) for event in rows], "more": more}


def queries(asked: Question) -> Json:
    """Those with the largest share of all statements' time first."""
    source, span = asked.source, asked.span
    rows, more = asked.page(asked.store.queries(source.id, *span))
    return {**_between(span), "queries": [_query(each) for each in rows], "more": more}


def query(asked: Question) -> Json:
    """One statement over time."""
    source, span = asked.source, asked.span
    found = asked.store.query(source.id, asked.path["queryid"], *span)
    if found is None:
        missing("query")
    plan = found.plan
    return {
        **_between(span),
        "queryid": found.queryid,
        "query": found.text,
        "roles": found.roles,
        "times": [iso_time(time) for time in found.times],
        "steps": found.steps,
        "plan": None if plan is None else {**plan, "at": iso_time(plan["at"])},
    }


def tables(asked: Question) -> Json:
    """Section `tables`, at a time."""
    return _objects(asked, "tables")


def indexes(asked: Question) -> Json:
    """Section `indexes`, at a time."""
    return _objects(asked, "indexes")


def table(asked: Question) -> Json:
    """One table over time."""
    return _columns(asked, "relid", "table")


def index(asked: Question) -> Json:
    """One index over time."""
    return _columns(asked, "indexrelid", "index")


def section(asked: Question) -> Json:
    """A section of the latest snapshot that has it."""
    name = asked.path["section"]
    found = latest.document(asked.store, asked.source, (name,), asked.given["at"], of_any_age=True)
    if found is None or not found.has(name):
        missing("section")
    whole = found.one(name)
    told: Json = {"section": name, "collected_at": iso_time(min(found.taken_at(name), asked.now))}
    if not isinstance(whole.get("rows"), list):
        return {**told, "figures": whole}
    rows, more = asked.page(whole["rows"])
    return {**told, "rows": rows, "more": more, "left_out": shapes.left_out(whole), "total": whole.get("total")}


def snapshot(asked: Question) -> bytes:
    """A body, as it came."""
    body = asked.store.body(asked.path["snapshot"].lower(), asked.project)
    if body is None:
        missing("snapshot")
    return body


def _objects(asked: Question, kind: str) -> Json:
    found = asked.store.objects(asked.source.id, kind, asked.given["at"])
    rows, more = asked.page(found.rows if found else ())
    return {
        kind: rows,
        "more": more,
        "left_out": found.more if found else 0,
        "total": found.total if found else None,
        "collected_at": iso_time(min(found.at, asked.now)) if found else None,
    }


def _columns(asked: Question, key: str, what: str) -> Json:
    source, span, oid = asked.source, asked.span, int(asked.path[key])
    found: ObjectSeries | None = asked.store.table_series(source.id, oid, *span)
    if found is None or found.columns.get(key, [None])[-1] != oid:
        missing(what)
    times = [iso_time(time) for time in found.times]
    columns = {name: values for name, values in found.columns.items() if name not in ("relid", "indexrelid")}
    return {**_between(span), key: oid, "times": times, "columns": columns}


def _source(source: Source, now: float) -> Json:
    return {
        "id": source.id,
        "name": source.name,
        "project": source.project,
        "state": state(source, now)[0],
        "snapshot_id": source.snapshot_id,
        "collected_at": iso_time(source.collected_at),
        "received_at": iso_time(source.received_at),
        "interval_s": source.interval_s,
        "tags": source.tags,
        "db_name": source.db_name,
        "db_version": source.db_version,
        "hostname": source.hostname,
        "server": source.server or None,
        "size_bytes": source.size_bytes,
        "active_sessions": source.active_sessions,
        "errors": source.errors,
        "critical": source.critical,
        "warnings": source.warnings,
    }


def _line(line: Line) -> Json:
    return {**vars(line), "collected_at": iso_time(line.collected_at), "received_at": iso_time(line.received_at)}


def _finding(row: FindingRow) -> Json:
    return {
        "source_id": row.source_id,
        "id": row.id,
        "check": row.check,
        "severity": row.severity,
        "since": iso_time(row.since),
        "last_seen": iso_time(row.last_seen),
        "gone_at": None if row.gone_at is None else iso_time(row.gone_at),
        "finding": row.data,
    }


def _event(event: Event) -> Json:
    return {"at": iso_time(event.at), "kind": event.kind, "key": event.key, "text": event.text}


def _query(stat: QueryStat) -> Json:
    return {
        "queryid": stat.queryid,
        "query": stat.text,
        "roles": stat.roles,
        "share": stat.share,
        "calls": stat.calls,
        "total_exec_time_ms": stat.total_time_ms,
        "mean_exec_time_ms": stat.mean_ms,
        "counters": stat.counters,
        "time_ms_per_s": [_rounded(value) for value in stat.spark],
    }


def _between(span: tuple[float, float]) -> Json:
    return {"from": iso_time(span[0]), "to": iso_time(span[1])}


def _rounded(value: float | None) -> float | int | None:
    """Six digits, which are enough for a mean; whole numbers as they are."""
    if value is None or value.is_integer():
        return None if value is None else int(value)
    return float(f"{value:.6g}")
