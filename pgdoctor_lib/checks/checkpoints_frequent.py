"""Checkpoints that come because max_wal_size is full, not because their time has come."""

import math

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.delta import HOUR_S
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.units import format_bytes

_MB = 1024**2
_COUNTED = ("num_timed", "num_requested")
_READ = ("checkpointer", "server")
_MOST = 65536 * _MB


@check(category="replication and WAL", scope="server", reads=_READ, compares=_READ, primary=True)
def checkpoints_frequent(
    now: Document, before: Document, *, warning_percent: float = 50, least_count: float = 4
) -> Said:
    """Checkpoints come of max_wal_size, more often than checkpoint_timeout asks (pg_stat_checkpointer)."""
    change = delta.one(now, before, "checkpointer", _COUNTED)
    written = delta.one(now, before, "server", ("wal_position_bytes",)).by["wal_position_bytes"]
    checkpointer, hour, distance = change.row, HOUR_S / max(HOUR_S, change.seconds), _distance(change.row)
    by_wal = min(change.by["num_requested"], written / distance) if distance else 0
    share = 100 * by_wal / max(1, sum(change.by.values()))
    if not distance or by_wal * hour < least_count or share <= warning_percent:
        return
    size = checkpointer["max_wal_size_bytes"]
    yield warning(
        "",
        f"{by_wal * hour:.0f} checkpoints within an hour ({share:.0f} %) came because max_wal_size "
        f"({format_bytes(size)}) was full, and not because checkpoint_timeout had passed",
        subject="max_wal_size",
        threshold=f"more than {warning_percent:g} % of the checkpoints, and {least_count:g} an hour; "
        f"one comes of {format_bytes(distance)} of WAL (max_wal_size ÷ (1 + checkpoint_completion_target))",
        evidence={
            **change.by,
            "seconds": round(change.seconds),
            "wal_written_bytes": written,
            "max_wal_size_bytes": size,
            "checkpoint_timeout_s": checkpointer.get("checkpoint_timeout_s"),
        },
        remedy=_remedy(now, checkpointer, written, change.seconds),
        caution="pg_wal may grow to that size, and recovery after a crash takes longer; no restart is needed",
    )


def _distance(checkpointer: Row) -> float | None:
    """WAL after which a checkpoint is requested: CalculateCheckpointSegments() in xlog.c."""
    size, target = checkpointer.get("max_wal_size_bytes"), checkpointer.get("checkpoint_completion_target")
    return size / (1 + float(target)) if size and target is not None else None


def _remedy(now: Document, checkpointer: Row, written: float, seconds: float) -> str:
    """Room for what is written within checkpoint_timeout, by what was seen: no burst is extrapolated."""
    timeout_s = float(checkpointer.get("checkpoint_timeout_s") or 300)
    size = checkpointer["max_wal_size_bytes"]
    needed = written * min(1, timeout_s / seconds) * size / (_distance(checkpointer) or 1)
    most = max(2 * size, _MOST)
    size_mb = min(2 ** math.ceil(math.log2(max(2 * size, needed) / _MB)), int(most // _MB))
    return (
        "-- room for the WAL of a whole checkpoint_timeout, but at most 64 GB, or twice what it is: where that\n"
        "-- is too little, write less\n" + alter_system(now, {"max_wal_size": f"{size_mb}MB"})
    )
