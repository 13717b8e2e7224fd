"""Sessions that have a transaction open, and do nothing in it."""

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.checks.sessions import (
    clients,
    ending,
    evidence,
    holds,
    is_idle_in_transaction,
    left_behind,
    told,
    who,
)
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_span


@check(category="locks and transactions", scope="server", reads=("activity",))
def idle_in_transaction(now: Document, before: Document, *, warning_s: float = 300, critical_s: float = 1800) -> Said:
    """A session has its transaction open, and does nothing (pg_stat_activity.state, state_change)."""
    count = now.total("activity").get("idle_in_transaction_count")
    idle = [session for session in clients(now) if is_idle_in_transaction(session)]
    for session in sorted(idle, key=lambda each: -(each.get("state_age_s") or 0)):
        age = float(session.get("state_age_s") or 0)
        severity = severity_of(age, warning_s, critical_s if holds(session) else None)
        if severity:
            state = told(session.get("state"))
            yield graded(
                severity,
                str(session["pid"]),
                f"{who(session)} has been {state} for {format_span(age)}, and holds {_held(session)}",
                subject=who(session),
                threshold=f"{format_span(warning_s)} since its last statement"
                f" (critical: {format_span(critical_s)}, where it keeps VACUUM from cleaning)",
                evidence={**evidence(session), "idle_in_transaction_count": count},
                remedy=_remedy(session),
                caution=f"the transaction of {who(session)} is rolled back, and its client gets an error",
                since=epoch(session.get("state_change")),
            )


def _held(session: Row) -> str:
    """What others may feel of it."""
    if session.get("backend_xid_age") is not None:
        return f"what it has written and locked: {left_behind(session['backend_xid_age'])}"
    if session.get("backend_xmin_age") is not None:
        return f"a snapshot: {left_behind(session['backend_xmin_age'])}"
    return "its locks, if it has any"


def _remedy(session: Row) -> str:
    role = session.get("usename")
    whose = f"ALTER ROLE {told(identifier(role), 200)} SET" if role else "ALTER SYSTEM SET"
    return (
        f"-- end {who(session)}\n{ending(session)}"
        "-- and so that the server ends such sessions by itself (it holds for new sessions):\n"
        f"-- {whose} idle_in_transaction_session_timeout = '10min';\n"
    )
