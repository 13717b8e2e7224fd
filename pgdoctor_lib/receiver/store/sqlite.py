"""The store in one SQLite file. What was committed survives a crash, of this process and of the machine."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from pgdoctor_lib.receiver.place import private_file
from pgdoctor_lib.receiver.store.db import Row
from pgdoctor_lib.receiver.store.model import StoreError, too_new
from pgdoctor_lib.receiver.store.schema import MIGRATIONS
from pgdoctor_lib.secret import one_line

_APPLICATION_ID = 0x50476472  # "PGdr" in the file's header: what `file` shows, and how a foreign file is told
_BUSY_TIMEOUT_S = 5.0
_BATCH = 2000
# Files that SQLite has been at work on in this process. Whoever opens and closes one of them otherwise drops SQLite's
# locks with it, and then another process that closes the file takes itself for the last, and deletes the log.
_opened: set[str] = set()
_BATCH_PAGES, _SHORT_MS = 2000, 100
_SPARE = 0.05  # of all pages
_SOURCES = """
    WITH RECURSIVE each (id) AS (SELECT min(source_id) FROM {0} UNION ALL
        SELECT (SELECT min(source_id) FROM {0} WHERE source_id > each.id) FROM each WHERE each.id IS NOT NULL)
    SELECT id FROM each WHERE id IS NOT NULL"""


def is_in_use(path: str) -> bool:
    """Whether another process has the file open. To be asked before this one opens it."""
    probe = sqlite3.connect(path, timeout=_SHORT_MS / 1000, isolation_level=None)
    try:
        probe.execute("PRAGMA locking_mode = EXCLUSIVE")
        probe.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.Error as error:
        return "locked" in str(error)
    finally:
        probe.close()
    return False


class SqliteDb:
    """An open file, made where it is missing, brought to the newest schema."""

    extension = None

    def __init__(self, path: str) -> None:
        if path not in _opened:
            private_file(path)
            _opened.add(path)
        self.path = path
        with self._told():
            # isolation_level None: transactions begin and end where this file says so
            self._db = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=128
            )
            self._db.create_collation("C", lambda one, other: (one > other) - (one < other))  # PostgreSQL's name for it
            self._claim()
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # NORMAL may lose what was accepted when the power fails
            self._migrate()

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        with self._told():
            self._db.close()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows."""
        with self._told():
            return self._db.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows were changed."""
        with self._told():
            return self._db.execute(sql, values).rowcount

    def many(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """The statement once for each."""
        with self._told():
            self._db.executemany(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is run within, or none of it."""
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._told():
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk has rolled it back already
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            raise

    def lock(self, key: str) -> None:
        """Whoever writes has the whole file."""

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """A file has one receiver, or several that wait for each other."""
        yield True

    def prepare(self, now: float) -> None:
        """Nothing: a table has room for all times."""

    def drop_before(self, table: str, step_s: int, before: float) -> bool:
        """Delete a batch of what is older. Source by source: that is the order of the tables."""
        of_step, steps = (" AND step_s = ?", [step_s]) if table == "rollup" else ("", [])
        oldest = f"SELECT at FROM {table} WHERE source_id = ?{of_step} AND at < ? ORDER BY at LIMIT ?"
        delete = f"DELETE FROM {table} WHERE source_id = ?{of_step} AND at <= (SELECT max(at) FROM ({oldest}))"
        left = _BATCH
        for (source,) in self.rows(_SOURCES.format(table)):
            left -= self.run(delete, (source, *steps, source, *steps, before, left))
            if left <= 0:
                return True
        return False

    def size_bytes(self) -> int:
        """File and log."""
        with suppress(OSError):
            return os.path.getsize(self.path) + os.path.getsize(f"{self.path}-wal")
        return os.path.getsize(self.path)

    def used_bytes(self) -> int:
        """Of the file, the pages that deleting has not freed."""
        pages, free = self._pages()
        ((page_bytes,),) = self.rows("PRAGMA page_size")
        return int(page_bytes) * (pages - free)

    def shrink(self) -> bool:
        """Hand free pages back, where the file was made for that, and cut the log, where nobody is reading from it.

        Some are left for what comes next: each costs moving another one.
        """
        pages, before = self._pages()
        if before > pages * _SPARE:
            with self._told():  # by `execute` it would be one page
                self._db.executescript(f"PRAGMA incremental_vacuum({_BATCH_PAGES})")
        self.rows(f"PRAGMA busy_timeout = {_SHORT_MS}")
        try:
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self.rows(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT_S * 1000)}")
        pages, free = self._pages()
        return pages * _SPARE < free < before

    def _pages(self) -> tuple[int, int]:
        """All, and those that are free."""
        ((pages,),), ((free,),) = self.rows("PRAGMA page_count"), self.rows("PRAGMA freelist_count")
        return int(pages), int(free)

    def _claim(self) -> None:
        """Refuse a database of another program; mark an empty one as ours."""
        ((mark,),), ((tables,),) = (
            self.rows("PRAGMA application_id"),
            self.rows("SELECT count(*) FROM sqlite_master"),
        )
        if mark != _APPLICATION_ID and tables:
            raise StoreError(f"{one_line(self.path)}: an SQLite database of another program")
        if mark != _APPLICATION_ID:
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")

    def _migrate(self) -> None:
        with self.transaction():
            ((version,),) = self.rows("PRAGMA user_version")
            if version > len(MIGRATIONS):
                raise too_new(one_line(self.path))
            for script in MIGRATIONS[version:]:
                for statement in script.split(";"):  # executescript would commit in between
                    self.run(statement)
            self.run(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{one_line(os.path.basename(self.path))}: {one_line(str(error))}") from None
