"""Transactions that are rolled back."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.units import format_count, format_span

_REMEDY = (
    "-- the server's log has each error, with its statement (log_min_error_statement = error, as PostgreSQL comes).\n"
    "-- Without errors it is the application that sends ROLLBACK, or ends its session within a transaction\n"
)


@check(category="locks and transactions", scope="database", reads=("database",), compares=("database",))
def rollbacks(now: Document, before: Document, *, info_percent: float = 20, least_hourly_count: float = 1_000) -> Said:
    """Many transactions are rolled back, by errors or by the application (pg_stat_database.xact_rollback)."""
    change = delta.one(now, before, "database", ("xact_commit", "xact_rollback"))
    rolled_back, name = change.by["xact_rollback"], change.row.get("datname")
    share = 100 * rolled_back / ((rolled_back + change.by["xact_commit"]) or 1)
    if share >= info_percent and change.in_an_hour("xact_rollback") >= least_hourly_count:
        yield info(
            "",
            f"{share:.0f} % of the transactions in database {name} within {format_span(change.seconds)} were rolled "
            f"back: {format_count(rolled_back)}",
            subject=f"database {name}",
            threshold=f"{info_percent:g} % of all, and {format_count(least_hourly_count)} an hour",
            evidence={"committed": change.by["xact_commit"], "rolled_back": rolled_back, "seconds": change.seconds},
            remedy=_REMEDY,
        )
