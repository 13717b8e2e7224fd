"""Snapshots as they came."""

import zlib

from pgdoctor_lib.receiver.store.db import Db, one
from pgdoctor_lib.receiver.store.model import Unreadable


def body(db: Db, snapshot_id: str, project: str | None) -> bytes | None:
    """A snapshot's JSON, as it came. `project`: of this one only."""
    of = "" if project is None else " JOIN source o ON o.id = s.source_id AND o.project = ?"
    values = (snapshot_id,) if project is None else (project, snapshot_id)
    sql = f"SELECT b.data FROM body b JOIN snapshot s ON s.seq = b.seq{of} WHERE s.id = ? ORDER BY s.seq LIMIT 1"
    row = one(db, sql, values)
    return inflated(row[0]) if row else None


def body_of(db: Db, source: str, snapshot_id: str) -> bytes | None:
    """The same of one database. Another project's may have the same id."""
    sql = "SELECT b.data FROM snapshot s JOIN body b ON b.seq = s.seq WHERE s.id = ? AND s.source_id = ?"
    row = one(db, sql, (snapshot_id, source))
    return inflated(row[0]) if row else None


def body_at(db: Db, source: str, at: float | None) -> tuple[str, float, bytes] | None:
    """The newest one that is there, at that time or before."""
    until = "" if at is None else " AND s.collected_at <= ?"
    row = one(
        db,
        f"SELECT s.id, s.collected_at, b.data FROM snapshot s JOIN body b ON b.seq = s.seq WHERE s.source_id = ?{until}"
        " ORDER BY s.collected_at DESC, s.seq DESC LIMIT 1",
        (source,) if at is None else (source, at),
    )
    return (row[0], row[1], inflated(row[2])) if row else None


def inflated(data: bytes) -> bytes:
    """A body as it came."""
    try:
        return zlib.decompress(data, wbits=47)  # gzip as an agent sent it, or zlib
    except zlib.error as error:
        raise Unreadable(f"a snapshot cannot be read: {error}") from None
