"""Indexes that no query has read for a long time."""

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_bytes

_WEEK_S = 7 * DAY_S
_EVIDENCE = ("relname", "size_bytes", "idx_scan", "last_idx_scan", "unused_since", "columns", "definition")
_PLAIN = "waits for transactions that use the table; reads and writes go on"
_PARTITIONED = "locks the table and its partitions for a moment (ACCESS EXCLUSIVE): set lock_timeout first"
_SERVES = (  # besides queries; an index on expressions: its statistics
    "indisunique",
    "indisprimary",
    "indisexclusion",
    "indisreplident",
    "indisclustered",
    "backs_constraint",
    "supports_foreign_key",
    "has_expressions",
    "is_extension_member",
    "duplicate_of",
    "redundant_to",
)


@check(
    category="indexes",
    scope="database",
    reads=("indexes", "database", "replication"),
    primary=True,
    for_s=_WEEK_S,
)
def index_unused(now: Document, before: Document, *, least_days: float = 30, least_bytes: float = 10 * 1024**2) -> Said:
    """No query has read an index for a month (pg_stat_all_indexes.idx_scan, 16+ last_idx_scan)."""
    counted_days = now.counted_s() / DAY_S
    if counted_days < least_days:
        raise NotExamined(f"counters have run for {counted_days:.0f} days, and {least_days:g} are needed")
    has_standby = bool(now.one("replication").get("sender_count")) if now.has("replication") else False
    for row in now.rows("indexes"):
        days = (now.age_s(row.get("unused_since")) or 0) / DAY_S
        size = row.get("size_bytes") or 0
        if row.get("unused_since") and days >= least_days and size >= least_bytes and _is_for_queries_alone(row):
            name = f"{row.get('schemaname')}.{row.get('indexrelname')}"
            yield info(
                name,
                f"no query has read index {name} ({format_bytes(size)}) on table {row.get('relname')} "
                f"in the {days:.0f} days that are counted, or since it was made",
                subject=name,
                threshold=f"{least_days:g} days without a scan, and {format_bytes(least_bytes)}",
                evidence={"has_standby": has_standby, **{each: row.get(each) for each in _EVIDENCE}},
                remedy=_remedy(row, has_standby),
                caution=f"{_PARTITIONED if row.get('relkind') == 'I' else _PLAIN}. To build it again takes "
                "time: keep the definition. A job that runs once a year may want it",
            )


def _is_for_queries_alone(row: Row) -> bool:
    is_whole = row.get("indisvalid") is not False and not row.get("is_partition")
    return is_whole and not any(row.get(each) for each in _SERVES)


def _remedy(row: Row, has_standby: bool) -> str:
    how = "" if row.get("relkind") == "I" else "CONCURRENTLY "
    index = identifier(str(row.get("schemaname")), str(row.get("indexrelname")))
    asked = f"SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelid = {int(row.get('indexrelid') or 0)};"
    return (f"-- there are standbys, which count for themselves; ask each: {asked}\n" if has_standby else "") + (
        f"DROP INDEX {how}{index};\n"
    )
