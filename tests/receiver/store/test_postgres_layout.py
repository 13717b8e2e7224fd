"""Where the large tables of the PostgreSQL store lie: TimescaleDB and Citus where they are, partitions where not."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pgdoctor_lib.receiver.store import Extension, Retention, Store, open_store
from pgdoctor_lib.receiver.store.series import STEPS
from tests.fix_daemon import Cli
from tests.postgres import extensions
from tests.postgres.server import Database
from tests.receiver.client import Client
from tests.receiver.client import snapshot as wire_snapshot
from tests.receiver.store.documents import T0, counters, many, query, snapshot

DAY = 86_400.0
EXTENSIONS = ("timescaledb", "citus")
Extended = Callable[[str], Database]
# What the store looks for, without the extension: the test's own functions stand for what it brings.
_PLANT = """
    SET allow_system_table_mods = on;
    INSERT INTO pg_extension VALUES (99999, %s, 10, 'public'::regnamespace, false, '9.9', NULL, NULL);
    CREATE FUNCTION public.by_range(text, anyelement, regproc DEFAULT NULL) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION public.create_hypertable(regclass, int, create_default_indexes bool) RETURNS int LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'this license does not permit %%', $1; END $$;
    CREATE SCHEMA pgdoctor;
    CREATE TABLE pgdoctor.pg_dist_partition (logicalrelid regclass);
    CREATE TABLE pgdoctor.pg_dist_node AS SELECT 1 AS groupid, true AS shouldhaveshards;
    CREATE FUNCTION pgdoctor.create_distributed_table(regclass, text) RETURNS int LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'this license does not permit %%', $1; END $$;
