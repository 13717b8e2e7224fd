"""A store of every older version opens and keeps what it has, in either database; one of a newer version is refused."""

import hashlib
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from pgdoctor_lib.receiver.store import Retention, open_store, postgres_schema, schema
from tests.fix_daemon import Cli
from tests.receiver.store.documents import T0, counters, document, many, received, snapshot

COMMITS = "database.xact_commit"
# What a store was made by is never made by anything else: a change is a script of its own, at the end.
RECORDED = {
    "sqlite": ("3d6949921701fdba", "0a462da614a57881", "50508af0bcfd7f4e", "89cb0151d283d5c1", "4db54f783876167e"),
    "postgres": ("91d0c7eaf68a5a9b", "203bdb1c82e3ac27", "89cb0151d283d5c1", "17caded903aa7b0c"),
}
_TOLD = received(document(T0, database=counters(1), bloat=many([])))
_SOURCE = {
    "id": "a172cedcae47", "name": "app", "snapshot_id": _TOLD.snapshot_id, "collected_at": T0, "received_at": T0,
    "interval_s": 60, "tags": "[]", "db_name": "app", "db_version": "PostgreSQL 18.1", "hostname": "mon-1",
    "size_bytes": 1000, "active_sessions": 2, "errors": 0, "summary": '{"errors": []}',
}  # fmt: skip
_SINCE_HISTORY = {"project": "", "critical": 0, "warnings": 0, "server": "", "spoke_at": T0, "facts": "{}"}
_SINCE_SECTIONS = {"facts": '{"sections": ["database", "bloat"]}'}
_SNAPSHOT = {
    "seq": 1, "id": _TOLD.snapshot_id, "source_id": "a172cedcae47", "collected_at": T0, "received_at": T0,
    "size_bytes": 1000, "active_sessions": 2, "errors": 0, "body_bytes": len(_TOLD.body),
}  # fmt: skip
_BODY = {"seq": 1, "data": zlib.compress(_TOLD.body)}
_OLD = [
    *(("sqlite", version) for version in range(1, len(schema.MIGRATIONS))),
    *(("postgres", version) for version in range(1, len(postgres_schema.MIGRATIONS))),
]


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is that has one snapshot, made by the version that is asked for."""
    kind, version = request.param
    if kind == "sqlite":
        _sqlite(tmp_path / "serve.db", version)
        return str(tmp_path / "serve.db")
    dsn: str = request.getfixturevalue("store_dsn")
    _postgres(dsn, version)
    return dsn


def _sqlite(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for script in schema.MIGRATIONS[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA application_id = {0x50476472}")
        db.execute(f"PRAGMA user_version = {version}")
        for table, row in _rows(has_history=version > 1, has_sections=version > 2):
            db.execute(_insert(table, row, "?"), tuple(row.values()))


def _postgres(dsn: str, version: int) -> None:
    with closing(psycopg2.connect(dsn)) as db, db, db.cursor() as cursor:
        cursor.execute("CREATE SCHEMA pgdoctor; SET search_path = pgdoctor")
        cursor.execute("CREATE TABLE progress (name text PRIMARY KEY, value double precision NOT NULL)")
        for script in postgres_schema.MIGRATIONS[:version]:
            cursor.execute(script)
        cursor.execute("INSERT INTO progress VALUES ('schema', %s)", (version,))
        for table, row in _rows(has_history=True, has_sections=version > 1):
            cursor.execute(_insert(table, row, "%s"), tuple(row.values()))
        cursor.execute("SELECT setval(pg_get_serial_sequence('snapshot', 'seq'), 1)")


def _rows(*, has_history: bool, has_sections: bool) -> list[tuple[str, dict[str, object]]]:
    source = {**_SOURCE, **(_SINCE_HISTORY if has_history else {}), **(_SINCE_SECTIONS if has_sections else {})}
    return [("source", source), ("snapshot", dict(_SNAPSHOT)), ("body", dict(_BODY))]


def _insert(table: str, row: dict[str, object], mark: str) -> str:
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join([mark] * len(row))})"


@pytest.mark.parametrize("place", _OLD, indirect=True, ids=lambda given: f"{given[0]} {given[1]}")
def test_what_an_older_version_kept_is_there(place: str) -> None:
    store = open_store(place)
    (source,) = store.sources()
    assert (source.name, source.project, source.critical, source.active_sessions) == ("app", "", 0, 2)
    (line,) = store.snapshots(source.id, 10)
    assert (line.has_body, store.body(line.id)) == (True, _TOLD.body)
    store.keep(snapshot(T0 + 60, database=counters(61)), T0 + 60)
    while store.roll_up(T0 + 60):
        pass
    store.retention = Retention(raw_s=1e10)
    assert store.stats().snapshots == 2
    assert [each.id for each in store.sources()] == [source.id]
    assert set(store.sections(source.id, ["bloat", "database"])) == {"bloat", "database"}
    store.close()


@pytest.mark.parametrize("place", [("sqlite", 1)], indirect=True, ids=["sqlite 1"])
def test_figures_of_snapshots_from_before_there_were_figures(place: str) -> None:
    store = open_store(place)
    store.keep(snapshot(T0 + 60, database=counters(61)), T0 + 60)
    while store.roll_up(T0 + 60):
        pass
    found = store.series(store.sources()[0].id, [COMMITS], T0, T0 + 60, 1)
    assert found is not None
    assert found.values[COMMITS] == [1]  # the old snapshot counts as well
    store.close()


@pytest.mark.parametrize("place", _OLD, indirect=True, ids=lambda given: f"{given[0]} {given[1]}")
def test_it_is_brought_up_to_date_once(place: str) -> None:
    for _ in range(2):
        open_store(place).close()
    store = open_store(place)
    assert store.stats().snapshots == 1
    store.close()


@pytest.mark.parametrize("kind", ["database", "store"])
def test_a_store_of_a_newer_version_is_refused(cli: Cli, kind: str, tmp_path: Path, store_dsn: str) -> None:
    """In one line that says what to do."""
    place = str(tmp_path / "serve.db") if kind == "database" else store_dsn
    store = open_store(place)
    store._db.run(
        "PRAGMA user_version = 99" if kind == "database" else "UPDATE progress SET value = 99 WHERE name = 'schema'"
    )
    store.close()
    ended = cli.run("serve", "--port", "0", f"--{kind}", place)
    told = ": made by a newer PGDoctor; start that version, or restore a backup from before the upgrade\n"
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.endswith(told)


@pytest.mark.parametrize("kind", list(RECORDED))
def test_what_older_stores_were_made_by_does_not_change(kind: str) -> None:
    scripts = {"sqlite": schema.MIGRATIONS, "postgres": postgres_schema.MIGRATIONS}[kind]
    made_by = tuple(hashlib.sha256(" ".join(script.split()).encode()).hexdigest()[:16] for script in scripts)
    assert made_by == RECORDED[kind]
