"""The store: one SQLite file. What `keep` has returned survives a crash, of this process and of the machine.

A store is one connection and may be used from any thread, by one at a time: the caller sees to that.
Bodies lie in a table of their own, so that what a page reads stays close together.
"""

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.receiver.intake import Received
from pgdoctor_lib.receiver.place import private_file
from pgdoctor_lib.secret import one_line

_APPLICATION_ID = 0x50476472  # "PGdr" in the file's header: what `file` shows, and how a foreign file is told
_BUSY_TIMEOUT_S = 5.0
_BATCH = 500
_MIGRATIONS = (
    """
    CREATE TABLE source (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        snapshot_id TEXT NOT NULL, collected_at REAL NOT NULL, received_at REAL NOT NULL,
        interval_s REAL NOT NULL, tags TEXT NOT NULL, db_name TEXT NOT NULL, db_version TEXT NOT NULL,
        hostname TEXT NOT NULL, size_bytes INTEGER, active_sessions INTEGER, errors INTEGER NOT NULL,
        summary TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE snapshot (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, source_id TEXT NOT NULL,
        collected_at REAL NOT NULL, received_at REAL NOT NULL,
        size_bytes INTEGER, active_sessions INTEGER, errors INTEGER NOT NULL, body_bytes INTEGER NOT NULL
    );
    CREATE INDEX snapshot_of_source ON snapshot (source_id, collected_at);
    CREATE INDEX snapshot_received ON snapshot (received_at);
    CREATE TABLE body (seq INTEGER PRIMARY KEY, data BLOB NOT NULL);
    """,
)
_KEEP_SOURCE = """
    INSERT INTO source VALUES (:source_id, :name, :id, :collected_at, :received_at, :interval_s, :tags, :db_name,
        :db_version, :hostname, :size_bytes, :active_sessions, :errors, :summary)
    ON CONFLICT (id) DO UPDATE SET snapshot_id = :id, collected_at = :collected_at, received_at = :received_at,
        interval_s = :interval_s, tags = :tags, db_name = :db_name, db_version = :db_version, hostname = :hostname,
        size_bytes = :size_bytes, active_sessions = :active_sessions, errors = :errors, summary = :summary
    WHERE excluded.collected_at >= source.collected_at"""


class StoreError(PGDoctorError):
    """The store could not be read or written."""


@dataclass(frozen=True)
class Kept:
    """A snapshot in the store. `received_at` in epoch seconds; `new`: False where it was there already."""

    snapshot_id: str
    source_id: str
    received_at: float
    new: bool


