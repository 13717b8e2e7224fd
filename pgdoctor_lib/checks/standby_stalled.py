"""A standby that does not replay, or that nothing streams to."""

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.units import format_bytes, format_span


@check(category="replication and WAL", scope="server", reads=("wal_receiver", "server"), for_s=300)
def standby_stalled(now: Document, before: Document, *, warning_s: float = 300, critical_s: float = 1800) -> Said:
    """This standby does not replay, or receives nothing (pg_stat_wal_receiver, pg_last_wal_replay_lsn())."""
    here = now.one("wal_receiver")
    if here.get("replay_lag_bytes"):
        late_s = (here.get("replay_lag_s") or 0) - (here.get("recovery_min_apply_delay_s") or 0)
        if here.get("is_wal_replay_paused"):  # whatever the time is: then it only gets later
            late_s = max(late_s, warning_s, now.lasting_s("standby-stalled:replay"))
        severity = severity_of(late_s, warning_s, critical_s)
        if severity:
            yield _late(now, here, severity, warning_s, critical_s)
    if here.get("pid") is None and here.get("has_primary_conninfo"):
        alone_s = now.lasting_s("standby-stalled:receiver")
        yield graded(
            Severity.CRITICAL if alone_s >= critical_s else Severity.WARNING,
            "receiver",
            f"nothing streams to this standby{f' for {format_span(alone_s)}' if alone_s >= 1 else ''}: "
            f"what its primary writes is not here",
            subject="WAL receiver",
            threshold=f"no row in pg_stat_wal_receiver for 5 min, critical after {format_span(critical_s)}",
            evidence=_evidence(here),
            remedy="-- this standby's log says why: the primary is gone or not reached, primary_conninfo or its\n"
            "-- password is wrong, its slot is in use or gone, or the WAL that it needs was removed\n"
            "-- (then it must be built anew)\n",
            caution="a failover to it now loses what it has not received",
        )


def _late(now: Document, here: Row, severity: Severity, warning_s: float, critical_s: float) -> Finding:
    """What was received is not replayed."""
    paused, time_s = here.get("is_wal_replay_paused"), here.get("replay_lag_s")
    last = f"; the last replayed transaction is {format_span(time_s)} old" if time_s is not None else ""
    return graded(
        severity,
        "replay",
        f"{'replay is paused on' if paused else 'replay does not keep up on'} this standby: "
        f"{format_bytes(here['replay_lag_bytes'])} of WAL are here and not replayed{last}",
        subject="replay",
        threshold=f"the last replayed transaction is {format_span(warning_s)} old, critical {format_span(critical_s)}, "
        "beyond recovery_min_apply_delay; or replay is paused; for 5 min",
        evidence=_evidence(here),
        remedy=_resume() if paused else _unblock(now, here),
        caution="" if paused else "queries that replay waits for are cancelled then",
    )


def _resume() -> str:
    return (
        "-- somebody called pg_wal_replay_pause(), or recovery reached its target: if nobody needs that any more\n"
        + ("SELECT pg_wal_replay_resume();\n")
    )


def _unblock(now: Document, here: Row) -> str:
    wait_s = here.get("max_standby_streaming_delay_s")
    lines = ["-- what holds replay: a long query here (end it), or disks that are too slow for the primary's writes"]
    if wait_s is not None and (wait_s < 0 or wait_s > 30):
        told = "for ever" if wait_s < 0 else f"for {format_span(wait_s)}"
        lines += [f"-- replay waits {told} for queries; to have it wait no longer than PostgreSQL comes with:"]
        lines += [alter_system(now, {"max_standby_streaming_delay": "30s"}).rstrip()]
    lines += ["SELECT pid, usename, state, xact_start, left(query, 100) AS query FROM pg_stat_activity"]
    lines += ["WHERE backend_xmin IS NOT NULL AND backend_type = 'client backend' ORDER BY xact_start LIMIT 5;"]
    return "\n".join(lines) + "\n"


def _evidence(here: Row) -> dict[str, object]:
    names = ("status", "sender_host", "sender_port", "slot_name", "receive_lsn", "replay_lsn", "replay_lag_bytes")
    more = ("replay_lag_s", "last_xact_replay_timestamp", "is_wal_replay_paused", "replay_pause_state")
    return {name: here.get(name) for name in (*names, *more, "recovery_min_apply_delay_s", "last_msg_age_s")}
