"""Databases as their latest snapshots tell them, the list of snapshots, and how much there is of all."""

import json
from dataclasses import replace

from pgdoctor_lib.receiver.store.db import Db, Row, chunks, marks, one
from pgdoctor_lib.receiver.store.model import Line, Source, StoreStats

_COLUMNS = (
    "id, name, project, snapshot_id, collected_at, received_at, interval_s, tags, db_name, db_version, hostname,"
    " size_bytes, active_sessions, errors, summary, critical, warnings, server"
)


def all_of(db: Db, project: str | None) -> list[Source]:
    """By name."""
    where, values = ("", ()) if project is None else (" WHERE project = ?", (project,))
    sql = f'SELECT {_COLUMNS} FROM source{where} ORDER BY name COLLATE "C", project COLLATE "C"'
    return [_source(row) for row in db.rows(sql, values)]


def one_of(db: Db, identity: str) -> Source | None:
    """One database."""
    row = one(db, f"SELECT {_COLUMNS} FROM source WHERE id = ?", (identity,))
    return _source(row) if row else None


def snapshots(db: Db, source: str, limit: int, before: float | None) -> list[Line]:
    """The newest, or the newest before then; newest first."""
    until, values = ("", ()) if before is None else (" AND collected_at < ?", (before,))
    rows = db.rows(
        "SELECT seq, id, collected_at, received_at, size_bytes, active_sessions, errors, body_bytes FROM snapshot"
        f" WHERE source_id = ?{until} ORDER BY collected_at DESC, seq DESC LIMIT ?",
        (source, *values, limit),
    )
    seqs = [row[0] for row in rows]
    there: set[int] = set()
    for some in chunks(seqs):  # not by a subquery: Citus refuses one on what is on other nodes
        there.update(seq for (seq,) in db.rows(f"SELECT seq FROM body WHERE seq IN ({marks(some)})", some))
    return [replace(Line(*row[1:]), has_body=row[0] in there) for row in rows]


def stats(db: Db) -> StoreStats:
    """Counted anew: not for every request."""
    ((count,),) = db.rows("SELECT count(*) FROM source")
    ((snapshot_count, oldest, newest),) = db.rows("SELECT count(*), min(collected_at), max(collected_at) FROM snapshot")
    ((bodies,),) = db.rows("SELECT count(*) FROM body")
    return StoreStats(db.size_bytes(), count, snapshot_count, bodies, oldest, newest)


def oldest(db: Db) -> float | None:
    """When the oldest snapshot that is kept was received: from an index, for every request."""
    ((found,),) = db.rows("SELECT min(received_at) FROM snapshot")
    return None if found is None else float(found)


def begun(db: Db, source: str, since: float) -> float | None:
    """When the first snapshot that is kept was collected, of those from then on."""
    sql = "SELECT min(collected_at) FROM snapshot WHERE source_id = ? AND collected_at >= ?"
    ((found,),) = db.rows(sql, (source, since))
    return None if found is None else float(found)


def _source(row: Row) -> Source:
    told = list(row)
    told[7], told[14] = json.loads(row[7]), json.loads(row[14])
    return Source(*told)
