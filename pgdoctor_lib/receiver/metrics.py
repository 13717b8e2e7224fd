"""The figures of a snapshot that are kept as series: where each stands in it, and what it is.

A counter grows until it is reset; a series of one is what it grew by, per second. A gauge is a value of its moment.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pgdoctor_lib.receiver import shapes

Kind = Literal["counter", "gauge"]
MISSING = math.nan


@dataclass(frozen=True)
class Metric:
    """`name`: the section, then the figure; `path`: where it is in the section; `unit`: "" for a plain number."""

    name: str
    kind: Kind
    unit: str
    path: tuple[str, ...]

    @property
    def section(self) -> str:
        """The section that it is read from."""
        return self.name.partition(".")[0]


def _counter(name: str, unit: str = "", *path: str) -> Metric:
    return Metric(name, "counter", unit, path or (name.partition(".")[2],))


def _gauge(name: str, unit: str = "", *path: str) -> Metric:
    return Metric(name, "gauge", unit, path or (name.partition(".")[2],))


def _active(what: str) -> Metric:
    return _gauge(f"activity.active_{what.lower()}", "", "total", "active_by_wait_event_type", what)


# The order is that of the packed points in the store: a new one goes to the end, and none is taken away.
METRICS: tuple[Metric, ...] = (
    _counter("database.xact_commit"),
    _counter("database.xact_rollback"),
    _counter("database.blks_read", "blocks"),
    _counter("database.blks_hit", "blocks"),
    _counter("database.tup_returned", "rows"),
    _counter("database.tup_fetched", "rows"),
    _counter("database.tup_inserted", "rows"),
    _counter("database.tup_updated", "rows"),
    _counter("database.tup_deleted", "rows"),
    _counter("database.conflicts"),
    _counter("database.temp_files"),
    _counter("database.temp_bytes", "bytes"),
    _counter("database.deadlocks"),
    _counter("database.blk_read_time_ms", "ms"),
    _counter("database.blk_write_time_ms", "ms"),
    _counter("database.active_time_ms", "ms"),
    _counter("database.sessions"),
    _gauge("database.size_bytes", "bytes"),
    _gauge("database.numbackends"),
    _gauge("database.datfrozenxid_age", "transactions"),
    _gauge("activity.client_backends", "", "total", "client_backends"),
    _gauge("activity.max_connections", "", "total", "max_connections"),
    _gauge("activity.active", "", "total", "by_state", "active"),
    _gauge("activity.idle", "", "total", "by_state", "idle"),
    _gauge("activity.idle_in_transaction", "", "total", "by_state", "idle in transaction"),
    _gauge("activity.lock_waits", "", "total", "lock_wait_count"),
    _active("CPU"),
    _active("Lock"),
    _active("LWLock"),
    _active("IO"),
    _active("Client"),
    _active("IPC"),
    _active("Timeout"),
    _active("BufferPin"),
    _active("Extension"),
    _gauge("activity.longest_xact_s", "s", "total", "longest_xact_s"),
    _gauge("activity.longest_query_s", "s", "total", "longest_query_s"),
    _counter("wal.wal_bytes", "bytes"),
    _counter("wal.wal_records"),
    _counter("wal.wal_fpi"),
    _counter("checkpointer.num_timed"),
    _counter("checkpointer.num_requested"),
    _counter("checkpointer.buffers_written", "blocks"),
    _counter("checkpointer.write_time_ms", "ms"),
    _counter("checkpointer.sync_time_ms", "ms"),
    _counter("bgwriter.buffers_clean", "blocks"),
    _counter("bgwriter.buffers_backend", "blocks"),
    _counter("bgwriter.buffers_alloc", "blocks"),
    _gauge("replication.replay_lag_bytes", "bytes"),
    _gauge("replication.sender_count"),
    _gauge("replication.lag_bytes", "bytes", "senders", "*", "replay_lag_bytes"),
    _gauge("slots.retained_bytes", "bytes", "total", "retained_bytes"),
    _counter("queries.total_exec_time_ms", "ms", "total", "total_exec_time_ms"),
    _counter("queries.calls", "", "total", "calls"),
    _gauge("tables.n_dead_tup", "rows", "total", "n_dead_tup"),
    _gauge("host.load_1m"),
    _gauge("host.cpu_count"),
    _gauge("host.memory_bytes", "bytes"),
    _gauge("host.memory_available_bytes", "bytes"),
    _gauge("host.disk_used_percent", "%", "disks", "*", "used_percent"),
    _gauge("agent.rss_bytes", "bytes", "usage", "rss_bytes"),
    _counter("agent.cpu_s", "s", "usage", "cpu_s"),
)
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}
PLACE: Mapping[str, int] = {metric.name: place for place, metric in enumerate(METRICS)}


def values(document: Mapping[str, Any]) -> "array[float]":
    """Of a snapshot's JSON, each of `METRICS`; `MISSING` for what it does not have."""
    sections = document.get("sections")
    found = {**(sections if isinstance(sections, dict) else {}), "agent": document.get("agent")}
    read = array("d", (_number(_at(found.get(metric.section), metric.path)) for metric in METRICS))
    _fill_quiet(found, read)
    return read


def _fill_quiet(found: Mapping[str, Any], read: "array[float]") -> None:
    """Where nobody is active, or idle, the section has no count of that, or null: that is 0, not unknown."""
    activity = found.get("activity")
    if isinstance(activity, dict) and isinstance(activity.get("total"), dict):
        for name, place in PLACE.items():
            if name.startswith(("activity.active", "activity.idle")) and math.isnan(read[place]):
                read[place] = 0.0


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """What is there; of `*`, the largest over a list's objects."""
    for number, step in enumerate(path):
        if step == "*":
            found = [_number(_at(each, path[number + 1 :])) for each in value] if isinstance(value, list) else []
            return max((each for each in found if not math.isnan(each)), default=None)
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _number(value: Any) -> float:
    number = shapes.number(value)
    return MISSING if number is None else float(number)
