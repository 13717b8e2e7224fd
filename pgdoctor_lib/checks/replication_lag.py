"""Standbys and subscribers that are far behind."""

from collections.abc import Iterator

from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.units import format_bytes, format_span

_MIB = 1024**2
_STAGES = (
    ("sent_lag_bytes", None, "is not sent yet", "the network, or the sender's CPU, is too slow"),
    ("write_lag_bytes", "sent_lag_bytes", "is on its way", "the network, or the receiver, is too slow"),
    ("flush_lag_bytes", "write_lag_bytes", "is not on its disk yet", "its disk for pg_wal is too slow"),
    ("replay_lag_bytes", "flush_lag_bytes", "is there and not replayed", "replay is paused, waits or is too slow"),
)


@check(category="replication and WAL", scope="server", reads=("replication", "slots"), for_s=30)
def replication_lag(
    now: Document,
    before: Document,
    *,
    warning_bytes: float = 100 * _MIB,
    critical_bytes: float = 1024 * _MIB,
    warning_logical_bytes: float = 550 * _MIB,
    critical_logical_bytes: float = 2048 * _MIB,
) -> Said:
    """A standby or a subscriber is far behind (pg_stat_replication.replay_lsn, against pg_current_wal_lsn())."""
    logical = {slot["slot_name"] for slot in now.rows("slots") if slot.get("slot_type") == "logical"}
    for name, sender in senders(now):
        is_logical, behind = sender.get("slot_name") in logical, sender.get("replay_lag_bytes")
        limits = (warning_logical_bytes, critical_logical_bytes) if is_logical else (warning_bytes, critical_bytes)
        severity = severity_of(behind, *limits)
        if severity is None or behind is None:
            continue
        where, why = _stage(sender)
        time_s = sender.get("replay_lag_s")
        yield graded(
            severity,
            name,
            f"{name} is {format_bytes(behind)} behind{_in_time(time_s)}; most of it {where}",
            subject=name,
            threshold=f"replay_lsn behind by {format_bytes(limits[0])}, critical {format_bytes(limits[1])}, for 30 s",
            evidence={column: sender.get(column) for column in _EVIDENCE},
            remedy=_remedy(where, why, is_logical),
            caution="a failover to it now loses what it does not have, or waits until it is replayed",
            since=_since(now, f"replication-lag:{name}", time_s),
        )


_EVIDENCE = (
    "application_name",
    "client_addr",
    "slot_name",
    "state",
    "sync_state",
    "sent_lag_bytes",
    "write_lag_bytes",
    "flush_lag_bytes",
    "replay_lag_bytes",
    "replay_lag_s",
    "reply_age_s",
)


def senders(now: Document) -> Iterator[tuple[str, Row]]:
    """What streams from the server, by a name that stays: its slot's, else what it calls itself, and from where.

    Of several that have the same the one that is furthest behind. Raises `NotExamined` where the role sees no states.
    """
    rows = [row for row in now.one("replication").get("senders") or () if isinstance(row, dict)]
    if rows and all(row.get("state") is None for row in rows):
        raise NotExamined("who streams, this role may not see; GRANT pg_monitor TO it")
    seen = set()
    for row in rows:
        name = row.get("slot_name") or "@".join(filter(None, (row.get("application_name"), row.get("client_addr"))))
        if name and name not in seen and row.get("state") not in ("backup", "startup", "stopping"):
            seen.add(name)
            yield str(name), row


def _stage(sender: Row) -> tuple[str, str]:
    """Where most of the WAL that it does not have is, and what that comes of."""

    def held(stage: tuple[str, str | None, str, str]) -> float:
        ahead = sender.get(stage[1]) if stage[1] else 0
        return float(sender.get(stage[0]) or 0) - float(ahead or 0)

    _, _, where, why = max(_STAGES, key=held)
    return where, why


def _since(now: Document, finding: str, time_s: float | None) -> float | None:
    """By replay_lag where that is longer: it stands still while nothing is replayed."""
    return now.server_time - time_s if time_s and time_s > now.lasting_s(finding) else None


def _in_time(time_s: float | None) -> str:
    return f", {format_span(time_s)}" if time_s and time_s >= 1 else ""


def _remedy(where: str, why: str, is_logical: bool) -> str:
    lines = [f"-- most of the WAL {where}: {why}"]
    if is_logical:
        lines += ["-- on the subscriber: look at what its apply worker waits for, and at its log"]
    elif where.endswith("replayed"):
        lines += ["-- on the standby, in this order:"]
        lines += ["-- SELECT pg_is_wal_replay_paused();  if so: SELECT pg_wal_replay_resume();"]
        lines += ["-- long queries there hold replay up to max_standby_streaming_delay: end them, or lower it"]
        lines += ["-- recovery_min_apply_delay is a delay that somebody wanted"]
    return "\n".join(lines) + "\n"
