"""A database as busy as they come: a real server's snapshot in which each list is as long as it may be."""

import json
from collections.abc import Callable
from typing import Any

from pgdoctor_lib.snapshot import iso_time, new_id

NAME = "a_name_that_somebody_found_good_once_{:05}"
TABLES, INDEXES, STATEMENTS, FINDINGS, DATABASES = 10_000, 3000, 500, 200, 100
_LONG = {"tables": TABLES, "indexes": INDEXES, "vacuum": 300, "settings": 400, "queries": STATEMENTS}
_TEXT = (
    "SELECT customer_id, count(*) AS orders, sum(amount) FROM orders JOIN customers USING (customer_id) WHERE a < $1 "
)
_SEEN = {"oldest_transaction_age_s": 4711, "table_size_bytes": 123_456_789, "dead_rows": 40_000, "query": _TEXT * 3}


def document(real: dict[str, Any], at: float, name: str = "busy") -> dict[str, Any]:
    """As if it had been taken then. `real`: what `pgdoctor snapshot` printed."""
    told = {**real, "sections": {**real["sections"], "database": _moved(real["sections"]["database"], at)}}
    told.update(snapshot_id=new_id(at), collected_at=iso_time(at))
    told["database"] = {"name": name, "tags": {"team": "core", "stage": "production"}, "interval_s": 60}
    told["findings"] = [_finding(number, at // 60 * 60 - number * 7 - 60) for number in range(FINDINGS)]
    sections = told["sections"]
    for section, count in _LONG.items():
        rows = sections[section]["rows"]
        made = [_varied(section, rows[number % len(rows)], number, at) for number in range(count)]
        sections[section] = {"total": {}, "more": 0, "rows": made}
    told["top_queries"] = []
    sections["locks"] = {"rows": [_waiting(number) for number in range(100)], "total": {}, "more": 0}
    sections["recording"] = {"rows": [recording(at) for _ in range(3)], "total": {}, "more": 0}
    sections["progress"] = {"rows": [_progress(number) for number in range(30)], "total": {}, "more": 0}
    slots = [_slot(number) for number in range(30)]
    sections["slots"] = {"rows": slots, "total": {}, "more": 0}
    senders = [_sender(number) for number in range(30)]
    sections["replication"] = {**sections["replication"], "senders": senders, "slots": slots}
    return told


def small(real: dict[str, Any], at: float, number: int) -> dict[str, Any]:
    """One of many others, without what is listed on pages of its own."""
    told = {**real, "snapshot_id": new_id(at), "collected_at": iso_time(at), "top_queries": []}
    told["database"] = {"name": NAME.format(number), "tags": ["core", "production"], "interval_s": 60}
    told["sections"] = {name: real["sections"][name] for name in ("activity", "database")}
    told["sections"]["database"] = {**_moved(real["sections"]["database"], at), "system_identifier": str(number)}
    told["findings"] = [_finding(number, at - 60)] if number % 2 else []
    return told


def _moved(row: dict[str, Any], at: float) -> dict[str, Any]:
    """Its counters went on, now faster, now slower."""
    grown = at // 60 * 1000 + at // 60 % 7 * 500
    is_count = {key: isinstance(value, int) and not isinstance(value, bool) for key, value in row.items()}
    return {key: value + grown if is_count[key] else value for key, value in row.items()}


# of sections that are long, what pages show: a snapshot of so many rows would be too long otherwise
_SHOWN = {
    "tables": ("relid", "schemaname", "relname", "size_bytes", "n_live_tup", "n_dead_tup", "seq_scan", "last_analyze"),
    "indexes": ("relid", "schemaname", "relname", "indexrelname", "size_bytes", "idx_scan", "unused_since"),
    "queries": ("queryid", "userid", "rolname", "toplevel", "query", "calls", "total_exec_time_ms", "rows",
                "shared_blks_read", "temp_blks_written", "wal_bytes", "stats_since"),
}  # fmt: skip


def _varied(section: str, row: dict[str, Any], number: int, at: float) -> dict[str, Any]:
    """One of many, all alike but for its names and sizes."""
    row = {key: row[key] for key in _SHOWN.get(section, row)}
    names = {key: NAME.format(number) for key in ("relname", "indexrelname", "name") if key in row}
    own: dict[str, Any] = {"relid": 100_000 + number, "queryid": str(number)}
    found = {**row, **names, **{key: value for key, value in own.items() if key in row}}
    if section == "indexes":
        found["definition"] = f"CREATE INDEX ON public.{NAME.format(number)} (customer_id, note)"
        found["duplicate_of"] = {"indexrelname": NAME.format(number + 1)}
    if section == "queries":
        grown = {key: (row[key] or 0) + number * (at // 60) for key in row if key in _GROWN}
        return {**found, **grown, "query": f"/* {number} */ {_TEXT * 20}"}
    if section == "settings":
        return found
    return {**found, "size_bytes": 8192 * (number + int(at // 3600) % 100), "n_dead_tup": number}


_GROWN = ("calls", "rows", "total_exec_time_ms", "shared_blks_read", "temp_blks_written", "wal_bytes")


def _finding(number: int, since: float) -> dict[str, Any]:
    name = f"public.{NAME.format(number)}"
    return {
        "check": "index-unused", "key": name, "severity": ("critical", "warning", "info")[number % 3],
        "since": since,
        "summary": f"table {name} has 40,000 dead rows of 50,000, and was not vacuumed for 12 days: it grows and grows",
        "subject": name, "threshold": "20 percent", "days_left": number,
        "evidence": {**_SEEN, "rows": [{"name": name, "age_s": 4711, "count": number} for _ in range(10)]},
        "remedy": f"VACUUM (VERBOSE, ANALYZE) {name};\n" * 8, "caution": "It takes a while. " * 5,
    }  # fmt: skip


def _session(pid: int) -> dict[str, Any]:
    return {"pid": pid, "datname": "app", "usename": NAME.format(pid), "application_name": NAME.format(pid),
            "state": "active", "query": _TEXT * 4}  # fmt: skip


def _waiting(number: int) -> dict[str, Any]:
    """Twenty trees of five, each one's waiters in a row."""
    root, pid = 1000 + number // 5, 2000 + number
    above = root if number % 5 == 0 else pid - 1
    return {
        **_session(pid), "locktype": "relation", "mode": "AccessExclusiveLock", "schemaname": "public",
        "relname": NAME.format(number), "waiting_s": 100 - number, "wait_age_s": 100 - number, "root_pid": root,
        "parent_pid": above, "depth": 1 + number % 5, "blockers": [{**_session(root), "xact_age_s": 4711}],
    }  # fmt: skip


def recording(at: float) -> dict[str, Any]:
    """A crowd, second by second: forty sessions, each in the next one's way."""
    edges = [{"pid": pid, "blocking_pid": pid - 1, "first_s": 0.0, "last_s": 59.0} for pid in range(3001, 3040)]
    return {"started_at": iso_time(at - 60), "samples": [[second, 40, 39] for second in range(60)],
            "sessions": [_session(pid) for pid in range(3000, 3040)], "blocked": edges,
            "roots": [{"pid": 3000}]}  # fmt: skip


def _progress(number: int) -> dict[str, Any]:
    return {"pid": 4000 + number, "command": "VACUUM", "schemaname": "public", "relname": NAME.format(number),
            "usename": "app", "phase": "scanning heap", "percent_done": 47.1, "query_age_s": 471}  # fmt: skip


def _slot(number: int) -> dict[str, Any]:
    return {"slot_name": NAME.format(number), "slot_type": "physical", "database": "app", "active": False,
            "wal_status": "extended", "retained_bytes": 4_711_000, "inactive_s": 4711}  # fmt: skip


def _sender(number: int) -> dict[str, Any]:
    lags = {f"{what}_lag_bytes": 4711 for what in ("sent", "write", "flush", "replay")}
    return {"application_name": NAME.format(number), "client_addr": "192.168.100.100", "state": "streaming",
            "sync_state": "async", "slot_name": NAME.format(number), "replay_lag_s": 0.4711, **lags}  # fmt: skip


def fill(real: dict[str, Any], post: Callable[[bytes], object], now: float) -> None:
    """Send it: an hour of the busy one, its long lists every ten minutes; of the others the last minutes."""
    for ago in range(3600, -1, -120):
        told = document(real, now - ago)
        if ago in (1200, 2400):
            told["database"]["mark"] = {"label": f"v{ago} of the application", "at": iso_time(now - ago - 30)}
        if ago % 600:
            for section in _LONG:
                del told["sections"][section]
        _send(told, post)
    for number in range(DATABASES - 1):
        for ago in range(420, -1, -60):
            _send(small(real, now - ago, number), post)


def _send(told: dict[str, Any], post: Callable[[bytes], object]) -> None:
    post(json.dumps(told, separators=(",", ":")).encode())
