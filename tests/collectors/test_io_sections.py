"""What the sections about files and blocks say of planted situations: checkpointer, bgwriter, io, slru, tablespaces."""

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg2 import sql as compose

from pgdoctor_lib.collectors.registry import query
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from tests.collectors.conftest import Collect
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

WIDE = "INSERT INTO t SELECT g, repeat(md5(g::text), 30) FROM generate_series(1, 4000) g"  # about 4 MB
OURS = {"checkpointer", "bgwriter", "io", "slru", "tablespaces", "paths"}
pytestmark = pytest.mark.collects(*OURS)
SLRUS = {
    "commit_timestamp", "multixact_member", "multixact_offset", "notify",
    "serializable", "subtransaction", "transaction", "other",
}  # fmt: skip


@pytest.fixture
def tablespace(database: Database) -> Iterator[tuple[str, Path]]:
    """The name and the folder of a tablespace; what is in it is dropped with it."""
    name, folder = f"ts_{secrets.token_hex(4)}", database.server.folder / f"ts_{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    owner = database.server.data.stat()
    shutil.chown(folder, owner.st_uid, owner.st_gid)
    database.sql(f"CREATE TABLESPACE {name} LOCATION '{folder}' WITH (random_page_cost = 1.5)")
    yield name, folder
    database.server.hang_up()
    database.server.drop_database(database.name)
    database.server.sql(f"DROP TABLESPACE {name}")


def test_a_checkpoint(database: Database, collect: Collect) -> None:
    before = collect(database.dsn).sections["checkpointer"]
    database.sql(f"CREATE TABLE t (id int, x text); {WIDE}")
    database.sql("CHECKPOINT")
    [(blocks,)] = database.sql("SELECT pg_relation_size('t') / current_setting('block_size')::int")

    def written() -> dict:
        found = collect(database.dsn).sections["checkpointer"]
        grown = {key: found[key] - before[key] for key in ("num_requested", "buffers_written")}
        return found if grown["num_requested"] >= 1 and grown["buffers_written"] >= blocks > 400 else {}

    after = wait_for(written, "the checkpoint is not counted")
    major = database.server.major
    assert (after["write_time_ms"] + after["sync_time_ms"] > 0, after["block_size_bytes"]) == (True, 8192)
    assert after["checkpoint_time"] >= before["checkpoint_time"]
    assert 0 <= after["checkpoint_age_s"] < 300
    assert after["num_done"] is None if major < 18 else after["num_done"] > before["num_done"]
    assert after["restartpoints_done"] == (None if major < 17 else 0)
    assert (after["slru_written"] is None) == (major < 18)
    assert after["in_recovery"] is False


def test_wal_since_the_last_checkpoint(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int, x text)")
    database.sql("CHECKPOINT")
    [(redo,)] = database.sql("SELECT redo_lsn::text FROM pg_control_checkpoint()")
    near = collect(database.dsn).sections["checkpointer"]
    assert (near["redo_lsn"], near["redo_distance_bytes"] < 1_000_000) == (redo, True)
    database.sql(WIDE)
    [(most,)] = database.sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", (redo,))
    assert collect(database.dsn).sections["checkpointer"]["redo_distance_bytes"] >= most > 4_000_000


def test_a_restartpoint_of_a_standby(
    newest_database: Database, standby: Callable[[Server], Server], collect: Collect
) -> None:
    copy = standby(newest_database.server)
    dsn = copy.dsn(newest_database.name, newest_database.role, newest_database.password)
    newest_database.sql(f"CREATE TABLE t (id int, x text); {WIDE}")
    newest_database.sql("CHECKPOINT")
    copy.catch_up()
    behind = collect(dsn).sections["checkpointer"]
    assert (behind["in_recovery"], behind["redo_distance_bytes"] > 4_000_000) == (True, True)
    copy.sql("CHECKPOINT")
    counted = wait_for(lambda: _if(collect(dsn).sections["checkpointer"], "restartpoints_done"), "no restartpoint")
    assert counted["restartpoints_req"] >= 1
    assert counted["redo_distance_bytes"] < 1_000_000
    assert "bgwriter" in collect(dsn).sections


