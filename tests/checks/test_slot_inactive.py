"""slot-inactive."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

SLOT = {"slot_name": "s", "slot_type": "physical", "active": False, "temporary": False, "wal_status": "reserved"}
HOUR, GB = 3600, 1e9


@pytest.mark.parametrize("major", [12, 18])
def test_a_slot_that_nobody_reads(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major)
    slots = doctor(server, "slot-inactive", warning_bytes=20e6)
    slots.healthy()
    server.sql("SELECT pg_create_physical_replication_slot('x', true), pg_create_physical_replication_slot('empty')")
    slots.healthy()
    for _ in range(2):
        server.sql("CREATE TABLE filler AS SELECT g FROM generate_series(1, 1000) g; DROP TABLE filler")
        server.sql("SELECT pg_switch_wal()")
    found = slots.sick()
    assert (found.id, found.severity) == ("slot-inactive:x", Severity.WARNING)
    assert found.evidence["retained_bytes"] >= 20e6
    paste(server, found.remedy)
    slots.healthy()


def judge(
    retained: float, *, cap: float | None = None, trend: tuple = (), at: float = 0.0, **slot: object
) -> list[Finding]:
    row = {**SLOT, "retained_bytes": retained, **slot}
    section = {"rows": [row], "total": {"max_slot_wal_keep_size_bytes": cap}, "more": 0}
    now = planted(at, slots=section)
    now.trends = {"slot-inactive:s": [(now.server_time - at + when, value) for when, value in trend]}
    return judged("slot-inactive", now)


def grade(*args: float, **more: object) -> Severity | None:
    found = judge(*args, **more)  # type: ignore[arg-type]
    return found[0].severity if found else None


def test_by_bytes() -> None:
    assert [grade(kept * GB) for kept in (0.99, 1, 4.9, 5)] == [None, *[Severity.WARNING] * 2, Severity.CRITICAL]
    assert [grade(kept * GB, cap=10 * GB) for kept in (8.4, 8.5)] == [Severity.WARNING, Severity.CRITICAL]
    assert [grade(kept * 1e6, cap=100e6) for kept in (84, 85)] == [None, Severity.CRITICAL]


def test_by_time() -> None:
    """By the server's word (17+), else by what is remembered of it, since it was last read from."""
    told = {"inactive_since": "2026-01-01T00:00:00+00:00"}
    assert [grade(1, at=at, **told) for at in (HOUR, HOUR + 1)] == [None, Severity.WARNING]
    assert grade(1, at=HOUR + 1) is None
    [found] = judge(30, at=2 * HOUR, trend=((0, 10), (HOUR, 20)))
    assert (found.severity, found.since) == (Severity.WARNING, planted(0).server_time)
    assert "for 2 h" in found.summary
    assert judge(30, at=2 * HOUR, trend=((0, 50), (HOUR + 60, 20))) == []  # it was read from
    assert len(judge(20, at=2 * HOUR, trend=((0, 20), (HOUR, 20)))) == 1  # nothing is written, and nobody reads
    assert judge(30, at=5 * HOUR, trend=((0, 10), (HOUR, 20))) == []  # so it was: nothing was remembered since


def test_days_left_until_it_is_lost() -> None:
    day = tuple((hour * HOUR, hour * GB) for hour in range(24))
    [found] = judge(24 * GB, cap=48 * GB, at=0, trend=tuple((when - 24 * HOUR, kept) for when, kept in day))
    assert found.days_left == pytest.approx(1)
    [found] = judge(24 * GB, at=0, trend=tuple((when - 24 * HOUR, kept) for when, kept in day))
    assert found.days_left is None
    [found] = judge(24 * GB, cap=48 * GB)
    assert found.days_left is None


@pytest.mark.parametrize(
    "slot",
    [
        {"active": True},
        {"temporary": True},
        {"synced": True},
        {"wal_status": "lost"},
        {"wal_status": "unreserved"},
        {"retained_bytes": None},
    ],
)
def test_what_is_not_told(slot: dict[str, object]) -> None:
    told = {"inactive_since": "2025-12-01T00:00:00+00:00"}
    assert judge(9 * GB, **told) != []
    assert judge(9 * GB, **told, **slot) == []


def test_a_server_without_slots() -> None:
    assert judged("slot-inactive", planted(slots=[])) == []
