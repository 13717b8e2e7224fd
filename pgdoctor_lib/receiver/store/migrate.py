"""All that a file holds into a PostgreSQL store. What is there already stays, so that it can be run again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pgdoctor_lib.receiver.store.db import Db, Row, marks
from pgdoctor_lib.receiver.store.keep import SOURCE_COLUMNS, SOURCE_UPSERT
from pgdoctor_lib.receiver.store.postgres import PostgresDb
from pgdoctor_lib.receiver.store.postgres_schema import PARTITIONED
from pgdoctor_lib.receiver.store.sqlite import SqliteDb, is_in_use
from pgdoctor_lib.receiver.store.upkeep import read_bodies, read_sections
from pgdoctor_lib.secret import one_line

_BATCH = 500
_SNAPSHOT = (
    "id, source_id, collected_at, received_at, size_bytes, active_sessions, errors, body_bytes",
    "ON CONFLICT (id, source_id) DO NOTHING",
)
_BODY = "INSERT INTO body (seq, data) SELECT seq, ? FROM snapshot WHERE id = ? AND source_id = ? ON CONFLICT DO NOTHING"
_ENDED = (
    "ON CONFLICT (source_id, id, since) DO UPDATE SET gone_at = excluded.gone_at, last_seen = excluded.last_seen,"
    " data = excluded.data, severity = excluded.severity WHERE finding.gone_at IS NULL"
)
_NEWER = (
    "ON CONFLICT (source_id, section) DO UPDATE SET snapshot_id = excluded.snapshot_id, at = excluded.at"
    " WHERE excluded.at > section_at.at"
)


@dataclass(frozen=True)
class _Table:
    """`key`: as many of the first columns, by which it is gone through."""

    name: str
    key: int
    columns: str
    conflict: str = "ON CONFLICT DO NOTHING"


_TABLES = (
    _Table("point", 2, "source_id, at, data"),
    _Table("rollup", 3, "source_id, step_s, at, data"),
    _Table("due", 3, "step_s, at, source_id"),
    _Table("reading", 3, "source_id, kind, slot, at, data"),
    _Table("query_text", 2, "source_id, queryid, text, last_seen"),
    _Table("finding", 3, "source_id, id, since, check_id, severity, last_seen, gone_at, data", _ENDED),
    _Table("section_at", 2, "source_id, section, snapshot_id, at", _NEWER),
    _Table("event", 4, "source_id, at, kind, key, text"),
    _Table("token", 1, "digest, name, created_at, last_used_at, revoked_at"),
)


def migrate(path: str, dsn: str, say: Callable[[str], None], warn: Callable[[str], None]) -> bool:
    """Copy, table by table; `say` what was done. StoreError where that is not all.

    False where a receiver is at work on the file: what it takes in meanwhile is left behind. `warn` of it first.
    """
    is_at_rest = not is_in_use(path)
    if not is_at_rest:
        warn(f"{one_line(path)}: a receiver is at work on it, and what it takes in from now on is not copied")
    source, target = SqliteDb(path), PostgresDb(dsn)
    try:
        while read_sections(source) or read_bodies(source):
            pass
        _partitions(source, target)
        _tell(target, "snapshot", "snapshots", lambda: _snapshots(source, target), say)
        for table in _TABLES:
            _tell(target, table.name, f"of {table.name}", partial(_copy, source, target, table), say)
        _tell(target, "source", "databases", lambda: _sources(source, target), say)
    finally:
        source.close()
        target.close()
    return is_at_rest


def _tell(target: Db, table: str, noun: str, copy: Callable[[], int], say: Callable[[str], None]) -> None:
    """How many rows are new, and how many of them were there."""
    before = _count(target, table)
    copied = copy()
    added = min(copied, _count(target, table) - before)
    say(f"{added} {noun}" + (f", {copied - added} were there" if copied > added else ""))


def _count(db: Db, table: str) -> int:
    return int(db.rows(f"SELECT count(*) FROM {table}")[0][0])


def _sources(source: Db, target: Db) -> int:
    rows = source.rows(f"SELECT {SOURCE_COLUMNS} FROM source")
    target.many(SOURCE_UPSERT, rows)
    return len(rows)


def _partitions(source: Db, target: PostgresDb) -> None:
    for name, width in PARTITIONED.items():
        table, _, step = name.partition("_")
        where = f" WHERE step_s = {int(step)}" if step else ""
        for (number,) in source.rows(f"SELECT DISTINCT CAST(at / {width} AS INTEGER) FROM {table}{where}"):
            target.make_partition(name, number * width)


def _snapshots(source: Db, target: PostgresDb) -> int:
    columns, conflict = _SNAPSHOT
    names = columns.split(", ")
    copied = 0
    for rows in _read(source, f"s.seq, {', '.join(f's.{name}' for name in names)}, b.data",
                      "snapshot s LEFT JOIN body b ON b.seq = s.seq", ["s.seq"]):  # fmt: skip
        with target.transaction():
            insert = f"INSERT INTO snapshot ({columns}) VALUES ({marks(names)}) {conflict}"
            target.many(insert, [row[1:-1] for row in rows])
            target.many(_BODY, [(row[-1], *row[1:3]) for row in rows if row[-1] is not None])
        copied += len(rows)
    return copied


def _copy(source: Db, target: PostgresDb, table: _Table) -> int:
    names = table.columns.split(", ")
    insert = f"INSERT INTO {table.name} ({table.columns}) VALUES ({marks(names)}) {table.conflict}"
    copied = 0
    for rows in _read(source, table.columns, table.name, names[: table.key]):
        with target.transaction():
            target.many(insert, rows)
        copied += len(rows)
    return copied


def _read(source: Db, columns: str, table: str, key: Sequence[str]) -> Iterator[list[Row]]:
    """In batches, by the key: its columns are the first ones."""
    order, last = ", ".join(key), None
    while True:
        where = f" WHERE ({order}) > ({marks(key)})" if last else ""
        rows = source.rows(f"SELECT {columns} FROM {table}{where} ORDER BY {order} LIMIT {_BATCH}", last or ())
        if not rows:
            return
        yield rows
        last = rows[-1][: len(key)]
