"""The spine: one database, once. Open, collect, seal, keep; what is kept, the outbox delivers."""

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

from pgdoctor_lib import __version__
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import CycleLine
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config import Target
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.snapshot import Agent, Snapshot, new_id


def run(
    collect: Callable[[], Snapshot], place: AbstractContextManager[None], outbox: Outbox, line: CycleLine
) -> Parcel:
    """A cycle, once `place` at the server is free: what is to be delivered. What goes wrong is of the one family."""
    with place:
        line.begin()
        snapshot = collect()
    line.uploading(snapshot.collected.errors)
    return outbox.keep(snapshot.seal())


def take(
    target: Target,
    collecting: Collecting,
    timeout_s: float,
    clock: Clock,
    snapshot_id: str | None = None,
    dropped_snapshots: int = 0,
) -> Snapshot:
    """Open and collect: what the database is like now. Raises `DatabaseError` or `DeadlineExceeded`.

    `snapshot_id`: the slot's, where several daemons share the work.
    """
    wall, started = clock.wall(), clock.monotonic()
    with deadline(timeout_s, "the cycle"):
        collected = collecting.once(timeout_s)
    return Snapshot(
        snapshot_id=snapshot_id or new_id(wall),
        collected_at=wall,
        duration_ms=(clock.monotonic() - started) * 1000,
        agent=Agent(__version__, socket.gethostname(), os.getpid(), dropped_snapshots),
        name=target.name,
        tags=target.tags,
        interval_s=target.interval_s,
        collected=collected,
    )
