"""Queries on a standby that replay cancels."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.units import counted, format_span

_WHY = {
    "confl_snapshot": "they read rows that VACUUM had removed on the primary",
    "confl_lock": "replay waited for a lock that they held (DDL, TRUNCATE or VACUUM's truncation on the primary)",
    "confl_bufferpin": "they had a page in use that replay must clean",
    "confl_deadlock": "they and replay waited for each other",
    "confl_tablespace": "their temporary files were in a tablespace that was dropped",
    "confl_active_logicalslot": "the primary removed what a logical slot here needs",
}


@check(
    category="replication and WAL",
    scope="server",
    reads=("conflicts", "wal_receiver", "server"),
    compares=("conflicts",),
)
def standby_conflicts(now: Document, before: Document, *, warning_count: float = 6) -> Said:
    """Replay cancels queries on this standby (pg_stat_database_conflicts)."""
    changes = delta.rows(now, before, "conflicts", ("datid",), ("conflicts", *_WHY))
    here = now.one("wal_receiver")
    for change in sorted(changes, key=lambda each: -each.by["conflicts"]):
        cancelled, name = change.in_an_hour("conflicts"), str(change.row.get("datname"))
        if cancelled < warning_count:
            continue
        why = max(_WHY, key=lambda kind: change.by[kind])
        yield warning(
            name,
            f"{counted(round(cancelled), 'query', 'queries')} of database {name} on this standby "
            f"were cancelled by replay within an hour, most since {_WHY[why]}",
            subject=name,
            threshold=f"{warning_count:g} in an hour (pg_stat_database_conflicts.conflicts)",
            evidence=_evidence(change, now),
            remedy=_remedy(now, why, bool(here.get("hot_standby_feedback")), here.get("max_standby_streaming_delay_s")),
            caution=_caution(why, bool(here.get("hot_standby_feedback"))),
        )


def _evidence(change: Change, now: Document) -> dict[str, object]:
    names = ("hot_standby_feedback", "max_standby_streaming_delay_s", "max_standby_archive_delay_s")
    settings = {name: now.one("wal_receiver").get(name) for name in names}
    return {**{name: count for name, count in change.by.items() if count}, "seconds": round(change.seconds), **settings}


def _remedy(now: Document, why: str, has_feedback: bool, delay_s: float | None) -> str:
    if why == "confl_snapshot" and not has_feedback:
        told = "-- tell the primary which rows queries here may still read\n"
        return told + alter_system(now, {"hot_standby_feedback": "on"})
    if delay_s is not None and delay_s < 0:
        return "-- replay waits for ever as it is: see what its log says of the cancelled queries\n"
    longer_s = max(300, round(2 * (delay_s or 0)))
    told = f"-- replay waits {format_span(delay_s or 0)} for a query now; let it wait longer\n"
    return told + alter_system(now, {"max_standby_streaming_delay": f"{longer_s}s"})


def _caution(why: str, has_feedback: bool) -> str:
    if why == "confl_snapshot" and not has_feedback:
        return "a long query here then keeps VACUUM on the primary from cleaning: tables there may bloat"
    return "the standby may fall behind by that much"
