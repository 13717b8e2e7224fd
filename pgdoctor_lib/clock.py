"""Time, passed in as a value: a monotonic clock for waiting, a wall clock for telling, one that all processes share."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True)
class Clock:
    """`monotonic`, `wall` and `elapsed` in seconds; `sleep` yields to the other greenlets (it is patched).

    `elapsed` never jumps, is the same for all processes, and (on Linux) goes on while the machine sleeps.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    elapsed: Callable[[], float] = lambda: time.clock_gettime(_ELAPSED)


SYSTEM = Clock()
