"""Queries that have been running for long."""

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.checks.sessions import cancelling, clients, evidence, is_upkeep, told, upkeep, waits_for_lock, who
from pgdoctor_lib.units import counted, format_span


@check(category="queries", scope="server", reads=("activity", "progress"))
def long_query(now: Document, before: Document, *, warning_s: float = 1800, critical_s: float = 43200) -> Said:
    """A client's query has been running for long (pg_stat_activity.query_start)."""
    busy = upkeep(now)
    running = [each for each in clients(now) if _runs(each) and each["pid"] not in busy and not is_upkeep(each)]
    for session in sorted(running, key=lambda each: -(each.get("query_age_s") or 0)):
        age = float(session.get("query_age_s") or 0)
        if severity := severity_of(age, warning_s, critical_s):
            query = told(session.get("query"))
            workers = session.get("parallel_worker_count")
            helped = f", with {counted(workers, 'parallel worker')}" if workers else ""
            yield graded(
                severity,
                str(session["pid"]),
                f"{who(session)} has been running one query for {format_span(age)}{helped}"
                + (f": {query}" if query else ""),
                subject=who(session),
                threshold=f"{format_span(warning_s)} since the query began (critical: {format_span(critical_s)})",
                evidence={**evidence(session), "query_id": session.get("query_id"), "parallel_worker_count": workers},
                remedy=_remedy(session),
                caution="what the query has done so far is lost",
                since=epoch(session.get("query_start")),
            )


def _runs(session: Row) -> bool:
    """Whether it is at work. One that waits for a lock is not: blocking-chain tells of it."""
    return session.get("state") == "active" and not waits_for_lock(session)


def _remedy(session: Row) -> str:
    return (
        f"-- if nobody waits for its result any more: cancel the query of {who(session)}\n"
        f"{cancelling(session)}"
        "-- then see what it does, without running it: EXPLAIN, and the query\n"
        "-- and where no query may take that long: ALTER ROLE … SET statement_timeout = '15min';\n"
    )
