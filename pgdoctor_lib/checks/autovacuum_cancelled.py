"""Tables that autovacuum begins with, and is interrupted at."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier, relation_literal
from pgdoctor_lib.units import format_count, format_span

_REMEDY = """-- who locks it now; the server's log has "canceling autovacuum task" for each time, with the table's name
SELECT a.pid, a.usename, a.application_name, l.mode, a.query FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.relation = {literal}::regclass AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock');
-- unlike autovacuum, this gives way to nobody: who wants to lock the table waits until it is done
VACUUM (ANALYZE) {name};
"""


@check(
    category="wraparound and vacuum",
    scope="database",
    reads=("tables", "progress", "autovacuum_queue"),
    compares=("tables", "progress"),
    primary=True,
    for_s=3600,
)
def autovacuum_cancelled(now: Document, before: Document) -> Said:
    """Autovacuum begins with a table over and over, and never gets through (pg_stat_progress_vacuum)."""
    delta.seconds(now, before, "progress")
    due = {row.get("relid") for row in now.rows("autovacuum_queue") if row.get("vacuum_due") or row.get("freeze_due")}
    going_on = {(row.get("pid"), row.get("query_start")) for row in now.rows("progress")}
    begun = {
        row.get("relid"): row
        for row in before.rows("progress")
        if row.get("is_autovacuum") and row.get("command") == "VACUUM" and row.get("datname") == now.db_name
        if (row.get("pid"), row.get("query_start")) not in going_on
    }
    if not due & begun.keys():
        return
    for change in delta.rows(now, before, "tables", ("relid",), ("autovacuum_count", "vacuum_count")):
        relid = change.row.get("relid")
        if relid in begun and relid in due and not any(change.by.values()):
            yield _finding(now, change, begun[relid])


def _finding(now: Document, change: Change, worker: Row) -> Finding:
    row = change.row
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    pasted = identifier(str(row.get("schemaname")), str(row.get("relname")))
    began = epoch(worker.get("query_start"))
    ago = "" if began is None else f" {format_span(now.server_time - began)} ago"
    return warning(
        name,
        f"autovacuum began with table {name}{ago} and did not get through, again and again for an hour: somebody who "
        f"locks the table ends it each time, or it fails; {format_count(row.get('n_dead_tup') or 0)} dead rows stay",
        subject=name,
        threshold="a worker that is gone, without autovacuum_count having grown, at each look for an hour",
        evidence={
            "began": worker.get("query_start"),
            "heap_blks_scanned": worker.get("heap_blks_scanned"),
            "heap_blks_total": worker.get("heap_blks_total"),
            "n_dead_tup": row.get("n_dead_tup"),
            "autovacuum_count": row.get("autovacuum_count"),
            "last_autovacuum": row.get("last_autovacuum"),
        },
        remedy=_REMEDY.format(
            name=pasted, literal=relation_literal(str(row.get("schemaname")), str(row.get("relname")))
        ),
        caution="VACUUM reads the table and its indexes at full speed; DDL and LOCK TABLE wait for it meanwhile",
    )
