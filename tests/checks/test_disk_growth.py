"""disk-growth."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Database

GB, HOUR = 1e9, 3600
DISK = {"mountpoint": "/data", "data": True, "wal": True, "inodes_used_percent": 3.0}
TREND = "disk-growth:"


@pytest.mark.pg("!= 13, != 14, != 15, != 16, != 17")
def test_the_disk_of_a_server_here(database: Database, doctor: Callable[..., Doctor]) -> None:
    never = {"warning_percent": 101, "critical_percent": 101, "warning_days": -1, "critical_days": -1}
    disks = doctor(database, "disk-growth", **never)
    disks.healthy()
    [trend] = disks.state.trends
    mountpoint = trend.removeprefix(TREND)
    assert str(database.server.data).startswith(mountpoint)
    for limit, severity in (("warning_percent", Severity.WARNING), ("critical_percent", Severity.CRITICAL)):
        disks.limits = {**never, "warning_percent": 1e-9, limit: 1e-9}
        found = {each.key: each for each in disks.look()}[mountpoint]
        assert (found.severity, found.evidence["data"]) == (severity, True)
    disks.limits = never
    disks.healthy()


def judge(used: float = 500 * GB, percent: float = 50.0, trend: tuple = (), **more: object) -> list[Finding]:
    """Of a disk of 1 TB; `trend`: hours ago, and what was used then."""
    room = {"total_bytes": 1000 * GB, "free_bytes": 1000 * GB - used, "available_bytes": 1000 * GB - used}
    disk = {**DISK, **room, "used_percent": percent, **more}
    now = planted(server={}, paths={}, host={"disks": [disk]})
    now.trends = {f"{TREND}/data": [(now.server_time - hours * HOUR, value) for hours, value in trend]}
    return judged("disk-growth", now)


def growing(day_bytes: float, until: float, hours: int = 48) -> tuple:
    return tuple((ago, until - ago * day_bytes / 24) for ago in range(hours, 0, -1))


def test_how_full() -> None:
    told = [judge(percent=percent) for percent in (89.9, 90, 97.9, 98)]
    assert [each[0].severity if each else None for each in told] == [
        None,
        Severity.WARNING,
        Severity.WARNING,
        Severity.CRITICAL,
    ]
    [found] = judge(inodes_used_percent=91)
    assert (found.key, found.severity) == ("/data:inodes", Severity.WARNING)
    assert judge(inodes_used_percent=None) == []


def test_how_soon() -> None:
    for day, severity in ((500 / 15, None), (500 / 13.9, Severity.WARNING), (500 / 2.9, Severity.CRITICAL)):
        found = judge(trend=growing(day * GB, 500 * GB))
        assert [each.severity for each in found] == ([severity] if severity else [])
    [found] = judge(trend=growing(50 * GB, 500 * GB))
    assert found.days_left == pytest.approx(10)
    assert "full in 10.0 days" in found.summary


def test_what_is_no_trend() -> None:
    assert judge(trend=growing(100 * GB, 500 * GB, hours=23)) == []
    assert judge(trend=growing(-100 * GB, 500 * GB)) == []
    for at in (40, 24, 10, 1):  # one bulk load of 300 GB, so many hours ago
        assert judge(trend=tuple((ago, (500 if ago < at else 200) * GB) for ago in range(48, 0, -1))) == []


def elsewhere(trend: tuple = (), **sections: object) -> list[Finding]:
    now = planted(server={}, paths={}, **sections)
    now.trends = {f"{TREND}databases": [(now.server_time - hours * HOUR, value) for hours, value in trend]}
    return judged("disk-growth", now)


def test_a_server_on_another_machine() -> None:
    sizes = [{"size_bytes": 60 * GB}, {"size_bytes": 40 * GB}]
    for host in ({}, {"host": {"server_seen": False, "disks": []}}, {"host": {"disks": None}}):
        assert elsewhere(database_sizes=sizes, **host) == []
        assert elsewhere(growing(0.9 * GB, 100 * GB), database_sizes=sizes, **host) == []
        [found] = elsewhere(growing(1.1 * GB, 100 * GB), database_sizes=sizes, **host)
        assert (found.key, found.severity) == ("databases", Severity.INFO)
    with pytest.raises(NotExamined):
        elsewhere()


def test_what_is_remembered() -> None:
    now = planted(server={}, paths={}, wal={"wal_files_bytes": 16}, database_sizes=[{"size_bytes": 5}])
    found = diagnose(now, Document({}, {}), names=["disk-growth"])
    assert {name: value for name, [(_, value)] in found.state.trends.items()} == {
        f"{TREND}databases": 5,
        f"{TREND}pg_wal": 16,
    }
