"""clock-skew."""

import time
from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.clock import SYSTEM, Clock
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Database


@pytest.mark.parametrize(("shift_s", "words"), [(300, "behind"), (-300, "ahead of")])
def test_an_agent_whose_clock_is_wrong(
    database: Database,
    doctor: Callable[..., Doctor],
    monkeypatch: pytest.MonkeyPatch,
    shift_s: int,
    words: str,
) -> None:
    skew = doctor(database, "clock-skew")
    skew.healthy()
    clock = Clock(wall=lambda: time.time() + shift_s, monotonic=SYSTEM.monotonic)
    monkeypatch.setattr("tests.checks.conftest.SYSTEM", clock)
    found = skew.sick()
    assert (found.id, found.severity) == ("clock-skew", Severity.INFO)
    assert f" {words} the agent's" in found.summary
    monkeypatch.undo()
    skew.healthy()


def test_how_far_is_too_far() -> None:
    for time_of_day, count in (
        ("12:02:00+00:00", 1),
        ("12:01:59.9+00:00", 0),
        ("11:58:00+00:00", 1),
        ("11:58:00.1+00:00", 0),
    ):
        server = {"server_time": f"2026-01-01T{time_of_day}"}
        assert len(judged("clock-skew", planted(12 * 3600, server=server))) == count, time_of_day
    with pytest.raises(NotExamined, match="its time"):
        judged("clock-skew", planted(server={"server_time": None}))
