"""The spine: one database, once. Open, collect, seal, keep; what is kept, the outbox delivers."""

import os
import socket
from contextlib import AbstractContextManager

from pgdoctor_lib import __version__
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import CycleLine
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.run import collect
from pgdoctor_lib.config import Target
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.snapshot import Agent, Snapshot, new_id


def run(
    target: Target,
    place: AbstractContextManager[None],
    timeout_s: float,
    clock: Clock,
    outbox: Outbox,
    line: CycleLine,
    snapshot_id: str | None = None,
) -> Parcel:
    """A cycle, once `place` at the server is free: what is to be delivered. What goes wrong is of the one family.

    `snapshot_id`: the slot's, where several daemons share the work.
    """
    with place:
        line.begin()
        snapshot = take(target, timeout_s, clock, snapshot_id, outbox.dropped)
    line.uploading(snapshot.collected.errors)
    return outbox.keep(snapshot.seal())


def take(
    target: Target, timeout_s: float, clock: Clock, snapshot_id: str | None = None, dropped_snapshots: int = 0
) -> Snapshot:
    """Open and collect: what the database is like now. Raises `DatabaseError` or `DeadlineExceeded`."""
    wall, started = clock.wall(), clock.monotonic()
    with deadline(timeout_s, "the cycle"):
        collected = collect(target.dsn, target.limit, timeout_s, target.query_text)
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