@dataclass(frozen=True)
class Source:
    """A database as its latest snapshot tells it. Times in epoch seconds."""

    id: str
    name: str
    snapshot_id: str
    collected_at: float
    received_at: float
    interval_s: float
    tags: list[str] | dict[str, str]
    db_name: str
    db_version: str
    hostname: str
    size_bytes: int | None
    active_sessions: int | None
    errors: int
    summary: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A snapshot as a line of a list. Times in epoch seconds; `body_bytes`: its JSON, inflated."""

    id: str
    collected_at: float
    received_at: float
    size_bytes: int | None
    active_sessions: int | None
    errors: int
    body_bytes: int


def source_id(name: str) -> str:
    """The same for the same database name, whichever agent on whichever host sends it."""
    return hashlib.sha256(name.encode("utf-8")).hexdigest()[:12]


class Store:
    """An open file, made where it is missing, brought to the newest schema."""

    def __init__(self, path: str) -> None:
        private_file(path)
        self.path = path
        with self._told():
            # isolation_level None: transactions begin and end where this file says so
            self._db = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=32
            )
            self._claim()
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # NORMAL may lose what was accepted when the power fails
            self._migrate()

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        with self._told():
            self._db.close()

    def keep(self, snapshot: Received, received_at: float) -> Kept:
        """Store once: the first body under an id stays. A clock that runs ahead is brought back to the receipt."""
        row = {
            **vars(snapshot),
            "id": snapshot.snapshot_id,
            "source_id": source_id(snapshot.name),
            "received_at": received_at,
            "collected_at": min(snapshot.collected_at, received_at),
            "tags": json.dumps(snapshot.tags),
            "summary": json.dumps(snapshot.summary),
            "body_bytes": len(snapshot.body),
        }
        data = zlib.compress(snapshot.body)
        with self._told(), self._transaction():
            found = self._db.execute(
                "SELECT source_id, received_at FROM snapshot WHERE id = ?", (snapshot.snapshot_id,)
            ).fetchone()
            if found:
                return Kept(snapshot.snapshot_id, found[0], found[1], new=False)
            seq = self._db.execute(
                "INSERT INTO snapshot (id, source_id, collected_at, received_at, size_bytes, active_sessions, errors,"
                " body_bytes) VALUES (:id, :source_id, :collected_at, :received_at, :size_bytes, :active_sessions,"
                " :errors, :body_bytes)",
                row,
            ).lastrowid
            self._db.execute("INSERT INTO body VALUES (?, ?)", (seq, data))
            self._db.execute(_KEEP_SOURCE, row)
        return Kept(snapshot.snapshot_id, row["source_id"], received_at, new=True)

    def sources(self) -> list[Source]:
        """All databases, by name."""
        with self._told():
            return [_source(row) for row in self._db.execute("SELECT * FROM source ORDER BY name")]

    def source(self, identity: str) -> Source | None:
        """One database."""
        with self._told():
            row = self._db.execute("SELECT * FROM source WHERE id = ?", (identity,)).fetchone()
        return _source(row) if row else None

    def snapshots(self, source: str, limit: int) -> list[Line]:
        """The newest snapshots of a database, newest first."""
        with self._told():
            rows = self._db.execute(
                "SELECT id, collected_at, received_at, size_bytes, active_sessions, errors, body_bytes FROM snapshot"
                " WHERE source_id = ? ORDER BY collected_at DESC, seq DESC LIMIT ?",
                (source, limit),
            )
            return [Line(*row) for row in rows]

    def sizes(self, source: str, points: int) -> list[tuple[float, int]]:
        """A database's size (bytes) over time (epoch seconds), oldest first, thinned to some `points`."""
        with self._told():
            rows = self._db.execute(
                "WITH span AS (SELECT min(collected_at) AS first, max(collected_at) AS last FROM snapshot"
                " WHERE source_id = :source) SELECT max(collected_at), max(size_bytes) FROM snapshot, span"
                " WHERE source_id = :source AND size_bytes IS NOT NULL"
                " GROUP BY CAST((collected_at - first) * :points / max(last - first, 1) AS INTEGER) ORDER BY 1",
                {"source": source, "points": points},
            )
            return [(moment, size) for moment, size in rows]

    def body(self, snapshot_id: str) -> bytes | None:
        """A snapshot's JSON, as it came."""
        with self._told():
            row = self._db.execute(
                "SELECT data FROM body JOIN snapshot USING (seq) WHERE id = ?", (snapshot_id,)
            ).fetchone()
        return zlib.decompress(row[0]) if row else None

    def forget(self, before: float) -> bool:
        """Delete a batch of what was received `before` (epoch seconds). True when there may be more."""
        with self._told(), self._transaction():
            old = [
                seq
                for (seq,) in self._db.execute(
                    "SELECT seq FROM snapshot WHERE received_at < ? ORDER BY received_at LIMIT ?", (before, _BATCH)
                )
            ]
            self._db.executemany("DELETE FROM body WHERE seq = ?", [(seq,) for seq in old])
            self._db.executemany("DELETE FROM snapshot WHERE seq = ?", [(seq,) for seq in old])
            self._db.execute("DELETE FROM source WHERE received_at < ?", (before,))
        return len(old) == _BATCH

    def _claim(self) -> None:
        """Refuse a database of another program; mark an empty one as ours."""
        (mark,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if mark != _APPLICATION_ID and tables:
            raise StoreError(f"{one_line(self.path)}: an SQLite database of another program")
        if mark != _APPLICATION_ID:
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")

    def _migrate(self) -> None:
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > len(_MIGRATIONS):
                raise StoreError(f"{one_line(self.path)}: made by a newer PGDoctor")
            for script in _MIGRATIONS[version:]:
                for statement in script.split(";"):  # executescript would commit in between
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled it back already
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error) as error:
            raise StoreError(f"{one_line(os.path.basename(self.path))}: {one_line(str(error))}") from None


def _source(row: tuple[Any, ...]) -> Source:
    found = Source(*row)
    changed = {"tags": json.loads(row[6]), "summary": json.loads(row[13])}
    return Source(**{**vars(found), **changed})
