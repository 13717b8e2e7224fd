"""A snapshot into the store, in one transaction: all that pages show of it, and the body as it came."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.intake import Received
from pgdoctor_lib.receiver.store import events, findings, readings, sections, tokens
from pgdoctor_lib.receiver.store.db import Db, one
from pgdoctor_lib.receiver.store.model import Kept, silent_after_s
from pgdoctor_lib.receiver.store.points import pack_point, reach_s

KINDS = readings.KINDS
QUERIES_S, OBJECTS_S = KINDS["queries"], KINDS["tables"]
FINEST_S = 300
_MOST_TEXT = 10_000
SOURCE_COLUMNS = (
    "id, project, name, snapshot_id, collected_at, received_at, interval_s, tags, db_name, db_version, hostname,"
    " size_bytes, active_sessions, errors, summary, critical, warnings, server, spoke_at, facts"
)
SOURCE_UPSERT = f"""
    INSERT INTO source ({SOURCE_COLUMNS})
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET snapshot_id = excluded.snapshot_id, collected_at = excluded.collected_at,
        received_at = excluded.received_at, interval_s = excluded.interval_s, tags = excluded.tags,
        db_name = excluded.db_name, db_version = excluded.db_version, hostname = excluded.hostname,
        size_bytes = excluded.size_bytes, active_sessions = excluded.active_sessions, errors = excluded.errors,
        summary = excluded.summary, critical = excluded.critical, warnings = excluded.warnings,
        server = excluded.server, spoke_at = excluded.spoke_at, facts = excluded.facts
    WHERE excluded.collected_at >= source.collected_at"""
_SNAPSHOT = """
    INSERT INTO snapshot (id, source_id, collected_at, received_at, size_bytes, active_sessions, errors, body_bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, source_id) DO NOTHING"""
_READING = """
    INSERT INTO reading (source_id, kind, slot, at, data) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (source_id, kind, slot) DO UPDATE SET at = excluded.at, data = excluded.data
    WHERE excluded.at < reading.at"""
_TEXT = """
    INSERT INTO query_text (source_id, queryid, text, last_seen) VALUES (?, ?, ?, ?)
    ON CONFLICT (source_id, queryid) DO UPDATE SET last_seen = excluded.last_seen, text = excluded.text
    WHERE excluded.last_seen > query_text.last_seen"""
# A row that is there is written again, so that it is locked: whoever is about to sum that bucket up waits for what is
# being kept here, and finds it.
DUE = """
    INSERT INTO due (step_s, at, source_id) VALUES (?, ?, ?)
    ON CONFLICT (step_s, at, source_id) DO UPDATE SET at = excluded.at"""


def source_id(name: str, project: str = "") -> str:
    """The same for the same database name of a project, whichever agent on whichever host sends it."""
    text = f"{project}\0{name}" if project else name
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def keep(db: Db, snapshot: Received, received_at: float, project: str) -> Kept:
    """Store once: a database's first body under an id stays. A clock that is ahead is set back to the receipt."""
    source, at = source_id(snapshot.name, project), min(snapshot.collected_at, received_at)
    with db.transaction():
        db.lock(source)
        kept = _keep_body(db, snapshot, source, at, received_at)
        if kept.new:
            keep_figures(db, snapshot, source, at)
            _keep_state(db, snapshot, source, project, (at, received_at))
            if project:
                tokens.used(db, project, received_at)
    return kept


def _keep_body(db: Db, snapshot: Received, source: str, at: float, received_at: float) -> Kept:
    columns = (
        snapshot.snapshot_id, source, at, received_at, snapshot.size_bytes, snapshot.active_sessions, snapshot.errors,
        len(snapshot.body),
    )  # fmt: skip
    which = (snapshot.snapshot_id, source)
    if not db.run(_SNAPSHOT, columns):
        ((when,),) = db.rows("SELECT received_at FROM snapshot WHERE id = ? AND source_id = ?", which)
        return Kept(snapshot.snapshot_id, source, when, new=False)
    insert = "INSERT INTO body (seq, data) SELECT seq, ? FROM snapshot WHERE id = ? AND source_id = ?"
    db.run(insert, (snapshot.packed, *which))
    return Kept(snapshot.snapshot_id, source, received_at, new=True)


def keep_figures(db: Db, snapshot: Received, source: str, at: float) -> None:
    """What does not depend on what came before."""
    document = snapshot.document
    db.run(
        "INSERT INTO point (source_id, at, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (source, at, pack_point(document, snapshot.interval_s)),
    )
    _mark_due(db, source, at, snapshot.interval_s)
    for kind, slot_s in KINDS.items():
        if (section := shapes.section(document, kind)) is not None:
            _keep_reading(db, source, kind, slot_s, at, section)
    _keep_texts(db, source, document, at)
    events.keep(db, source, list(events.told(document, at)))


