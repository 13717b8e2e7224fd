"""Waiting for a condition, never for a number of seconds."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str | Callable[[], str], timeout_s: float = 20) -> T:
    """The first true value of `condition`, asked every 20 ms; AssertionError with `what` after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"after {timeout_s:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.02)
    return value