def test_settings_that_checkpoints_are_judged_by(make_server: Callable[..., Server], collect: Collect) -> None:
    server = make_server(
        checkpoint_timeout="90s", max_wal_size="1537MB", min_wal_size="96MB", checkpoint_warning=0,
        checkpoint_completion_target=0.75, bgwriter_lru_maxpages=0, bgwriter_delay="50ms", bgwriter_flush_after=0,
    )  # fmt: skip
    found = collect(server.dsn()).sections
    assert {
        "checkpoint_timeout_s": 90,
        "checkpoint_warning_s": 0,
        "checkpoint_completion_target": 0.75,
        "max_wal_size_bytes": 1537 * 1024**2,
        "min_wal_size_bytes": 96 * 1024**2,
    }.items() <= found["checkpointer"].items()
    assert {
        "shared_buffers_bytes": 32 * 1024**2,
        "bgwriter_delay_ms": 50,
        "bgwriter_lru_maxpages": 0,
        "bgwriter_lru_multiplier": 2,
        "bgwriter_flush_after_bytes": 0,
    }.items() <= found["bgwriter"].items()


def test_shared_buffers_that_are_too_small(
    server: Server, make_server: Callable[..., Server], collect: Collect
) -> None:
    """Sessions and the background writer write blocks to make room; reads come from files, and are timed."""
    small = make_server(
        server.major, shared_buffers="1MB", bgwriter_delay="10ms", bgwriter_lru_maxpages=1, track_io_timing="on"
    )
    small.sql(f"CREATE TABLE t (id int, x text); {WIDE}")
    [(size,)] = small.sql("SELECT pg_relation_size('t')")

    def stirred() -> dict:
        small.sql("UPDATE t SET id = id + 1 WHERE id % 7 = 0; SELECT count(*) FROM t")
        found = collect(small.dsn()).sections
        return found if found["bgwriter"]["maxwritten_clean"] and found["bgwriter"]["buffers_clean"] else {}

    found = wait_for(stirred, "the background writer wrote nothing")
    bgwriter = found["bgwriter"]
    assert (bgwriter["shared_buffers_bytes"], bgwriter["buffers_alloc"] > size // 8192) == (1024**2, True)
    if server.major >= 17:
        assert (bgwriter["buffers_backend"], bgwriter["buffers_backend_fsync"]) == (None, None)
    else:
        assert (bgwriter["buffers_backend"] >= size // 8192, bgwriter["buffers_backend_fsync"]) == (True, 0)
    assert ("io" in found) == (server.major >= 16)
    if server.major >= 16:
        _examine(found["io"], size)


def _examine(section: dict, size: int) -> None:
    rows, total = section["rows"], section["total"]
    kinds = {(row["backend_type"], row["object"], row["context"]): row for row in rows}
    written = kinds["client backend", "relation", "normal"]
    assert written["extend_bytes"] >= size and written["write_bytes"] >= size // 2 and written["evictions"] > 100
    scanned = kinds["client backend", "relation", "bulkread"]
    assert scanned["read_bytes"] >= size and scanned["read_time_ms"] > 0
    assert kinds["background writer", "relation", "normal"]["writes"] > 0
    assert kinds["background writer", "relation", "normal"]["reads"] is None
    counts = ("reads", "writes", "extends", "hits", "writebacks", "evictions", "reuses", "fsyncs")
    assert all(any(row[key] for key in counts) for row in rows)
    assert (total["count"], section["more"], total["track_io_timing"]) == (len(rows), 0, True)
    assert total["stats_reset"]
    for key in ("read_bytes", "write_bytes", "extend_bytes", "hits"):
        whole = sum(row[key] or 0 for row in rows)
        assert total[key] == whole > 0
        assert sum(each[key] or 0 for each in total["by_backend_type"].values()) == whole
        assert sum(each[key] or 0 for each in total["by_object"].values()) == whole
    client = sum(row["read_bytes"] or 0 for row in rows if row["backend_type"] == "client backend")
    assert total["by_backend_type"]["client backend"]["read_bytes"] == client


@pytest.mark.pg(">= 13")
def test_multixacts_and_notifications_show_in_their_slrus(database: Database, collect: Collect) -> None:
    def used() -> dict[str, int]:
        rows = collect(database.dsn).sections["slru"]["rows"]
        assert {row["name"] for row in rows} == SLRUS
        return {row["name"]: row["blks_hit"] + row["blks_read"] + row["blks_zeroed"] for row in rows}

    before = used()
    database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    first, second = (database.server.connect(database.name) for _ in range(2))
    for each in (first, second):
        each.cursor().execute("BEGIN; SELECT 1 FROM t FOR KEY SHARE")
    for each in (first, second):
        each.close()
    database.sql("NOTIFY planted")
    planted = ("multixact_member", "multixact_offset", "notify")
    wait_for(lambda: (now := used()) and all(now[name] > before[name] for name in planted), "nothing was counted")
    section = collect(database.dsn).sections["slru"]
    assert (section["total"]["count"], section["more"]) == (len(SLRUS), 0)
    assert section["total"]["blks_hit"] == sum(row["blks_hit"] for row in section["rows"])
    [size] = [row["buffers_bytes"] for row in section["rows"] if row["name"] == "transaction"]
    assert size is None if database.server.major < 17 else size >= 8192 * 16


def test_a_tablespace_with_a_table_and_a_temporary_file(
    database: Database, tablespace: tuple[str, Path], collect: Collect
) -> None:
    name, folder = tablespace
    database.sql(f"CREATE TABLE t (id int, x text) TABLESPACE {name}; {WIDE}")
    sorting, holder = (database.server.connect(database.name) for _ in range(2))
    with sorting.cursor() as cursor, holder.cursor() as other:
        cursor.execute(f"BEGIN; SET LOCAL temp_tablespaces = {name}; SET LOCAL work_mem = '64kB'")
        cursor.execute("DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 50000) g ORDER BY -g; FETCH c")
        other.execute("BEGIN; LOCK TABLE t; SELECT pg_relation_size('t')")
        [(size,)] = other.fetchall()
        [(files, temporary)] = database.sql(
            "SELECT count(*), sum(size)::bigint FROM pg_tablespace t, pg_ls_tmpdir(t.oid) WHERE spcname = %s", (name,)
        )
        document = collect(database.dsn)
    found = document.row("tablespaces", spcname=name)
    assert not OURS & document.errors.keys()
    assert (found["location"], found["owner"], found["spcoptions"]) == (
        str(folder),
        "postgres",
        ["random_page_cost=1.5"],
    )
    assert (found["temp_files"], found["temp_bytes"]) == (files, temporary)
    assert files > 0 and temporary > 500_000
    assert found["size_bytes"] >= size + temporary and size > 4_000_000
    assert found["temp_oldest_age_s"] is not None
    sorting.close()
    gone = wait_for(lambda: _if(collect(database.dsn).row("tablespaces", spcname=name), "temp_files", 0), "still there")
    assert (gone["temp_bytes"], gone["temp_oldest_age_s"]) == (0, None)
    default, shared = (document.row("tablespaces", spcname=each) for each in ("pg_default", "pg_global"))
    assert (default["location"], default["size_bytes"], default["temp_files"]) == (None, None, 0)
    assert shared["size_bytes"] > 100_000 and shared["temp_files"] is None
    assert document.sections["tablespaces"]["total"]["count"] == 3


def test_what_a_bare_role_sees_of_tablespaces(
    database: Database, tablespace: tuple[str, Path], collect: Collect
) -> None:
    name, role = tablespace[0], compose.Identifier(database.role)
    database.sql(compose.SQL("REVOKE pg_monitor FROM {}").format(role))
    hidden = collect(database.dsn)
    sizes = ("size_bytes", "temp_files", "temp_bytes")
    assert not OURS & hidden.errors.keys()
    assert [hidden.row("tablespaces", spcname=name)[key] for key in sizes] == [None, None, None]
    assert hidden.sections["checkpointer"]["redo_lsn"]
    database.sql(compose.SQL("GRANT CREATE ON TABLESPACE {} TO {}").format(compose.Identifier(name), role))
    seen = collect(database.dsn).row("tablespaces", spcname=name)
    assert (seen["size_bytes"] is not None, seen["temp_files"]) == (True, None)
    database.sql(compose.SQL("GRANT EXECUTE ON FUNCTION pg_ls_tmpdir(oid) TO {}").format(role))
    assert collect(database.dsn).row("tablespaces", spcname=name)["temp_files"] == 0
    database.sql(compose.SQL("DROP OWNED BY {}").format(role))


def test_paths(database: Database, tablespace: tuple[str, Path]) -> None:
    with connect(Dsn.parse(database.dsn, {})) as session, session.transaction():
        [row] = session.query(query("paths").sql(session.facts.has))
    data, wal, tablespaces, pid = row
    assert (data, wal) == (str(database.server.data), f"{database.server.data}/pg_wal")
    assert tablespaces.replace(" ", "") == f'{{"{tablespace[0]}":"{tablespace[1]}"}}'
    assert "checkpointer" in Path(f"/proc/{pid}/cmdline").read_text()


def _if(row: dict, key: str, value: object = None) -> dict | None:
    """`row` where that is there, or has that value."""
    return row if (row[key] if value is None else row[key] == value) else None
