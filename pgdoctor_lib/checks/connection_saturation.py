"""Connections that run out: of the server, of a database, of a role."""

from collections.abc import Iterable, Iterator

from pgdoctor_lib.checks.delta import DAY_S, days_left
from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, Sample, check, graded, severity_of, warning
from pgdoctor_lib.checks.sessions import told
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier

_TREND = "connections"
_LEAST_S = 2 * DAY_S  # shorter, the slope is that of a day's hours
_MOST = 5


@check(category="connections", scope="server", reads=("activity",))
def connection_saturation(
    now: Document,
    before: Document,
    *,
    warning_percent: float = 80,
    critical_percent: float = 95,
    least_limit_count: float = 10,
) -> Said:
    """Connections are used up: max_connections, or a limit of a database or role (pg_stat_activity)."""
    if "activity" in now.errors:  # then background processes cannot be told from clients
        raise NotExamined(now.errors["activity"])
    total = now.total("activity")
    used, free_for_all = total.get("client_backends") or 0, _available(total)
    yield Sample(_TREND, used)
    percent = 100 * used / max(1, free_for_all)
    if severity := severity_of(percent, warning_percent, critical_percent):
        yield graded(
            severity,
            "",
            f"{used} of {free_for_all} connections that ordinary roles can have are taken ({percent:.0f} %)",
            subject="connections",
            threshold=f"{warning_percent:g} % (critical: {critical_percent:g} %) of max_connections"
            f" ({total.get('max_connections')}) less those reserved",
            evidence=_evidence(total, free_for_all),
            remedy=_remedy(total),
            days_left=days_left([*now.trends.get(_TREND, ()), (now.server_time, used)], free_for_all, least_s=_LEAST_S),
        )
    yield from _limited(total, warning_percent, least_limit_count)


def _available(total: Row) -> int:
    reserved = (total.get("superuser_reserved_connections") or 0) + (total.get("reserved_connections") or 0)
    return int((total.get("max_connections") or 0) - reserved)


def _limited(total: Row, warning_percent: float, least_count: float) -> Iterator[Finding]:
    """Databases and roles near a limit of their own."""
    for kind, rows, name_key, limit_key in (
        ("database", total.get("by_database"), "datname", "datconnlimit"),
        ("role", total.get("by_user"), "usename", "rolconnlimit"),
    ):
        for row in rows or ():
            name, limit, used = row.get(name_key), row.get(limit_key) or -1, row.get("count") or 0
            if name and limit >= least_count and used >= limit * warning_percent / 100:
                more = int(limit + max(10, limit // 2))
                yield warning(
                    f"{kind} {name}",
                    f"{kind} {told(name)} has {used} of the {limit} connections that it may have",
                    subject=f"{kind} {told(name)}",
                    threshold=f"{warning_percent:g} % of its CONNECTION LIMIT ({limit_key})",
                    evidence={**row, "max_connections": total.get("max_connections")},
                    remedy=f"-- see first who has them, and whether a pool is larger than it need be\n"
                    f"ALTER {kind.upper()} {identifier(name)} CONNECTION LIMIT {more};\n",
                    caution="it may then take more of the connections that all share",
                )


def _evidence(total: Row, available: int) -> dict[str, object]:
    known = ("client_backends", "max_connections", "superuser_reserved_connections", "reserved_connections", "by_state")
    told_of = {key: total.get(key) for key in known}
    return {**told_of, "available": available, "by_application": list(_largest(total.get("by_application")))}


def _largest(rows: Iterable[Row] | None) -> Iterator[Row]:
    return (row for row, _ in zip(rows or (), range(_MOST), strict=False))


def _remedy(total: Row) -> str:
    who = (
        f"{told(row.get('application_name')) or 'without a name'} {row.get('count')} ({row.get('active_count')} active)"
        for row in _largest(total.get("by_application"))
    )
    return (
        f"-- whose they are, by application_name: {', '.join(who)}\n"
        "-- make the pools smaller, or put a connection pooler in between (PgBouncer, pool_mode = transaction);\n"
        "-- end what is idle: see idle-connections and idle-in-transaction.\n"
        "-- More of them cost memory, and a restart: ALTER SYSTEM SET max_connections = …;\n"
    )
