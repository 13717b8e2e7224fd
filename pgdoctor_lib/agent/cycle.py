"""The spine: one database, once."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace

from pgdoctor_lib import __version__
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors import run as collectors
from pgdoctor_lib.config import Target
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.snapshot import Agent, Collected, Snapshot, new_id


def take(target: Target, timeout_s: float, clock: Clock) -> Snapshot:
    """Open, collect: what one database is like now. Raises `DatabaseError` or `DeadlineExceeded`."""
    wall, started = clock.wall(), clock.monotonic()
    with deadline(timeout_s, "the cycle"):
        collected = _collect(target)
    return Snapshot(
        snapshot_id=new_id(wall),
        collected_at=wall,
        duration_ms=(clock.monotonic() - started) * 1000,
        agent=Agent(__version__, socket.gethostname(), os.getpid()),
        name=target.name,
        tags=target.tags,
        interval_s=target.interval_s,
        collected=collected,
    )
