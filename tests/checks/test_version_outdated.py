"""version-outdated."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.checks.version_outdated import MAJORS, TABLE_OF
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.fetch import MAJORS as TESTED
from tests.postgres.server import Database


@pytest.mark.pg("== 12")
def test_a_major_at_its_end(database: Database, doctor: Callable[..., Doctor]) -> None:
    version = doctor(database, "version-outdated")
    found = version.sick()
    assert (found.id, found.severity) == ("version-outdated", Severity.CRITICAL)
    assert "2024-11-21" in found.summary
    version.limits = {"critical_days": 1e6}
    assert version.sick().severity is Severity.WARNING


@pytest.mark.pg(">= 18")
def test_a_major_that_lives(database: Database, doctor: Callable[..., Doctor]) -> None:
    version = doctor(database, "version-outdated", warning_count=100)
    assert version.look() == []
    version.limits = {"warning_count": 0}
    assert [found.key for found in version.look()] == ["minor"] or "more than a year old" in version.not_examined


def judge(version: int, day: str = TABLE_OF, service: str | None = None) -> list[Finding]:
    server = {"server_version_num": version, "server_time": f"{day}T12:00:00+00:00", "provider": service}
    return judged("version-outdated", planted(server=server))


def test_each_major_has_its_row() -> None:
    assert set(TESTED) <= set(MAJORS)
    for major, known in MAJORS.items():
        ends = date.fromisoformat(known.ends)
        assert ends.month == 11
        assert ends.year == major + 2012
        assert known.newest not in known.never


def test_its_life_ends() -> None:
    day, newest = date.fromisoformat(MAJORS[15].ends), 150000 + MAJORS[15].newest
    for before, severity in ((0, Severity.CRITICAL), (1, Severity.INFO), (179, Severity.INFO)):
        [found] = judge(newest, str(day - timedelta(days=before)))
        assert (found.key, found.severity) == ("", severity)
    assert judge(newest, str(day - timedelta(days=181))) == []
    [found] = judge(newest, "2027-11-01")
    assert found.days_left == pytest.approx(9.5)
    [found] = judge(newest, "2030-01-01")  # for life's ends no table is too old
    assert found.severity is Severity.CRITICAL


def test_minors() -> None:
    newest = MAJORS[17].newest
    assert judge(170000 + newest) == []
    assert judge(170000 + newest - 1) == []
    [found] = judge(170000 + newest - 2)
    assert (found.key, found.severity) == ("minor", Severity.WARNING)
    assert judge(170000 + newest + 3) == []  # newer than the table


def test_a_release_that_never_was() -> None:
    assert judge(180004) == []
    assert len(judge(180003)) == 1


def test_a_managed_service() -> None:
    assert judge(170001, service="rds") == []
    [found] = judge(120001, service="rds")
    assert found.severity is Severity.WARNING


def test_a_table_that_is_too_old() -> None:
    old = str(date.fromisoformat(TABLE_OF) + timedelta(days=367))
    for version, day in ((180001, old), (990000, TABLE_OF)):
        with pytest.raises(NotExamined):
            judge(version, day)
