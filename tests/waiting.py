"""Waiting for a condition, never for a number of seconds."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str | Callable[[], str], timeout_s: float = 60) -> T:
    """The first true value of `condition`; AssertionError with `what` after `timeout_s`.

    It is asked every 20 ms, and one that takes long, as where it starts a program, a third of the time.
    """
    end = time.monotonic() + timeout_s
    while True:
        asked = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        assert now < end, f"after {timeout_s:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(min(max(0.02, 2 * (now - asked)), 1))
