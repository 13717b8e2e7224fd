"""Clients of PgBouncer that wait for a connection to the server."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.units import counted, format_span

_EVIDENCE = ("cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "sv_login", "pool_mode")


@check(category="connections", scope="server", reads=("pgbouncer",))
def pgbouncer_waiting(now: Document, before: Document, *, warning_s: float = 5, critical_s: float = 60) -> Said:
    """Clients of PgBouncer wait for a connection to the server (SHOW POOLS: maxwait)."""
    known = {str(row.get("name")): row for row in now.one("pgbouncer").get("databases") or ()}
    for pool in now.one("pgbouncer").get("pools") or ():
        waited = (pool.get("maxwait") or 0) + (pool.get("maxwait_us") or 0) / 1e6
        severity = severity_of(waited, warning_s, critical_s)
        if not severity or not pool.get("cl_waiting"):
            continue
        name, database = f"{pool.get('database')}/{pool.get('user')}", known.get(str(pool.get("database")), {})
        yield graded(
            severity,
            name,
            f"{counted(pool['cl_waiting'], 'client')} of PgBouncer's pool {name} wait{_s(pool)} for a connection to "
            f"the server, the first of them for {format_span(waited)}; {_why(pool, database)}",
            subject=name,
            threshold=f"{format_span(warning_s)} (critical: {format_span(critical_s)})",
            evidence={
                "maxwait_s": round(waited, 3),
                **{each: pool.get(each) for each in _EVIDENCE},
                **{each: database.get(each) for each in ("pool_size", "reserve_pool", "paused", "disabled")},
            },
            remedy=_remedy(pool, database),
            caution="more connections at work at once: on the server each takes memory, and processors are shared",
            since=now.server_time - waited,
        )


def _s(pool: Row) -> str:
    return "s" if pool["cl_waiting"] == 1 else ""


def _why(pool: Row, database: Row) -> str:
    size = database.get("pool_size")
    if database.get("paused"):
        return "the database is paused"
    if pool.get("sv_active") and size and pool["sv_active"] >= size:
        return f"all of its connections ({size}) are at work"
    return "no connection to the server is free, and none can be made"


def _remedy(pool: Row, database: Row) -> str:
    admin = "-- in PgBouncer's console, as one of admin_users\n"
    if database.get("paused"):
        return f"{admin}RESUME;\n"
    size = database.get("pool_size")
    if not size or (pool.get("sv_active") or 0) < size:
        return "-- see PgBouncer's log: the server refuses (its limits, a password), or does not answer\n"
    return (
        "-- on the server, what they are at: a transaction that stands open keeps its connection (pg_stat_activity)\n"
        f"{admin}SET default_pool_size = {2 * int(size)};\n"
        "-- and in pgbouncer.ini, for its next start; a pool_size of the database itself wins over it\n"
    )
