"""Blocks that are not found in shared buffers."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.units import format_bytes, format_count, format_span

_REMEDY = """-- which tables are read from outside; a missing index on one of them shows in seq-scan-large
SELECT schemaname, relname, heap_blks_read, heap_blks_hit FROM pg_statio_user_tables
 ORDER BY heap_blks_read DESC LIMIT 5;
-- a quarter of the machine's memory is usual; it needs a restart{now}
-- ALTER SYSTEM SET shared_buffers = '…';
"""


@check(category="I/O and memory", scope="database", reads=("database", "settings", "server"), compares=("database",))
def cache_hit(
    now: Document,
    before: Document,
    *,
    info_percent: float = 90,
    least_hourly_read_count: float = 100_000,
    least_uptime_s: float = delta.HOUR_S,
) -> Said:
    """Many blocks are not found in shared buffers (pg_stat_database.blks_hit, blks_read)."""
    change = delta.one(now, before, "database", ("blks_hit", "blks_read", "blk_read_time_ms"))
    uptime_s = now.age_s(change.row.get("postmaster_start_time"))
    if uptime_s is not None and uptime_s < least_uptime_s:
        raise NotExamined(f"the server was started {format_span(uptime_s)} ago: its cache is still filling")
    hit, read = change.by["blks_hit"], change.by["blks_read"]
    percent = 100 * hit / max(hit + read, 1)
    if change.in_an_hour("blks_read") >= least_hourly_read_count and percent < info_percent:
        limit = f"{info_percent:g} %, with {format_count(least_hourly_read_count)} blocks read within an hour"
        yield _finding(now, change, percent, limit)


def _finding(now: Document, change: Change, percent: float, limit: str) -> Finding:
    buffers = (now.number_setting("shared_buffers") or 0) * now.block_bytes if now.has("settings") else 0
    name, read = str(change.row.get("datname") or now.db_name), change.by["blks_read"]
    return info(
        "",
        f"only {percent:.0f} % of the blocks that database {name} wanted within {format_span(change.seconds)} were in "
        f"shared buffers: {format_count(read)} were read from outside ({format_bytes(read * now.block_bytes)})",
        subject=f"database {name}",
        threshold=limit,
        evidence={
            "hit_percent": round(percent, 1),
            **change.by,
            "seconds": round(change.seconds),
            "shared_buffers_bytes": buffers or None,
        },
        remedy=_REMEDY.format(now=f", and is {format_bytes(buffers)} now" if buffers else ""),
        caution="memory that shared buffers take is missing for the operating system's own cache",
    )
