"""Sessions that end otherwise than by their client's good-bye."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.units import format_count, format_span

_KINDS = ("abandoned", "fatal", "killed")
_HOW = {
    "abandoned": "were lost: their clients went away without a word",
    "fatal": "were ended by an error",
    "killed": "were ended by somebody (pg_terminate_backend)",
}
_LOOK = {
    "abandoned": "-- look for clients that crash, exit without closing, or are killed; firewalls and load balancers\n"
    "-- that cut idle connections (tcp_keepalives_idle); timeouts of pools that are shorter than queries take\n",
    "fatal": "-- look for FATAL in the server's log: idle_in_transaction_session_timeout, idle_session_timeout and\n"
    "-- a broken protocol end sessions in this way\n",
    "killed": "-- look for jobs or tools that end sessions: scripts against idle ones, monitoring, fail-overs\n",
}
_LOG = "-- to see in the log who it was, how long each session was and from where (new sessions only):\n"


@check(category="connections", scope="database", reads=("database", "settings", "server"), compares=("database",))
def sessions_failed(
    now: Document,
    before: Document,
    *,
    warning_abandoned_percent: float = 7,
    warning_fatal_percent: float = 1,
    warning_killed_percent: float = 1,
    least_sessions_count: float = 100,
) -> Said:
    """Sessions are lost, fail or are killed (pg_stat_database.sessions_abandoned, _fatal, _killed; 14+)."""
    if now.one("database").get("sessions") is None:
        raise NotExamined("PostgreSQL 14 and later count how sessions end")
    change = delta.one(now, before, "database", ("sessions", *(f"sessions_{kind}" for kind in _KINDS)))
    sessions, was = change.by["sessions"], before.one("database")
    percents = (warning_abandoned_percent, warning_fatal_percent, warning_killed_percent)
    for kind, limit in zip(_KINDS, percents, strict=True):
        counter = f"sessions_{kind}"
        ended = change.by[counter]
        if sessions >= least_sessions_count and ended * 100 > sessions * limit:
            yield warning(
                kind,
                f"{format_count(ended)} of {format_count(sessions)} sessions within {format_span(change.seconds)} "
                f"({100 * ended / sessions:.0f} %) {_HOW[kind]}",
                subject=f"database {change.row.get('datname')}",
                threshold=f"more than {limit:g} % of {least_sessions_count:g} sessions or more",
                evidence={key: {"before": was.get(key), "now": change.row.get(key)} for key in ("sessions", counter)},
                remedy=_LOOK[kind] + _LOG + alter_system(now, {"log_disconnections": "on"}),
                caution="a line in the log for each session that ends",
            )
