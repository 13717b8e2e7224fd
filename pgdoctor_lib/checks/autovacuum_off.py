"""Autovacuum is turned off on the server."""

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, critical


@check(category="wraparound and vacuum", scope="server", reads=("autovacuum", "settings", "server"), primary=True)
def autovacuum_off(now: Document, before: Document) -> Said:
    """Autovacuum, or the counting that it needs, is off on the whole server (autovacuum, track_counts)."""
    for setting in ("autovacuum", "track_counts"):
        if now.total("autovacuum").get(setting) is False:
            yield critical(
                setting,
                f"{setting} is off on the whole server: dead rows stay, tables grow, the planner's statistics age; "
                "only what must be frozen against wraparound is still vacuumed",
                subject=setting,
                threshold=f"{setting} is on by default",
                evidence={setting: False},
                remedy=alter_system(now, {setting: "on"}),
                caution="autovacuum begins with what has piled up: some I/O for a while, at its own pace",
            )
