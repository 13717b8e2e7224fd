"""What counters grew by."""

from typing import Any

import pytest

from pgdoctor_lib.checks.delta import grown

EARLIER, LATER = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


def rows(was: str | None, now: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A counter that grew, and when it was reset."""
    return {"deadlocks": 9, "stats_reset": now}, {"deadlocks": 5, "stats_reset": was}


@pytest.mark.parametrize("at", [None, EARLIER])
def test_growth(at: str | None) -> None:
    assert grown(*rows(at, at), ["deadlocks"]) == {"deadlocks": 4}
    assert grown({"deadlocks": 9}, {"deadlocks": None}, ["deadlocks"]) == {"deadlocks": 9}


@pytest.mark.parametrize(("was", "now"), [(EARLIER, LATER), (None, LATER), (EARLIER, None)])
def test_a_reset_in_between(was: str | None, now: str | None) -> None:
    """The first one is told by a time where there was none; a crash takes the time away."""
    assert grown(*rows(was, now), ["deadlocks"]) is None


def test_zeros_lose_nothing_by_a_reset() -> None:
    was = {"deadlocks": 0, "stats_reset": None}
    assert grown({"deadlocks": 9, "stats_reset": LATER}, was, ["deadlocks"]) == {"deadlocks": 9}


def test_a_counter_that_fell() -> None:
    assert grown({"deadlocks": 4}, {"deadlocks": 5}, ["deadlocks"]) is None
