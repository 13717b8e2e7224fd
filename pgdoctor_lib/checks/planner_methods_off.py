"""Ways to execute queries that the planner may not choose."""

from pgdoctor_lib.checks.altering import undo
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, info


@check(category="settings", scope="server", reads=("settings", "server"))
def planner_methods_off(now: Document, before: Document) -> Said:
    """The planner may not use a method of scanning, joining or sorting (enable_… in pg_settings)."""
    for name, row in now.settings.items():
        if name.startswith("enable_") and (row.get("boot_val"), row.get("setting")) == ("on", "off"):
            yield info(
                name,
                f"{name} is off: every query must do without it, those that it would serve best, too",
                subject=name,
                threshold=f"{name} = off (PostgreSQL comes with on)",
                evidence={each: row.get(each) for each in ("setting", "source", "sourcefile", "sourceline")},
                remedy=undo(now, row, "on"),
                caution="plans change: see first which statement it was turned off for, and set it for that one alone",
            )