"""
_SHARDS = """
    SET citus.override_table_visibility = off;
    SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s"""


@pytest.fixture(params=EXTENSIONS)
def refusing(request: pytest.FixtureRequest, store_database: Database) -> Iterator[tuple[str, Database]]:
    """An extension by its name in the catalog, and functions that refuse whatever they are asked."""
    store_database.sql(_PLANT, (request.param,))
    yield request.param, store_database
    store_database.sql("SET allow_system_table_mods = on; DELETE FROM pg_extension WHERE oid = 99999")


def _dsn(database: Database) -> str:
    return database.server.dsn(database.name)


def _fill(store: Store, days: int) -> str:
    """A snapshot, and figures of so many days: a point and the rollups of each quarter of a day. Its database's id."""
    store.keep(snapshot(T0, database=counters(1)), T0)
    (source,) = store.sources()
    times = [T0 + DAY / 4 * number for number in range(1, 4 * days)]
    store._db.many("INSERT INTO point (source_id, at, data) VALUES (?, ?, 'x')", [(source.id, at) for at in times])
    store._db.many(
        "INSERT INTO rollup (source_id, step_s, at, data) VALUES (?, ?, ?, 'x') ON CONFLICT (source_id, step_s, at)"
        " DO UPDATE SET data = excluded.data",
        [(source.id, step, at // step * step) for at in times for step in STEPS],
    )
    store._db.run("DELETE FROM due")
    return source.id


def _kinds(database: Database) -> dict[str, str]:
    found = database.sql(
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'pgdoctor'::regnamespace"
        " AND relname IN ('point', 'rollup')"
    )
    return dict(found)


def test_what_an_extension_refuses_is_one_warning_and_partitions(cli: Cli, refusing: tuple[str, Database]) -> None:
    name, database = refusing
    said = "TimescaleDB" if name == "timescaledb" else "Citus"
    for _ in range(2):  # at each start: somebody else may have made the tables
        receiver = Client(cli, env={"PGDOCTOR_STORE": _dsn(database)})
        told = receiver.running.wait_for_line(r"^Data: (.*)$")[1]
        assert said not in told
        assert receiver.post(wire_snapshot().body()).status == 201
        receiver.running.send()
        ended = receiver.running.finish()
        assert ended.returncode == 0
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"pgdoctor: {said} 9.9 is not used: ")
        assert line.endswith("this license does not permit point")
    assert _kinds(database) == {"point": "p", "rollup": "p"}
    assert database.sql("SELECT count(*) FROM pgdoctor.point") == [(2,)]


def test_without_them_nothing_is_said(cli: Cli, store_dsn: str, store_database: Database) -> None:
    receiver = Client(cli, env={"PGDOCTOR_STORE": store_dsn})
    assert receiver.running.wait_for_line(r"^Data: (.*)$")[1].endswith(store_database.name)
    receiver.running.send()
    assert receiver.running.finish().stderr == ""


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_store_from_before_the_extension_stays_as_it_is(extendable: Extended, name: str) -> None:
    database = extendable(name)
    open_store(_dsn(database)).close()
    extensions.extend(database, name)
    store = open_store(_dsn(database))
    _fill(store, 2)
    _prune(store, T0 + 900 * DAY)
    told = store.extension()
    assert told is not None
    assert told.unused == "the tables were made without it"
    assert _kinds(database) == {"point": "p", "rollup": "p"}
    store.close()


def test_citus_on_one_node_is_not_used(extendable: Extended) -> None:
    database = extendable("citus")
    extensions.extend(database, "citus", alone=True)
    store = open_store(_dsn(database))
    told = store.extension()
    assert told is not None
    assert told.unused.endswith("it has no node but this one")
    _fill(store, 2)
    store.close()


@pytest.mark.parametrize("name", EXTENSIONS)
def test_it_is_named_at_the_start(cli: Cli, extended: Extended, name: str) -> None:
    database = extended(name)
    receiver = Client(cli, env={"PGDOCTOR_STORE": _dsn(database)})
    told = receiver.running.wait_for_line(r"^Data: .*/\S+ \((TimescaleDB|Citus) [\d.-]+\)$")[1]
    assert told.lower() == name
    assert receiver.post(wire_snapshot().body()).status == 201
    assert "pgdoctor_receiver_store_bytes " in receiver.get("/metrics").text
    receiver.running.send()
    assert receiver.running.finish().stderr == ""


def test_its_role_need_not_be_a_superuser(extended: Extended) -> None:
    database = extended("timescaledb")
    database.sql(f'GRANT CREATE ON DATABASE "{database.name}" TO "{database.role}"')
    store = open_store(database.dsn)
    assert store.extension() == Extension("TimescaleDB", _version(database, "timescaledb"))
    _fill(store, 2)
    assert store.stats().snapshots == 1
    store.close()


def test_chunks_are_made_when_something_comes_and_dropped_when_they_are_old(extended: Extended) -> None:
    database = extended("timescaledb")
    store = open_store(_dsn(database), Retention(raw_s=14 * DAY, five_minutes_s=60 * DAY, hour_s=200 * DAY))
    assert _chunks(database, "point") == []
    _fill(store, 30)
    assert len(_chunks(database, "point")) in (5, 6)
    steps = _steps(database)
    assert set(steps) == {300, 3600, 86_400}
    before = store.size_bytes()
    assert before > 100_000
    _prune(store, T0 + 40 * DAY)
    assert len(_chunks(database, "point")) in (1, 2)
    assert _steps(database) == steps
    _prune(store, T0 + 130 * DAY)
    assert _chunks(database, "point") == []
    assert set(_steps(database)) == {3600, 86_400}
    assert store.size_bytes() < before
    _prune(store, T0 + 280 * DAY)
    assert _chunks(database, "rollup") == []
    store.close()


def test_what_is_asked_of_a_time_looks_into_its_chunk_only(extended: Extended) -> None:
    database = extended("timescaledb")
    store = open_store(_dsn(database))
    identity = _fill(store, 30)
    for table, more in (("point", ""), ("rollup", " AND step_s = 300")):
        plan = store._db.rows(
            f"EXPLAIN SELECT data FROM {table} WHERE source_id IN (?){more} AND at >= ? AND at <= ? ORDER BY at",
            (identity, T0 + 10.5 * DAY, T0 + 10.75 * DAY),
        )
        told = "\n".join(line for (line,) in plan)
        assert len(set(re.findall(r"\w+_chunk\b", told))) == 1, told
    store.close()


def test_the_largest_tables_are_spread_over_nodes(extended: Extended) -> None:
    cluster = extended("citus")
    store = open_store(_dsn(cluster))
    spread = cluster.sql("SELECT logicalrelid::text FROM pg_dist_partition WHERE partmethod = 'h'")
    named = {name.removeprefix("pgdoctor.") for (name,) in spread}
    assert {"body", "reading", "point", "point_rest"} <= named
    assert not named & {"snapshot", "source", "rollup"}
    before = store.size_bytes()
    assert before > 1_000_000  # shards are there, each with its index
    for number in range(20):
        told = snapshot(T0 + number, name=f"db{number}", database=counters(1), queries=many([query()]))
        assert store.keep(told, T0 + 20).new
        assert not store.keep(told, T0 + 20).new
        assert store.body(told.snapshot_id) == told.body
    for table, count in (("point", 20), ("reading", 20), ("body", 20)):
        assert cluster.sql(f"SELECT count(*) FROM pgdoctor.{table}") == [(count,)]
        shards = _on_worker(cluster, _SHARDS, rf"^{table}(_rest)?_\d{{6}}$")
        there = [_on_worker(cluster, f"SELECT count(*) FROM pgdoctor.{name}")[0][0] for (name,) in shards]
        assert sum(there) > 0
    _prune(store, T0 + 60 * DAY)
    assert cluster.sql("SELECT count(*) FROM pgdoctor.point") == [(0,)]
    store.close()


def _prune(store: Store, now: float) -> None:
    while store.prune(now):
        pass


def _on_worker(database: Database, statement: str, *values: str) -> list[tuple[Any, ...]]:
    return extensions.worker().sql(statement, values, dbname=database.name)


def _version(database: Database, name: str) -> str:
    return str(database.sql("SELECT extversion FROM pg_extension WHERE extname = %s", (name,))[0][0])


def _chunks(database: Database, table: str) -> list[str]:
    return [name for (name,) in database.sql("SELECT show_chunks(%s::regclass)::text", (f"pgdoctor.{table}",))]


def _steps(database: Database) -> dict[int, int]:
    return dict(database.sql("SELECT step_s, count(*) FROM pgdoctor.rollup GROUP BY 1"))
