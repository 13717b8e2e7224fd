"""Transactions that have been open for hours, and keep VACUUM from cleaning."""

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.checks.sessions import (
    clients,
    doing,
    ending,
    evidence,
    holds,
    is_upkeep,
    left_behind,
    upkeep,
    waits_for_lock,
    who,
)
from pgdoctor_lib.units import format_span


@check(
    category="locks and transactions",
    scope="server",
    reads=("activity", "progress"),
    follows_same=("idle-in-transaction", "long-query"),
)
def long_transaction(now: Document, before: Document, *, warning_s: float = 3600, critical_s: float = 21600) -> Said:
    """A client's transaction has been open for long, and holds back VACUUM (pg_stat_activity.xact_start)."""
    busy = upkeep(now)
    held = [each for each in clients(now) if holds(each) and not waits_for_lock(each)]
    open_ones = [each for each in held if each["pid"] not in busy and not is_upkeep(each)]
    for session in sorted(open_ones, key=lambda each: -(each.get("xact_age_s") or 0)):
        age = float(session.get("xact_age_s") or 0)
        if severity := severity_of(age, warning_s, critical_s):
            yield graded(
                severity,
                str(session["pid"]),
                f"{who(session)} has had its transaction open for {format_span(age)}, and is {doing(session)}: "
                f"{left_behind(_age(session))}",
                subject=who(session),
                threshold=f"{format_span(warning_s)} since the transaction began (critical: {format_span(critical_s)})",
                evidence=evidence(session),
                remedy=_remedy(session, now),
                caution=f"the transaction of {who(session)} is rolled back: what it has done is lost",
                since=epoch(session.get("xact_start")),
            )


def _age(session: Row) -> int:
    """Transactions that have begun since the oldest that it may see."""
    return max(session.get("backend_xid_age") or 0, session.get("backend_xmin_age") or 0)


def _remedy(session: Row, now: Document) -> str:
    words = f"-- if it is not to go on: end {who(session)}\n{ending(session)}"
    words += "-- then let the job commit more often, or read in READ COMMITTED, which needs no snapshot in between\n"
    if now.has("database") and now.major >= 17:
        words += "-- (transaction_timeout limits it: ALTER ROLE … SET transaction_timeout = '1h';)\n"
    return words
