"""A replication slot that keeps WAL for a consumer that does not come."""

from collections.abc import Sequence
from dataclasses import replace

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, Point, Row, epoch
from pgdoctor_lib.checks.registry import Said, Sample, check, graded
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.quoting import quote_literal
from pgdoctor_lib.units import format_bytes, format_span

_EVIDENCE = (
    "slot_type",
    "plugin",
    "database",
    "retained_bytes",
    "restart_lsn",
    "wal_status",
    "safe_wal_size_bytes",
    "xmin_age",
    "catalog_xmin_age",
    "inactive_since",
)
_MOST_TRENDS = 5
_APART_S = 2 * delta.HOUR_S  # points are an hour apart: a longer gap, and somebody had come in between


@check(category="replication and WAL", scope="server", reads=("slots",), follows_same=("replica-missing",))
def slot_inactive(
    now: Document,
    before: Document,
    *,
    warning_bytes: float = 1e9,
    critical_bytes: float = 5e9,
    critical_percent: float = 85,
    warning_s: float = 3600,
) -> Said:
    """Nobody reads from a replication slot, and it keeps WAL (pg_replication_slots.active, restart_lsn)."""
    cap = now.total("slots").get("max_slot_wal_keep_size_bytes")
    from_bytes, why = (critical_bytes, "no max_slot_wal_keep_size ends it")
    if cap:
        from_bytes, why = (cap * critical_percent / 100, f"{critical_percent:g} % of max_slot_wal_keep_size")
    threshold = (
        f"warning from {format_bytes(warning_bytes)} or {format_span(warning_s)} on, "
        f"critical from {format_bytes(from_bytes)} on ({why})"
    )
    idle = sorted(filter(_is_waited_for, now.rows("slots")), key=lambda slot: -slot["retained_bytes"])
    for index, slot in enumerate(idle):
        retained, trend = slot["retained_bytes"], f"slot-inactive:{slot['slot_name']}"
        points = (*_since_it_left(now.trends.get(trend, ()), now), (now.server_time, retained))
        if index < _MOST_TRENDS:
            yield Sample(trend, retained)
        since = epoch(slot.get("inactive_since")) or points[0][0]
        severity = _severity(now.server_time - since > warning_s, retained, min(warning_bytes, from_bytes), from_bytes)
        if severity:
            days_left = delta.days_left(points, cap) if cap else None
            found = _idle(slot, severity, now.server_time - since)
            yield replace(found, threshold=threshold, days_left=days_left, since=since)


def _idle(slot: Row, severity: Severity, idle_s: float) -> Finding:
    name, kept = slot["slot_name"], format_bytes(slot["retained_bytes"])
    since = f"for {format_span(idle_s)}" if idle_s >= 1 else "at this moment"
    return graded(
        severity,
        name,
        f"nobody has read from {slot.get('slot_type')} replication slot {name} {since}: the server keeps {kept} of WAL",
        subject=name,
        evidence={column: slot.get(column) for column in _EVIDENCE},
        remedy="-- start its consumer again (a standby, a subscriber, a change data capture); where there is none any "
        f"more:\nSELECT pg_drop_replication_slot({quote_literal(name)});\n",
        caution="what read from the slot must be built anew: pg_basebackup, or a new copy of the tables",
    )


def _is_waited_for(slot: Row) -> bool:
    """A slot that holds WAL; not one of a session, nor a standby's copy of its primary's, nor one that is lost."""
    held = slot.get("retained_bytes") is not None and slot.get("wal_status") not in ("lost", "unreserved")
    return held and not (slot.get("active") or slot.get("temporary") or slot.get("synced"))


def _since_it_left(points: Sequence[Point], now: Document) -> Sequence[Point]:
    """Those that were remembered since somebody last read: what is kept only grows from then on."""
    apart = max(_APART_S, 2 * now.interval_s)
    first, later = len(points), now.server_time
    while first and later - points[first - 1][0] <= apart:
        if first < len(points) and points[first - 1][1] > points[first][1]:
            break
        first, later = first - 1, points[first - 1][0]
    return points[first:]


def _severity(is_long: bool, retained: float, warning: float, critical: float) -> Severity | None:
    if retained >= critical:
        return Severity.CRITICAL
    return Severity.WARNING if is_long or retained >= warning else None
