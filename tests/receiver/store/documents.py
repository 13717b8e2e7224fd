"""Snapshots as the store gets them, made of little."""

import gzip
import json
from datetime import datetime, timezone
from typing import Any

from pgdoctor_lib.receiver.intake import Received, receive
from pgdoctor_lib.snapshot import new_id

T0 = 1_700_006_400.0  # a whole hour
SERVER = {"system_identifier": "7", "in_recovery": False, "postmaster_start_time": "2023-01-01T00:00:00+00:00"}


def document(
    at: float, *, name: str = "app", interval_s: float = 60, mark: dict[str, Any] | None = None, **sections: Any
) -> dict[str, Any]:
    """`findings` and `diagnosis` go to their places, all else is a section."""
    head = {key: sections.pop(key) for key in ("findings", "diagnosis", "top_queries") if key in sections}
    return {
        "schema_version": 1,
        "snapshot_id": new_id(at),
        "collected_at": iso(at),
        "agent": {"hostname": "mon-1"},
        "database": {"name": name, "tags": [], "interval_s": interval_s, **({"mark": mark} if mark else {})},
        "meta": {"db_name": "app", "db_version": "PostgreSQL 18.1"},
        "top_queries": [],
        "sections": sections,
        "findings": [],
        "errors": [],
        **head,
    }


def received(told: dict[str, Any]) -> Received:
    return receive(gzip.compress(json.dumps(told).encode()), "gzip", None)


def snapshot(at: float, **told: Any) -> Received:
    return received(document(at, **told))


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")


def counters(commits: float, **more: Any) -> dict[str, Any]:
    """Section `database`."""
    return {**SERVER, "xact_commit": commits, "size_bytes": 1000, "stats_reset": None, **more}


def finding(check: str = "index-unused", key: str = "a", severity: str = "warning", **more: Any) -> dict[str, Any]:
    return {"check": check, "key": key, "severity": severity, "summary": f"{check} of {key}", **more}


def query(queryid: str = "1", calls: float = 1, ms: float = 1, **more: Any) -> dict[str, Any]:
    return {"queryid": queryid, "userid": 10, "rolname": "app", "toplevel": True, "query": f"SELECT {queryid}",
            "calls": calls, "total_exec_time_ms": ms, "stats_since": None, **more}  # fmt: skip


def many(rows: list[dict[str, Any]], **total: Any) -> dict[str, Any]:
    return {"rows": rows, "total": {"count": len(rows), **total}, "more": 0}
