"""Connections that nobody uses."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info, warning
from pgdoctor_lib.checks.sessions import clients, told

_MOST = 5


@check(category="connections", scope="server", reads=("activity",), times=3, follows=("connection-saturation",))
def idle_connections(
    now: Document,
    before: Document,
    *,
    warning_hour_percent: float = 50,
    info_percent: float = 90,
    least_idle_count: float = 50,
) -> Said:
    """Most connections are idle (pg_stat_activity.state): pools are larger than they need be."""
    clients(now)  # can their states be seen?
    total = now.total("activity")
    states = total.get("by_state") or {}
    idle, count, most = states.get("idle") or 0, sum(states.values()), total.get("max_connections") or 0
    for_long = total.get("idle_hour_count") or 0
    told_of = {"subject": "connections", "evidence": _evidence(total), "remedy": _remedy(total, now)}
    if for_long > most * warning_hour_percent / 100:
        yield warning(
            "",
            f"{for_long} connections have been idle for more than an hour, of {most} that there may be",
            threshold=f"more than {warning_hour_percent:g} % of max_connections",
            **told_of,
        )
    elif idle >= least_idle_count and idle >= count * info_percent / 100:
        yield info(
            "",
            f"{idle} of {count} connections are idle, {for_long} of them for more than an hour",
            threshold=f"{info_percent:g} % of the client sessions, and {least_idle_count:g} or more",
            **told_of,
        )


def _evidence(total: Row) -> dict[str, object]:
    known = {key: total.get(key) for key in ("by_state", "idle_hour_count", "max_connections")}
    return {**known, "by_application": (total.get("by_application") or [])[:_MOST]}


def _remedy(total: Row, now: Document) -> str:
    rows = (total.get("by_application") or [])[:_MOST]
    who = ", ".join(
        f"{told(row.get('application_name')) or 'without a name'} {row.get('count')} ({row.get('active_count')} active)"
        for row in rows
    )
    words = f"-- whose they are, by application_name: {who}\n"
    words += "-- make those pools smaller, or put a connection pooler in between (PgBouncer, pool_mode = transaction)\n"
    if now.has("database") and now.major >= 14:
        words += "-- the server ends what is left over, pools aside: ALTER ROLE … SET idle_session_timeout = '4h';\n"
    return words
