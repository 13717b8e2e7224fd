"""What a receiver counts of its own since it started, and what its process takes. It is asked for by /metrics."""

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

OUTCOMES = ("stored", "duplicate", "refused", "failed")
WORKS = ("roll_up", "prune")


@dataclass(frozen=True)
class Tally:
    """`requests` by status; `snapshots` by outcome, of `OUTCOMES`; `upkeep`: when each of `WORKS` last succeeded."""

    requests: Counter[int] = field(default_factory=Counter)
    snapshots: Counter[str] = field(default_factory=Counter)
    upkeep: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WORKS, 0.0))
    started_at: float = field(default_factory=time.time)


def cpu_seconds() -> float:
    """Of this process, all its threads."""
    return time.process_time()


def resident_bytes() -> int | None:
    """Memory that this process holds; None where the system does not tell it that way."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm", encoding="ascii") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None