def _mark_due(db: Db, source: str, at: float, interval_s: float) -> None:
    """All buckets between the point before and the one after: what lies between them depends on this one."""
    reach = reach_s(interval_s)
    ((before, after),) = db.rows(
        "SELECT (SELECT max(at) FROM point WHERE source_id = ? AND at < ? AND at >= ?),"
        " (SELECT min(at) FROM point WHERE source_id = ? AND at > ? AND at <= ?)",
        (source, at, at - reach, source, at, at + reach),
    )
    first = int((at - interval_s if before is None else before) // FINEST_S)
    last = int((at if after is None else after) // FINEST_S)
    db.many(DUE, [(FINEST_S, place * FINEST_S, source) for place in range(first, last + 1)])


def _keep_reading(db: Db, source: str, kind: str, slot_s: int, at: float, section: Mapping[str, Any]) -> None:
    slot = int(at // slot_s)
    found = one(db, "SELECT at FROM reading WHERE source_id = ? AND kind = ? AND slot = ?", (source, kind, slot))
    if found and found[0] <= at:
        return
    if kind == "queries":
        data = readings.pack_queries(section)
    else:
        rows, total = shapes.objects(section.get("rows")), shapes.mapping(section.get("total"))
        data = readings.pack(rows, None, total, shapes.left_out(section))
    db.run(_READING, (source, kind, slot, at, data))


def _keep_texts(db: Db, source: str, document: Mapping[str, Any], at: float) -> None:
    """Texts come once an hour with their counters; the top ones always, and need no more than to be there."""
    rows = [row for row in shapes.rows(document, "queries") if row.get("query")]
    told = {readings.queryid(row.get("queryid")): shapes.text(row["query"], _MOST_TEXT) for row in rows}
    db.many(_TEXT, [(source, queryid, text, at) for queryid, text in told.items()])
    slot = at // OBJECTS_S * OBJECTS_S  # so that a text that is told always is written once an hour
    top = [row for row in shapes.objects(document.get("top_queries"))[:200] if row.get("normalized_query")]
    named = [(readings.queryid(row.get("fingerprint")), row["normalized_query"]) for row in top]
    db.many(_TEXT, [(source, queryid, shapes.text(text, _MOST_TEXT), slot) for queryid, text in named
                    if queryid not in told])  # fmt: skip


def _keep_state(db: Db, snapshot: Received, source: str, project: str, times: tuple[float, float]) -> None:
    """What the newest snapshot says, and what has changed since the one before."""
    at, document = times[0], snapshot.document
    known_of = "SELECT collected_at, facts, spoke_at, snapshot_id, received_at FROM source WHERE id = ?"
    before = one(db, known_of, (source,))
    known, brought = json.loads(before[1]) if before else {}, sections.names(document)
    if before and before[0] > at:
        _keep_late(db, snapshot, source, at, set(brought).difference(known.get("sections", ())))
        return
    if before:
        sections.keep(db, source, set(known.get("sections", ())).difference(brought), before[3], before[0])
    now = {**events.facts(document, known), "sections": brought}
    slow_s = _slow_s((before[0], before[4]), times, snapshot.interval_s) if before else 0.0
    findings.keep(db, source, document, at, before[0] if before else None)
    events.keep(db, source, list(events.changes(known, now, document, at)))
    db.run(
        SOURCE_UPSERT,
        (
            source, project, snapshot.name, snapshot.snapshot_id, *times, snapshot.interval_s,
            json.dumps(snapshot.tags), snapshot.db_name, snapshot.db_version, snapshot.hostname, snapshot.size_bytes,
            snapshot.active_sessions, snapshot.errors, json.dumps({**snapshot.summary, "slow_s": slow_s}),
            *findings.counts(db, source), events.server(now),
            at if "activity" in brought else before[2] if before else 0.0, json.dumps(now),
        ),
    )  # fmt: skip


def _slow_s(before: tuple[float, float], times: tuple[float, float], interval_s: float) -> float:
    """How far the agent's clock is behind, where that is more than data may be late.

    It is, where two snapshots in a row came equally late and both clocks went on between them. What was waiting comes
    all at once. Each of the two: when it was collected, and received.
    """
    late, was_late = times[1] - times[0], before[1] - before[0]
    has_gone_on = times[0] - before[0] >= interval_s / 2
    is_steady = has_gone_on and abs(late - was_late) < interval_s / 2
    return min(late, was_late) if is_steady and min(late, was_late) > silent_after_s(interval_s) else 0.0


def _keep_late(db: Db, snapshot: Received, source: str, at: float, lacking: set[str]) -> None:
    """Of one that is not the newest: nothing newer changes. `lacking`: its sections that the newest does not have."""
    findings.keep_late(db, source, snapshot.document, at)
    sections.keep(db, source, lacking, snapshot.snapshot_id, at)
