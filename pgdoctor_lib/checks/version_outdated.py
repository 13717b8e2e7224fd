"""A server whose version gets no more fixes, or that lacks some which are there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from pgdoctor_lib.checks.altering import provider
from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, NotExamined, epoch
from pgdoctor_lib.checks.registry import Said, check, graded, info, warning
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.units import counted


@dataclass(frozen=True)
class Major:
    """`ends`: the day of its last release; `newest`: its newest minor; `never`: minors that were not released."""

    ends: str
    newest: int
    never: tuple[int, ...] = ()


TABLE_OF = "2026-08-13"
"""When `MAJORS` was written, after postgresql.org/support/versioning and the release notes."""
MAJORS: Mapping[int, Major] = {
    12: Major("2024-11-21", 22),
    13: Major("2025-11-13", 23),
    14: Major("2026-11-12", 24),
    15: Major("2027-11-11", 19),
    16: Major("2028-11-09", 15),
    17: Major("2029-11-08", 11),
    18: Major("2030-11-14", 6, never=(5,)),
}
_OLD_S = 366 * DAY_S
_SOON_DAYS = 180


@check(category="maintenance", scope="server", reads=("server",))
def version_outdated(now: Document, before: Document, *, critical_days: float = 0, warning_count: float = 2) -> Said:
    """This PostgreSQL gets no more fixes, or lacks some that are there (server_version_num, a table of releases)."""
    major, minor = divmod(int(now.one("server")["server_version_num"]), 10000)
    known, moment = MAJORS.get(major), _clock(now)
    if known is None:
        raise NotExamined(f"PostgreSQL {major} is not in PGDoctor's table of releases, of {TABLE_OF}")
    ended_days = (moment - _epoch(known.ends)) / DAY_S
    if ended_days >= 0:
        yield _ended(now, f"{major}.{minor}", known, ended_days, critical_days)
        return
    is_ending = ended_days >= -_SOON_DAYS
    if is_ending:
        yield _ending(f"{major}.{minor}", known, -ended_days)
    if moment - _epoch(TABLE_OF) <= _OLD_S:
        yield from () if provider(now) else _behind(major, minor, known, warning_count)
    elif not is_ending:
        raise NotExamined(f"PGDoctor's table of releases, of {TABLE_OF}, is more than a year old; update PGDoctor")


def _ended(now: Document, version: str, known: Major, days: float, critical_days: float) -> Finding:
    service = provider(now)
    return graded(
        Severity.CRITICAL if days >= critical_days and not service else Severity.WARNING,
        "",
        f"PostgreSQL {version} has had no fixes since {known.ends}, when its major version's life ended",
        subject=version,
        threshold=f"end of life {known.ends} (postgresql.org/support/versioning)",
        evidence={"version": version, "end_of_life": known.ends, "provider": service, "table_of": TABLE_OF},
        remedy=_UPGRADE,
        caution="needs a window: pg_upgrade --link takes minutes, and there is no way back but the backup",
        since=_epoch(known.ends),
    )


def _ending(version: str, known: Major, days: float) -> Finding:
    return info(
        "",
        f"PostgreSQL {version} gets no more fixes from {known.ends} on",
        subject=version,
        threshold=f"end of life {known.ends}, within {_SOON_DAYS} days (postgresql.org/support/versioning)",
        evidence={"version": version, "end_of_life": known.ends, "table_of": TABLE_OF},
        remedy=_UPGRADE,
        days_left=days,
    )


def _behind(major: int, minor: int, known: Major, count: float) -> Iterator[Finding]:
    """By how many releases; of a managed service nobody asks: it has its own calendar."""
    missed = [each for each in range(minor + 1, known.newest + 1) if each not in known.never]
    if len(missed) >= count:
        yield warning(
            "minor",
            f"PostgreSQL {major}.{minor} lacks the fixes of {counted(len(missed), 'later release')}: "
            f"{major}.{known.newest} is there",
            subject=f"{major}.{minor}",
            threshold=f"{count:g} releases of the same major behind, by PGDoctor's table of {TABLE_OF}",
            evidence={"version": f"{major}.{minor}", "newest": f"{major}.{known.newest}", "table_of": TABLE_OF},
            remedy=f"-- read the release notes from {major}.{missed[0]} on (some ask for a REINDEX), install the\n"
            f"-- packages of {major}.{known.newest}, then restart the server; standbys first\n",
            caution="a restart ends all sessions; the data stays as it is",
        )


_UPGRADE = f"""-- upgrade to a major that is supported; the newest that PGDoctor knows of is {max(MAJORS)}:
-- rehearse with pg_upgrade --check on a copy, see that each extension exists for the new major,
-- take a backup, upgrade, and run ANALYZE (vacuumdb --all --analyze-in-stages)
"""


def _clock(now: Document) -> float:
    return epoch(now.one("server").get("server_time")) or now.server_time


def _epoch(day: str) -> float:
    return (date.fromisoformat(day) - date(1970, 1, 1)).total_seconds()
