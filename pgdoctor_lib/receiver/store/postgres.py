"""The store in PostgreSQL, 12 or later: any number of receivers write to it and read from it at once.

What was committed survives as far as the server promises that; where it has `synchronous_commit` off, these sessions
have it on. A connection that was lost is made anew at the next request.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import psycopg2
import psycopg2.extensions
from psycopg2.extras import execute_batch

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DeadlineExceeded
from pgdoctor_lib.receiver.store.db import Row
from pgdoctor_lib.receiver.store.model import StoreError, too_new
from pgdoctor_lib.receiver.store.postgres_layout import lay_out, layout
from pgdoctor_lib.receiver.store.postgres_schema import MIGRATIONS, SCHEMA, SCHEMA_LOCK
from pgdoctor_lib.secret import one_line

_OLDEST = 120_000
_CONNECT_S, _ANSWER_S = 10, 60.0
_UPKEEP = 0x5047647201  # an advisory lock: "PGdr", and what for
_HABITS = {
    "application_name": "pgdoctor serve",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_SESSION = f"""
    SET search_path = {SCHEMA}; SET statement_timeout = '50s'; SET lock_timeout = '20s';
    SET idle_in_transaction_session_timeout = '60s'; SET client_encoding = 'UTF8';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"""
T = TypeVar("T")
_BYTES = psycopg2.extensions.new_type(
    (17,), "BYTES", lambda value, cursor: None if value is None else bytes(psycopg2.BINARY(value, cursor))
)


class _Lost(StoreError):
    """The connection is gone."""


class PostgresDb:
    """A connection, made when it is needed; the first time its tables are made, or brought to the newest form."""

    def __init__(self, dsn: str) -> None:
        self._dsn = Dsn.parse(dsn, os.environ)
        self._connection: psycopg2.extensions.connection | None = None
        self._is_bound = False  # to this connection: by a transaction, or the upkeep's lock
        with self._told():
            self._migrate()
        self._layout, self.extension = layout(self)
        self.prepare(time.time())

    def close(self) -> None:
        """Let go of it."""
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows."""
        return self._asked(sql, values, lambda cursor: cursor.fetchall())

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows were changed."""
        return self._asked(sql, values, lambda cursor: int(cursor.rowcount))

    def many(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """The statement once for each."""
        with self._told(), self._open().cursor() as cursor:
            execute_batch(cursor, _translated(sql), values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is run within, or none of it."""
        self.run("BEGIN")
        with self._bound():
            try:
                yield
                self.run("COMMIT")
            except BaseException:
                if self._connection is not None:
                    with suppress(StoreError):
                        self.run("ROLLBACK")
                raise

    def lock(self, key: str) -> None:
        """To the end of the transaction, whatever receiver locks the same key."""
        self.rows("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (key,))

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Within: False where another receiver is at the upkeep."""
        ((is_mine,),) = self.rows("SELECT pg_try_advisory_lock(?)", (_UPKEEP,))
        with self._bound():
            try:
                yield bool(is_mine)
            finally:
                if is_mine and self._connection is not None:
                    with suppress(StoreError):
                        self.rows("SELECT pg_advisory_unlock(?)", (_UPKEEP,))

    def prepare(self, now: float) -> None:
        """Make the partitions for now and what comes next."""
        self._layout.prepare(now)

    def make_partition(self, table: str, at: float) -> None:
        """The partition that this moment is in, where it is to be made."""
        self._layout.make(table, at)

    def drop_before(self, table: str, step_s: int, before: float) -> bool:
        """Drop the partitions that are older as a whole."""
        self._layout.drop_before(table, step_s, before)
        return False

    def size_bytes(self) -> int:
        """All its tables and indexes."""
        return self._layout.size_bytes()

    def used_bytes(self) -> int | None:
        """Not told: space that deleting frees is used again, and not given back."""
        return None

    def shrink(self) -> bool:
        """Autovacuum does that."""
        return False

    @contextmanager
    def _bound(self) -> Iterator[None]:
        """Within: a connection that is lost is not made anew."""
        before, self._is_bound = self._is_bound, True
        try:
            yield
        finally:
            self._is_bound = before

    def _asked(self, sql: str, values: Sequence[object], take: Callable[[Any], T]) -> T:
        """What comes of a statement; where the connection turns out to be gone, of a second try on a new one.

        What has not ended in time may still be at work there: it is not sent again.
        """
        tried_before = self._is_bound or self._connection is None
        while True:
            try:
                with self._told(), self._open().cursor() as cursor:
                    cursor.execute(_translated(sql), tuple(values))
                    return take(cursor)
            except _Lost:
                if tried_before:
                    raise
                tried_before = True

    def _open(self) -> psycopg2.extensions.connection:
        if self._connection is None:
            if self._is_bound:
                raise psycopg2.OperationalError("the connection was lost, and what it held")
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg2.extensions.connection:
        """The first host that answers."""
        failure: Exception = psycopg2.OperationalError("no host")
        for host in self._dsn.hosts:
            given: dict[str, Any] = {"connect_timeout": str(_CONNECT_S), **_HABITS, **self._dsn.reveal_keywords(host)}
            try:
                with deadline(_CONNECT_S + 1.0, "the connection"):
                    connection = psycopg2.connect(**given)
                return self._begun(connection)
            except (psycopg2.Error, DeadlineExceeded) as error:
                failure = error
        raise failure

    def _begun(self, connection: psycopg2.extensions.connection) -> psycopg2.extensions.connection:
        connection.autocommit = True  # transactions begin and end where this file says so
        if connection.server_version < _OLDEST:
            connection.close()
            raise psycopg2.OperationalError("PostgreSQL 12 or later is needed")
        psycopg2.extensions.register_type(_BYTES, connection)
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
        return connection

    def _migrate(self) -> None:
        with self.transaction():
            self.rows("SELECT pg_advisory_xact_lock(?)", (SCHEMA_LOCK,))
            if not self.rows("SELECT 1 FROM pg_namespace WHERE nspname = ?", (SCHEMA,)):
                self.run(f"CREATE SCHEMA {SCHEMA}")
            self.run("CREATE TABLE IF NOT EXISTS progress (name text PRIMARY KEY, value double precision NOT NULL)")
            found = self.rows("SELECT value FROM progress WHERE name = 'schema'")
            version = int(found[0][0]) if found else 0
            if version > len(MIGRATIONS):
                raise too_new(self._dsn.display)
            for script in MIGRATIONS[version:]:
                self.run(script)
            if not version:
                lay_out(self)
            self.run(
                "INSERT INTO progress VALUES ('schema', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (len(MIGRATIONS),),
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with deadline(_ANSWER_S, "the store"):
                yield
        except (psycopg2.Error, ValueError, DeadlineExceeded) as error:
            said = str(error).partition("\n")[0] or type(error).__name__
            message = f"{self._dsn.display}: {one_line(said)}"
            is_late = isinstance(error, DeadlineExceeded)
            is_lost = self._connection is not None and bool(self._connection.closed)
            if is_late or is_lost:
                self.close()
            raise (_Lost if is_lost and not is_late else StoreError)(message) from None


@lru_cache(maxsize=256)
def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
