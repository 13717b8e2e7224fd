"""A replication slot that has lost WAL which its consumer still needs."""

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, critical
from pgdoctor_lib.quoting import quote_literal


@check(category="replication and WAL", scope="server", reads=("slots", "server"))
def slot_lost(now: Document, before: Document) -> Said:
    """A replication slot's WAL is gone, or goes with the next checkpoint (pg_replication_slots.wal_status, 13+)."""
    for slot in now.rows("slots"):
        status, name = slot.get("wal_status"), slot["slot_name"]
        reason = slot.get("invalidation_reason")
        if status == "lost" or slot.get("conflicting"):
            why = f" ({reason})" if reason else ""
            yield critical(
                name,
                f"replication slot {name} has lost WAL that its consumer still needs{why}: the consumer cannot go on",
                subject=name,
                threshold="pg_replication_slots.wal_status is lost",
                evidence=_evidence(slot),
                remedy=f"SELECT pg_drop_replication_slot({quote_literal(name)});\n"
                "-- then build its standby or subscriber anew, from a new base backup or copy",
                caution="what read from the slot must be built anew: it could not have gone on in any case",
            )
        elif status == "unreserved":
            yield critical(
                name,
                f"replication slot {name} loses WAL that its consumer still needs at the next checkpoint",
                subject=name,
                threshold="pg_replication_slots.wal_status is unreserved: over max_slot_wal_keep_size",
                evidence=_evidence(slot),
                remedy="-- let it keep more, until its consumer has caught up (MB; −1: any amount)\n"
                + alter_system(now, {"max_slot_wal_keep_size": "-1"}),
                caution="pg_wal grows until the consumer has read it: watch the room on its disk",
            )


def _evidence(slot: Row) -> dict[str, object]:
    names = ("slot_type", "plugin", "database", "active", "wal_status", "invalidation_reason", "retained_bytes")
    return {name: slot.get(name) for name in names}
