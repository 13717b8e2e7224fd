"""Settings with which a crash, or a damaged page, costs data."""

from collections.abc import Mapping
from dataclasses import dataclass

from pgdoctor_lib.checks.altering import provider, undo
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Severity


@dataclass(frozen=True)
class Fault:
    """What a setting must not be, and what comes of it."""

    bad: str
    good: str
    severity: Severity
    costs: str


_FAULTS: Mapping[str, Fault] = {
    "fsync": Fault("off", "on", Severity.CRITICAL, "a crash of the machine may leave the whole cluster corrupt"),
    "full_page_writes": Fault(
        "off", "on", Severity.CRITICAL, "a page that is half written when the machine crashes stays corrupt"
    ),
    "zero_damaged_pages": Fault(
        "on", "off", Severity.CRITICAL, "a damaged page is emptied when it is read, and its rows are gone for good"
    ),
    "ignore_checksum_failure": Fault(
        "on", "off", Severity.CRITICAL, "damaged pages are read as if they were sound, and the damage spreads"
    ),
    "synchronous_commit": Fault(
        "off", "on", Severity.INFO, "a crash loses the last commits that were confirmed, at most 3 × wal_writer_delay"
    ),
}
_SERVICE_SETS = ("fsync", "full_page_writes")
_SYNC = "-- then once, in a shell on that machine, for what was written before: sync\n"


@check(category="settings", scope="server", reads=("settings", "server"))
def durability_off(now: Document, before: Document) -> Said:
    """A setting gives up durability (fsync, full_page_writes, zero_damaged_pages, … in pg_settings)."""
    by_service = _SERVICE_SETS if provider(now) else ()
    for name, fault in _FAULTS.items():
        row = now.settings.get(name)
        if row is None or row.get("setting") != fault.bad or name in by_service:
            continue
        yield graded(
            fault.severity,
            name,
            f"{name} is {fault.bad}: {fault.costs}",
            subject=name,
            threshold=f"{name} = {fault.bad} (PostgreSQL comes with {fault.good})",
            evidence={each: row.get(each) for each in ("setting", "source", "sourcefile", "sourceline", "context")},
            remedy=undo(now, row, fault.good) + (_SYNC if name == "fsync" else ""),
            caution="writes take longer: each waits for the disk" if fault.good == "on" else "",
        )
