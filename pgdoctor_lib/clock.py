"""Time, passed in as a value: a monotonic clock for waiting, a wall clock for telling."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """`monotonic` and `wall` in seconds; `sleep` yields to the other greenlets (it is patched)."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


SYSTEM = Clock()
