"""idle-connections."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Database
from tests.waiting import wait_for


def test_connections_that_nobody_uses(database: Database, doctor: Callable[..., Doctor]) -> None:
    connections = doctor(database, "idle-connections", least_idle_count=8)
    idle = [database.server.connect(database.name) for _ in range(8)]
    with idle[0].cursor() as cursor:
        cursor.execute("BEGIN")
        connections.healthy()  # seven
        cursor.execute("ROLLBACK")
    assert connections.look() == connections.look() == []  # twice is not yet
    found = connections.sick()
    assert (found.id, found.severity) == ("idle-connections", Severity.INFO)
    assert found.summary == "8 of 8 connections are idle, 0 of them for more than an hour"
    assert "tests 8 (0 active)" in found.remedy
    for each in idle:
        each.close()
    wait_for(lambda: len(database.server.backends("tests")) == 1, "they stay")
    connections.healthy()


def idle(hour_count: int, **by_state: int) -> list[Finding]:
    total: dict[str, Any] = {"by_state": by_state, "idle_hour_count": hour_count, "max_connections": 100}
    return judged("idle-connections", planted(activity={"rows": [], "total": total, "more": 0}))


def test_what_a_share_comes_to() -> None:
    assert idle(50, idle=89, active=11) == []
    [found] = idle(50, idle=90, active=10)
    assert found.severity is Severity.INFO
    [found] = idle(51, idle=51, active=40)
    assert (found.severity, found.summary) == (
        Severity.WARNING,
        "51 connections have been idle for more than an hour, of 100 that there may be",
    )
    assert "idle_session_timeout" in found.remedy
    assert idle(49, idle=49) == []  # what pools keep in reserve
    with pytest.raises(NotExamined):
        idle(0, disabled=60)
