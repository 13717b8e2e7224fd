"""The spine: one database, once. Open, collect, seal, keep; what is kept, the outbox delivers."""

import json
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from pgdoctor_lib import __version__
from pgdoctor_lib.agent import host
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.agent.output import CycleLine
from pgdoctor_lib.agent.usage import lately
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config import Target
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.snapshot import Agent, Collected, Section, Snapshot, Unreachable, new_id


def run(
    collect: Callable[[], Snapshot], place: AbstractContextManager[None], outbox: Outbox, line: CycleLine
) -> Parcel:
    """A cycle, once `place` at the server is free: what is to be delivered. What goes wrong is of the one family."""
    with place:
        line.begin()
        snapshot = collect()
    line.uploading(snapshot.collected.errors)
    parcel = outbox.keep(snapshot.seal())
    outbox.remember(snapshot)
    return parcel


def take(
    target: Target,
    collecting: Collecting,
    timeout_s: float,
    clock: Clock,
    snapshot_id: str | None = None,
    dropped_snapshots: int = 0,
    unreachable: tuple[Unreachable, ...] = (),
) -> Snapshot:
    """Open and collect: what the database is like now. Raises `DatabaseError` or `DeadlineExceeded`.

    `snapshot_id`: the slot's, where several daemons share the work.
    """
    wall, started = clock.wall(), clock.monotonic()
    with deadline(timeout_s, "the cycle"):
        collected = collecting.once(timeout_s)
    collected = _with_host(target, collected)
    return Snapshot(
        snapshot_id=snapshot_id or new_id(wall),
        collected_at=wall,
        duration_ms=(clock.monotonic() - started) * 1000,
        agent=Agent(__version__, socket.gethostname(), os.getpid(), dropped_snapshots, lately(), unreachable),
        name=target.name,
        tags=target.tags,
        interval_s=target.interval_s,
        collected=collected,
    )


def _with_host(target: Target, collected: Collected) -> Collected:
    """With the machine that both are on, where this snapshot has the server's sections."""
    told = next((section.json for section in collected.sections if section.name == "paths"), None)
    if told is None or not any(map(host.is_local, target.dsn.hosts)):
        return collected
    paths = json.loads(told) or {}
    data, wal = (
        path if isinstance(path := paths.get(key), str) else None for key in ("data_directory", "wal_directory")
    )
    tablespaces, pid = paths.get("tablespaces"), paths.get("checkpointer_pid")
    figures = host.read(data, wal, _texts(tablespaces), pid if isinstance(pid, int) else None)
    return replace(collected, sections=(*collected.sections, Section("host", json.dumps(figures))))


def _texts(found: object) -> dict[str, str]:
    """What of it is a text: a server that is none may say anything."""
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(name): path for name, path in pairs if isinstance(path, str)}
