"""sessions-failed."""

import os
from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Database


@pytest.mark.pg(">= 14")
def test_clients_that_vanish_and_sessions_that_are_killed(database: Database, doctor: Callable[..., Doctor]) -> None:
    sessions = doctor(database, "sessions-failed", least_sessions_count=3)
    sessions.apart_s = 1
    sessions.healthy()
    sessions.apart_s = 0  # what comes bit by bit within a second is added up
    for _ in range(3):
        lost = database.server.connect(database.name)
        os.close(lost.fileno())  # as the kernel does when a process is killed
    found = sessions.sick()
    assert found.key == "abandoned"
    assert "sessions within" in found.summary
    sessions.apart_s = 1
    sessions.healthy()  # once it has passed
    sessions.apart_s = 0
    for _ in range(3):
        database.sql("SELECT pg_terminate_backend(%s)", [database.server.connect(database.name).info.backend_pid])
    assert sessions.sick().key == "killed"


@pytest.mark.pg("< 14")
def test_before_14_it_cannot_be_told(database: Database, doctor: Callable[..., Doctor]) -> None:
    sessions = doctor(database, "sessions-failed")
    assert sessions.look() == []
    assert "14" in sessions.not_examined


def ended(sessions: int, **counts: int) -> list[str]:
    zero = {"datname": "app", "sessions": 10, "sessions_abandoned": 1, "sessions_fatal": 1, "sessions_killed": 1}
    more = {"sessions": sessions, **{f"sessions_{kind}": count for kind, count in counts.items()}}
    row = {**zero, **{key: zero[key] + count for key, count in more.items()}}  # type: ignore[operator]
    return [each.key for each in judged("sessions-failed", planted(60, database=row), planted(database=zero))]


def test_what_a_share_comes_to() -> None:
    assert ended(100, abandoned=7, fatal=1, killed=1) == []
    assert ended(100, abandoned=8) == ["abandoned"]
    assert ended(100, fatal=2, killed=2) == ["fatal", "killed"]
    assert ended(99, abandoned=99, fatal=50) == []
    with pytest.raises(NotExamined):
        ended(-5)
