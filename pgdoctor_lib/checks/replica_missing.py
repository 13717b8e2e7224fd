"""A standby or a subscriber that streamed, and does not any more."""

import re
from collections.abc import Iterator, Sequence

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, Sample, check, critical, warning
from pgdoctor_lib.checks.replication_lag import senders
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import quote_literal
from pgdoctor_lib.units import counted, format_bytes

_TREND = "replica-missing:"
_MOST_TRENDS = 5
_ASKED = re.compile(r"\s*(?:FIRST|ANY)?\s*(\d+)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL)
_MAY_WAIT = ("on", "remote_write", "remote_apply")


@check(category="replication and WAL", scope="server", reads=("replication", "slots", "settings", "server"), times=3)
def replica_missing(now: Document, before: Document) -> Said:
    """A standby is gone: its slot is idle, or commits wait for it (pg_stat_replication, synchronous_standby_names)."""
    present = dict(senders(now))
    slots = {slot["slot_name"]: slot for slot in now.rows("slots")}
    kept = sorted(name for name in present if name in slots and not slots[name].get("temporary"))
    yield from (Sample(_TREND + name, 1) for name in kept[:_MOST_TRENDS])
    seen = sorted(trend[len(_TREND) :] for trend in now.trends if trend.startswith(_TREND))
    missing = [slots[name] for name in seen if name in slots and not slots[name].get("active")]
    waited_for = _waited_for(now, list(present.values()), missing)
    if waited_for:
        yield waited_for
    else:
        yield from _missing(missing)


def _missing(slots: Sequence[Row]) -> Iterator[Finding]:
    for slot in slots:
        name, retained = slot["slot_name"], slot.get("retained_bytes")
        kept = f": the server keeps {format_bytes(retained)} of WAL for it" if retained else ""
        yield warning(
            name,
            f"what streamed through replication slot {name} within the last three days is gone{kept}",
            subject=name,
            threshold="no sender in pg_stat_replication in 3 snapshots in a row, and its slot is idle",
            evidence={column: slot.get(column) for column in ("slot_type", "database", "retained_bytes", "wal_status")},
            remedy="-- start it again: its own log says why it does not stream; where it is gone for good:\n"
            f"SELECT pg_drop_replication_slot({quote_literal(name)});\n",
            caution="without its slot it must be built anew, should it come back",
        )


def _waited_for(now: Document, present: Sequence[Row], missing: Sequence[Row]) -> Finding | None:
    """Where fewer stream than synchronous_standby_names asks for: commits wait, and that is an outage."""
    names = now.setting("synchronous_standby_names") or ""
    if not names.strip() or now.in_recovery or now.setting("synchronous_commit") not in _MAY_WAIT:
        return None
    there = [each for each in present if each.get("sync_state") in ("sync", "quorum", "potential")]
    streaming = [str(each.get("application_name")) for each in there if each.get("state") == "streaming"]
    wanted, listed = _asked(names)
    if len(streaming) >= wanted:
        return None
    return critical(
        "synchronous",
        f"commits wait: synchronous_standby_names asks for {counted(wanted, 'standby')}, and {len(streaming)} stream",
        subject="synchronous_standby_names",
        threshold=f"synchronous_standby_names ({names}) against pg_stat_replication, in 3 snapshots in a row",
        evidence={
            "synchronous_standby_names": names,
            "streaming": streaming[:10],
            "missing": [each for each in listed if each not in (*streaming, "*")][:10],
            "idle_slots": [slot["slot_name"] for slot in missing][:10],
        },
        remedy="-- start the standby again; until it is there, commits need not wait for it:\n"
        + alter_system(now, {"synchronous_standby_names": ""}),
        caution="from then on a failover loses what no standby has; set the names again once it streams",
    )


def _asked(names: str) -> tuple[int, list[str]]:
    """How many standbys commits wait for, and of which: "2 (a, b, c)", "ANY 1 (*)", or "a, b"."""
    found = _ASKED.fullmatch(names)
    count, listed = (int(found[1]), found[2]) if found else (1, names)
    return count, [each.strip().strip('"') for each in listed.split(",")]
