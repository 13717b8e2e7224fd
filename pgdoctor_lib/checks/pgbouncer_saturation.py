"""PgBouncer lets in nearly as many clients as it may."""

from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.units import format_count


@check(category="connections", scope="server", reads=("pgbouncer",))
def pgbouncer_saturation(
    now: Document, before: Document, *, warning_percent: float = 80, critical_percent: float = 95
) -> Said:
    """PgBouncer's clients come to the most that it lets in (SHOW LISTS: used_clients, against max_client_conn)."""
    section = now.one("pgbouncer")
    used, most = (section.get("lists") or {}).get("used_clients"), (section.get("config") or {}).get("max_client_conn")
    if used is None or not most:
        raise NotExamined("PgBouncer does not tell its clients, or how many it lets in")
    percent = 100 * used / most
    if severity := severity_of(percent, warning_percent, critical_percent):
        yield graded(
            severity,
            "",
            f"{format_count(used)} clients are connected to PgBouncer, of {format_count(most)} that it lets in "
            f"({percent:.0f} %): the next ones are refused",
            subject="max_client_conn",
            threshold=f"{warning_percent:g} % of max_client_conn (critical: {critical_percent:g} %)",
            evidence={"used_clients": used, "max_client_conn": most, **(section.get("total") or {})},
            remedy="-- in PgBouncer's console, as one of admin_users\n"
            f"SET max_client_conn = {2 * int(most)};\n"
            "-- and in pgbouncer.ini, for its next start\n",
            caution="each client and each connection to a server takes a file: see that ulimit -n allows as many",
        )
