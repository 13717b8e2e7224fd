"""How the large tables of the PostgreSQL store lie.

In PostgreSQL's own partitions; where the database has TimescaleDB or Citus when the tables are made, as that has it.
It stays as it was made: what an extension refuses, and a store from before it, are partitions.
"""

import time
from calendar import timegm

from pgdoctor_lib.receiver.store.db import Db, one
from pgdoctor_lib.receiver.store.model import Extension, StoreError
from pgdoctor_lib.receiver.store.postgres_schema import EXTENSIONS, PARTITIONED, SCHEMA, SCHEMA_LOCK

_AHEAD = 2  # partitions
_INSTALLED = """
    SELECT e.extname, e.extversion, quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n
    ON n.oid = e.extnamespace WHERE e.extname IN ('timescaledb', 'citus') ORDER BY e.extname DESC LIMIT 1"""
_POINT = "SELECT relkind, obj_description(oid, 'pg_class') FROM pg_class WHERE oid = ?::regclass"
_IS_SPREAD = "SELECT 1 FROM pg_dist_partition WHERE logicalrelid = ?::regclass"
_PARTS = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = ?::regclass"
_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r' AND (
        relnamespace = ?::regnamespace OR oid IN (SELECT i.inhrelid FROM pg_inherits i JOIN pg_class p
        ON p.oid = i.inhparent WHERE p.relnamespace = ?::regnamespace))"""
_SPREAD_SIZE = "SELECT coalesce(sum(citus_total_relation_size(logicalrelid, false)), 0)::bigint FROM pg_dist_partition"
_NAMES = {"timescaledb": "TimescaleDB", "citus": "Citus"}


class Partitions:
    """PostgreSQL's own, made ahead. What comes from a time that has none goes into the default one."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def prepare(self, now: float) -> None:
        """Make the partitions for now and what comes next."""
        for table, width in PARTITIONED.items():
            for number in range(int(now // width), int(now // width) + _AHEAD):
                self.make(table, number * width)

    def make(self, table: str, at: float) -> None:
        """The partition that this moment is in, unless it is there, or the default one has rows of its time."""
        width = PARTITIONED[table]
        start = int(at // width) * width
        name = f"{table}_{time.strftime('%Y%m%d', time.gmtime(start))}"
        if self._db.rows("SELECT to_regclass(?)", (f"{SCHEMA}.{name}",))[0][0] is not None:
            return
        with self._db.transaction():
            self._db.rows("SELECT pg_advisory_xact_lock(?)", (SCHEMA_LOCK,))
            within = f"SELECT 1 FROM {table}_rest WHERE at >= ? AND at < ? LIMIT 1"
            if not self._db.rows(within, (start, start + width)):
                span = f"FROM ({start}) TO ({start + width})"
                self._db.run(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES {span}")

    def drop_before(self, table: str, step_s: int, before: float) -> None:
        """Drop the partitions that are older; of the default one delete rows."""
        parent = f"{table}_{step_s}" if step_s else table
        width = PARTITIONED[parent]
        for (name,) in self._db.rows(_PARTS, (f"{SCHEMA}.{parent}",)):
            day = name.rpartition("_")[2]
            if day.isdigit() and _epoch(day) + width <= before:
                self._db.run(f"DROP TABLE IF EXISTS {name}")
        self._db.run(f"DELETE FROM {parent}_rest WHERE at < ?", (before,))

    def size_bytes(self) -> int:
        """All tables and indexes."""
        return int(self._db.rows(_SIZE, (SCHEMA, SCHEMA))[0][0])


class Spread(Partitions):
    """The same, each a shard or more on Citus' nodes."""

    def size_bytes(self) -> int:
        """All tables and indexes, on all nodes that answer."""
        return super().size_bytes() + int(self._db.rows(_SPREAD_SIZE)[0][0])


class Hypertables(Partitions):
    """TimescaleDB's: a chunk is made when something comes from its time. `functions`: the schema that has them."""

    def __init__(self, db: Db, functions: str) -> None:
        super().__init__(db)
        self._functions = functions

    def prepare(self, now: float) -> None:
        """Nothing is made ahead."""

    def make(self, table: str, at: float) -> None:
        """Nor here."""

    def drop_before(self, table: str, step_s: int, before: float) -> None:
        """Drop the chunks that are older. Those of a rollup have one step each; `drop_chunks` would take all steps'."""
        values = (f"{SCHEMA}.{table}", before)
        if not step_s:
            self._db.rows(f"SELECT {self._functions}.drop_chunks(?::regclass, older_than => to_timestamp(?))", values)
            return
        older = f"SELECT {self._functions}.show_chunks(?::regclass, older_than => to_timestamp(?))::text"
        for (chunk,) in self._db.rows(older, values):
            first = one(self._db, f"SELECT step_s FROM {chunk} LIMIT 1")
            if first is None or first[0] == step_s:
                self._db.run(f"DROP TABLE {chunk}")


def lay_out(db: Db) -> None:
    """Within the transaction that has made the tables: as an extension has them, where there is one that does it."""
    found = one(db, _INSTALLED)
    if not found:
        return
    name, _, functions = found
    db.run("SAVEPOINT plain")
    try:
        db.run(EXTENSIONS[name].format(functions=functions))
    except StoreError as error:
        db.run("ROLLBACK TO plain")
        db.run("COMMENT ON TABLE point IS ?", (str(error),))


def layout(db: Db) -> tuple[Partitions, Extension | None]:
    """As it was made, and what the database has for it now."""
    found, point = one(db, _INSTALLED), one(db, _POINT, (f"{SCHEMA}.point",))
    kind, comment = point or ("p", None)
    name, version, functions = found or ("", "", "")
    if name == "timescaledb" and kind == "r":
        return Hypertables(db, functions), Extension(_NAMES[name], version)
    if name == "citus" and one(db, _IS_SPREAD, (f"{SCHEMA}.point",)):
        return Spread(db), Extension(_NAMES[name], version)
    why = comment or "the tables were made without it"
    return Partitions(db), Extension(_NAMES[name], version, why) if found else None


def _epoch(day: str) -> float:
    return float(timegm(time.strptime(day, "%Y%m%d")))
