"""Deadlocks."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.units import counted, format_span

_REMEDY = (
    '-- the server\'s log has the statements of each: "deadlock detected", with DETAIL and CONTEXT\n'
    "-- take locks in the same order everywhere (SELECT … ORDER BY id FOR UPDATE before several rows are changed),\n"
    "-- keep transactions short, and run a transaction again that failed with SQLSTATE 40P01.\n"
    "-- To see waits before they become deadlocks in the log:\n"
)


@check(
    category="locks and transactions",
    scope="database",
    reads=("database", "settings", "server"),
    compares=("database",),
)
def deadlocks(
    now: Document, before: Document, *, warning_hourly_count: float = 1, critical_hourly_count: float = 60
) -> Said:
    """Transactions were cancelled as each waited for the other (pg_stat_database.deadlocks)."""
    change = delta.one(now, before, "database", ("deadlocks", "xact_commit", "xact_rollback"))
    severity = severity_of(change.in_an_hour("deadlocks"), warning_hourly_count, critical_hourly_count)
    if severity:
        name = change.row.get("datname")
        yield graded(
            severity,
            "",
            f"{counted(int(change.by['deadlocks']), 'deadlock')} in database {name} within "
            f"{format_span(change.seconds)}: as many transactions failed",
            subject=f"database {name}",
            threshold=f"{warning_hourly_count:g} an hour (critical: {critical_hourly_count:g})",
            evidence={
                "deadlocks": change.row.get("deadlocks"),
                "deadlocks_before": before.one("database").get("deadlocks"),
                "seconds": round(change.seconds),
                "transactions": change.by["xact_commit"] + change.by["xact_rollback"],
            },
            remedy=_REMEDY + alter_system(now, {"log_lock_waits": "on"}),
            caution="a line in the log for each wait longer than deadlock_timeout",
        )
