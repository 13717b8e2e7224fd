"""Disks that are full, or will be soon at the rate at which they fill."""

from collections.abc import Iterator, Sequence

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, NotExamined, Point, Row
from pgdoctor_lib.checks.registry import Said, Sample, check, graded, info, severity_of
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.units import format_bytes

_MOST_DISKS = 3
_TREND = "disk-growth:"
_READ = ("server", "paths", "host", "database_sizes", "wal")


@check(category="maintenance", scope="server", reads=_READ, follows=("slot-inactive", "archive-failing"))
def disk_growth(
    now: Document,
    before: Document,
    *,
    warning_percent: float = 90,
    critical_percent: float = 98,
    warning_days: float = 14,
    critical_days: float = 3,
    least_day_bytes: float = 1e9,
) -> Said:
    """A disk of the server is full, or soon will be (statvfs of its folders; pg_database_size(), pg_ls_waldir())."""
    sizes, disks = _sizes(now), _disks(now)
    percents, days = (warning_percent, critical_percent), (warning_days, critical_days)
    for disk in disks[:_MOST_DISKS]:
        used = float(disk["total_bytes"] - disk["free_bytes"])
        yield Sample(_TREND + disk["mountpoint"], used)
        left = delta.days_left(_points(now, disk["mountpoint"], used), used + disk["available_bytes"])
        soon = None if left is None else severity_of(-left, -warning_days, -critical_days)
        severity = max(severity_of(disk.get("used_percent"), *percents) or 0, soon or 0)
        if severity:
            yield _filling(disk, Severity(severity), left, percents, days, sizes)
        inodes = severity_of(disk.get("inodes_used_percent"), *percents)
        if inodes:
            yield _without_inodes(disk, inodes, percents)
    if not disks:
        if not sizes:
            raise NotExamined("the room on the server's disks is not known, nor what it takes: SQL does not tell it")
        for name, size in sizes.items():
            yield Sample(_TREND + name, size)
            yield from _growing(now, name, size, least_day_bytes)


def _disks(now: Document) -> list[Row]:
    """Those of the server that the agent sees: on its own machine alone."""
    found = (now.one("host") if now.has("host") else {}).get("disks") or ()
    needed = ("mountpoint", "total_bytes", "free_bytes", "available_bytes")
    return [disk for disk in found if isinstance(disk, dict) and all(disk.get(name) is not None for name in needed)]


def _sizes(now: Document) -> dict[str, float]:
    """What the server takes, by kind."""
    found = {}
    if now.has("database_sizes"):
        found["databases"] = float(sum(row.get("size_bytes") or 0 for row in now.rows("database_sizes")))
    if now.has("wal") and now.one("wal").get("wal_files_bytes") is not None:
        found["pg_wal"] = float(now.one("wal")["wal_files_bytes"])
    return found


def _points(now: Document, name: str, value: float) -> Sequence[Point]:
    return [*now.trends.get(_TREND + name, ()), (now.server_time, value)]


def _filling(
    disk: Row,
    severity: Severity,
    left: float | None,
    percents: tuple[float, float],
    days: tuple[float, float],
    sizes: dict[str, float],
) -> Finding:
    soon = f", and full in {left:.1f} days if that goes on" if left is not None and left <= days[0] else ""
    holds = [word for key, word in (("data", "the data directory"), ("wal", "pg_wal")) if disk.get(key)]
    what = f" with {' and '.join(holds)}" if holds else ""
    return graded(
        severity,
        disk["mountpoint"],
        f"disk {disk['mountpoint']}{what} is {disk.get('used_percent')} % full: "
        f"{format_bytes(disk['available_bytes'])} are left{soon}",
        subject=disk["mountpoint"],
        threshold=f"{percents[0]:g} %, critical {percents[1]:g} %; or {days[0]:g} and {days[1]:g} days left",
        evidence={**_evidence(disk), **{f"{name}_bytes": size for name, size in sizes.items()}},
        remedy=_REMEDY,
        caution="a full disk of pg_wal stops the server; delete nothing in its folders by hand",
        days_left=left,
    )


def _without_inodes(disk: Row, severity: Severity, percents: tuple[float, float]) -> Finding:
    return graded(
        severity,
        f"{disk['mountpoint']}:inodes",
        f"disk {disk['mountpoint']} has no room for many more files: {disk['inodes_used_percent']} % of its inodes "
        "are in use",
        subject=disk["mountpoint"],
        threshold=f"{percents[0]:g} % of the inodes, critical {percents[1]:g} %",
        evidence=_evidence(disk),
        remedy="-- see which folder holds so many small files: du --inodes -x -d 2 on that disk\n",
    )


def _evidence(disk: Row) -> dict[str, object]:
    return {name: value[:10] if isinstance(value, list) else value for name, value in disk.items()}


def _growing(now: Document, name: str, size: float, least: float) -> Iterator[Finding]:
    """What is known of a server on another machine: no more than that it grows."""
    slope = delta.growth(_points(now, name, size))
    if slope is not None and slope >= least:
        yield info(
            name,
            f"{name} of this server {'grows' if name == 'pg_wal' else 'grow'} by {format_bytes(slope)} a day, "
            f"and {'takes' if name == 'pg_wal' else 'take'} {format_bytes(size)}; the room that is left is not known",
            subject=name,
            threshold=f"{format_bytes(least)} a day, over a day at least",
            evidence={"size_bytes": size, "day_bytes": round(slope)},
            remedy=_REMEDY,
        )


_REMEDY = """-- what takes the room: databases, then the largest tables of one with their indexes
SELECT datname, pg_size_pretty(pg_database_size(oid)) FROM pg_database ORDER BY pg_database_size(oid) DESC LIMIT 5;
SELECT oid::regclass, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relkind IN ('r', 'm')
ORDER BY pg_total_relation_size(oid) DESC LIMIT 10;
-- pg_wal grows for an idle slot, or for an archive that fails; pgsql_tmp for queries that sort on disk
-- then delete or archive old rows (drop old partitions), or give the disk more room
"""
