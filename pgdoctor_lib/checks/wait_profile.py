"""Most sessions that are at work wait for the disk, or for PostgreSQL's own locks in memory."""

import re

from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.quoting import comment, quote_literal

_OUTSIDE = ("Client", "Activity", "Timeout")  # waits for the client, for work, for time to pass
_ADVICE = (
    (
        r"wal",
        "commits wait for WAL to be written: fewer and larger transactions, a faster disk for pg_wal",
    ),
    (r"buffile", "sorts and hashes go through files: see temp-files, work_mem"),
    (r"datafile(read|prefetch)|aio", "tables and indexes are read from the disk: see cache-hit and seq-scan-large"),
    (r"datafile", "tables and indexes are written, or grow: more shared_buffers, a faster disk"),
    (
        r"lockmanager|lock_manager",
        "statements lock many tables, partitions or indexes: fewer of these (see index-unused)",
    ),
    (
        r"buffercontent|buffer_content",
        "many sessions work on the same few pages: a counter, a queue, one end of an index",
    ),
    (r"buffermapping|buffer_mapping", "blocks come and go in shared buffers all the time: see cache-hit"),
    (
        r"subtrans",
        "transactions with many savepoints, beside a long transaction: fewer savepoints (EXCEPTION in PL/pgSQL)",
    ),
    (r"multixact", "many transactions lock the same rows (foreign keys): keep these transactions short"),
    (r"xact|clog|procarray", "very many short transactions: larger ones, and a pooler with fewer server connections"),
    (r"slru|sync|control", "the server writes down its own state: see checkpoints-frequent, and the disk"),
)
_OTHER = (
    "what that event means: the table of wait events in PostgreSQL's manual, monitoring-stats.html#WAIT-EVENT-TABLE"
)


@check(category="I/O and memory", scope="server", reads=("activity",), times=3)
def wait_profile(
    now: Document, before: Document, *, warning_percent: float = 50, least_session_count: float = 10
) -> Said:
    """Most sessions that are at work wait for I/O, or for locks in memory (pg_stat_activity.wait_event_type)."""
    if "activity" in now.errors:
        raise NotExamined(now.errors["activity"])
    if "disabled" in (now.total("activity").get("by_state") or ()):
        raise NotExamined("track_activities is off; ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf();")
    told = now.total("activity").get("active_by_wait_event_type") or {}
    working = {kind: count for kind, count in told.items() if kind not in _OUTSIDE}
    count = sum(working.values())
    for kind, what in (("IO", "the disk"), ("LWLock", "PostgreSQL's own locks in memory")):
        waiting = working.get(kind, 0)
        if count >= least_session_count and waiting > warning_percent / 100 * count:
            events = _events(now, kind)
            event = max(events, key=lambda each: events[each], default=kind)
            yield warning(
                kind,
                f"{waiting} of {count} sessions that are at work wait for {what} ({kind}), most of them for {event}",
                subject=event,
                threshold=f"more than {warning_percent:g} % of at least {least_session_count:g} sessions, in three "
                "snapshots in a row",
                evidence={"active_by_wait_event_type": working, "events": events},
                remedy=_advice(event),
            )


def _events(now: Document, kind: str) -> dict[str, int]:
    """What the active sessions wait for, of that kind."""
    rows = now.total("activity").get("by_wait_event") or ()
    active = [row for row in rows if row.get("state") == "active" and row.get("wait_event_type") == kind]
    return {str(row.get("wait_event")): row.get("count") or 0 for row in active[:10]}


def _advice(event: str) -> str:
    found = (words for pattern, words in _ADVICE if re.search(pattern, event, re.IGNORECASE))
    return (
        f"-- {comment(event)}: {next(found, _OTHER)}\n"
        "-- who waits for it, and with which statements\n"
        "SELECT pid, usename, query_start, query FROM pg_stat_activity\n"
        f" WHERE wait_event = {quote_literal(event).strip()} ORDER BY query_start LIMIT 10;\n"
    )
