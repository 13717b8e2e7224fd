"""What the sections activity, locks, horizon, prepared and progress say of planted situations."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
import pytest

from tests.collectors.conftest import Collect, Document
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

OURS = ("activity", "locks", "horizon", "prepared", "progress")
pytestmark = pytest.mark.collects(*OURS)
HOSTILE = 'it\'s "%s" $1 \\ \n<b>é😀\u202e'
QUOTED = '"' + HOSTILE.replace('"', '""') + '"'
SLOW = (  # an index on it is built when nobody holds the advisory lock 7
    "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(7); RETURN $1; END'"
)


def run(session: Any, *statements: str) -> int:
    """Run them in a session; its process."""
    for statement in statements:
        session.cursor().execute(statement)
    return session.info.backend_pid


@contextmanager
def running(session: Any, statement: str) -> Iterator[int]:
    """The process that runs `statement`, which is cancelled at the end, where it has not ended by then."""

    def execute() -> None:
        with suppress(psycopg2.Error):
            session.cursor().execute(statement)

    thread = threading.Thread(target=execute)
    thread.start()
    try:
        yield session.info.backend_pid
    finally:
        session.cancel()
        thread.join()


def lock(document: Document, pid: int) -> dict[str, Any]:
    return document.row("locks", pid=pid)


@pytest.fixture
def waiters(collect: Collect) -> Callable[[str, int], Document]:
    """`waiters(dsn, n)`: what is collected as soon as `n` sessions wait."""

    def waiting(dsn: str, number: int) -> Document:
        def found() -> Document | None:
            document = collect(dsn)
            return document if document.sections["locks"]["total"]["count"] == number else None

        return wait_for(found, f"never {number} waiters")

    return waiting


@pytest.fixture(params=["oldest_server", "newest_server"])
def two_phase(request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> Server:
    """A server for this test alone that takes prepared transactions and logical slots."""
    major = request.getfixturevalue(request.param).major
    return make_server(major, max_prepared_transactions=10, wal_level="logical", autovacuum="off")


def test_a_chain_of_three_is_a_tree(database: Database, waiters: Callable[[str, int], Document]) -> None:
    database.sql(f"CREATE TABLE {QUOTED} (id int PRIMARY KEY); INSERT INTO {QUOTED} VALUES (1), (2)")
    update = f"UPDATE {QUOTED} SET id = id WHERE id = "
    a, b, c = (database.server.connect(database.name) for _ in range(3))
    root, middle = run(a, "BEGIN", update + "1"), run(b, "BEGIN", update + "2")
    with running(b, update + "1"):
        waiters(database.dsn, 1)
        with running(c, update + "2") as last:
            found = waiters(database.dsn, 2)
    assert [row["pid"] for row in found.sections["locks"]["rows"]] == [middle, last]
    tree = {pid: [lock(found, pid)[key] for key in ("parent_pid", "root_pid", "depth")] for pid in (middle, last)}
    assert tree == {middle: [root, root, 1], last: [middle, root, 2]}
    assert [(each["pid"], each["state"], each["waits"]) for each in lock(found, middle)["blockers"]] == [
        (root, "idle in transaction", False)
    ]
    assert [(each["pid"], each["waits"]) for each in lock(found, last)["blockers"]] == [(middle, True)]
    assert {lock(found, pid)["row_relname"] for pid in (middle, last)} == {HOSTILE}
    assert lock(found, last)["waiting_s"] <= lock(found, middle)["waiting_s"]
    total = found.sections["locks"]["total"]
    assert (total["root_count"], total["prepared_root_count"]) == (1, 0)
    assert total["waiting_by_locktype"] == {"transactionid": 2}
    assert total["longest_waiting_s"] >= lock(found, last)["waiting_s"] - 1  # each by its own look at the clock
    assert found.sections["activity"]["total"]["lock_wait_count"] == 2
    assert found.errors.keys().isdisjoint({"locks", "activity"})


def test_readers_queue_behind_a_waiting_alter(
    newest_database: Database, waiters: Callable[[str, int], Document]
) -> None:
    newest_database.sql("CREATE TABLE t (id int)")
    reader, ddl, *others = (newest_database.server.connect(newest_database.name) for _ in range(4))
    root = run(reader, "BEGIN", "SELECT * FROM t")
    with running(ddl, "ALTER TABLE t ADD x int") as middle:
        waiters(newest_database.dsn, 1)
        with running(others[0], "SELECT * FROM t") as one, running(others[1], "SELECT * FROM t") as two:
            found = waiters(newest_database.dsn, 3)
    assert lock(found, middle)["root_pid"] == root
    for pid in (one, two):
        row = lock(found, pid)
        assert (row["parent_pid"], row["root_pid"], row["depth"], row["relname"]) == (middle, root, 2, "t")
    assert found.sections["locks"]["total"]["root_count"] == 1


def test_more_waiters_than_are_shown(newest_database: Database, waiters: Callable[[str, int], Document]) -> None:
    newest_database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    sessions = [newest_database.server.connect(newest_database.name) for _ in range(55)]
    root, middle = run(sessions[0], "BEGIN", "SELECT FROM t WHERE id = 1 FOR UPDATE"), sessions[1]
    run(middle, "BEGIN", "SELECT pg_advisory_lock(1)")
    with running(sessions[2], "SELECT pg_advisory_lock_shared(1)"):
        waiters(newest_database.dsn, 1)
        with _all_running(sessions[3:], "SELECT pg_advisory_lock_shared(1)"):
            waiters(newest_database.dsn, 53)
            with running(middle, "UPDATE t SET id = 1 WHERE id = 1") as between:  # which waits last of all
                found = waiters(newest_database.dsn, 54)
    locks = found.sections["locks"]
    assert (len(locks["rows"]), locks["more"]) == (51, 3)
    assert {(row["root_pid"], row["depth"]) for row in locks["rows"][:50]} == {(root, 2)}
    assert (locks["rows"][50]["pid"], locks["rows"][50]["depth"]) == (between, 1)
    assert (locks["rows"][0]["classid"], locks["rows"][0]["objid"]) == (0, 1)
    assert locks["total"]["root_count"] == 1


@contextmanager
def _all_running(sessions: list[Any], statement: str) -> Iterator[None]:
    if not sessions:
        yield
        return
    with running(sessions[0], statement), _all_running(sessions[1:], statement):
        yield


def test_a_deadlock_has_no_root(make_server: Callable[..., Server], waiters: Callable[[str, int], Document]) -> None:
    server = make_server(deadlock_timeout="60s")
    one, two = server.connect(), server.connect()
    run(one, "SELECT pg_advisory_lock(1)")
    run(two, "SELECT pg_advisory_lock(2)")
    with running(one, "SELECT pg_advisory_lock(2)") as first, running(two, "SELECT pg_advisory_lock(1)") as second:
        found = waiters(server.dsn(), 2)
    assert (lock(found, first)["parent_pid"], lock(found, second)["parent_pid"]) == (second, first)
    assert {(row["root_pid"], row["depth"]) for row in found.sections["locks"]["rows"]} == {(None, None)}
    assert found.sections["locks"]["total"]["root_count"] == 0


def test_a_prepared_transaction_blocks_and_holds_xmin(
    two_phase: Server, collect: Collect, waiters: Callable[[str, int], Document]
) -> None:
    gid = 'it\'s "%s" $1 <b>é😀'
    two_phase.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    session, bystander = two_phase.connect(), two_phase.connect()
    run(session, "BEGIN", "UPDATE t SET id = id WHERE id = 1")
    session.cursor().execute("PREPARE TRANSACTION %s", (gid,))
    run(bystander, "BEGIN", "UPDATE t SET id = id WHERE id = 2", "PREPARE TRANSACTION 'bystander'")
    with running(session, "UPDATE t SET id = id WHERE id = 1") as row_waiter:
        waiters(two_phase.dsn(), 1)
        run(bystander, "BEGIN")
        with running(bystander, "LOCK TABLE t") as table_waiter:
            found = waiters(two_phase.dsn(), 2)
    by_row, by_table = lock(found, row_waiter), lock(found, table_waiter)
    assert (by_row["blocking_pids"], by_row["parent_pid"], by_row["root_pid"], by_row["depth"]) == ([0], 0, 0, 1)
    [blocker] = by_row["blockers"]
    assert (blocker["pid"], blocker["gid"], blocker["state"], blocker["usename"]) == (0, gid, "prepared", "postgres")
    assert {each["gid"] for each in by_table["blockers"] if each["pid"] == 0} == {gid, "bystander"}
    total = found.sections["locks"]["total"]
    assert (total["root_count"], total["prepared_root_count"]) == (2, 2)
    prepared = found.sections["prepared"]
    assert [(row["gid"], row["owner"], row["datname"]) for row in prepared["rows"]] == [
        (gid, "postgres", "postgres"),
        ("bystander", "postgres", "postgres"),
    ]
    assert prepared["rows"][0]["xid_age"] == prepared["rows"][1]["xid_age"] + 1 == prepared["total"]["oldest_xid_age"]
    assert (prepared["total"]["count"], prepared["total"]["max_prepared_transactions"]) == (2, 10)
    assert prepared["total"]["oldest_age_s"] + 1 >= prepared["rows"][0]["age_s"] > 0
    horizon = found.sections["horizon"]
    assert (horizon["oldest_source"], horizon["prepared_gid"]) == ("prepared", gid)
    assert horizon["oldest_xmin"] == prepared["rows"][0]["transaction"]
    assert horizon["prepared_xmin_age"] == horizon["oldest_xmin_age"] == prepared["rows"][0]["xid_age"]
    two_phase.restart(max_prepared_transactions=10)  # those that are prepared survive, and get other virtual ids
    session = two_phase.connect()
    with running(session, "UPDATE t SET id = id WHERE id = 1") as pid:
        found = waiters(two_phase.dsn(), 1)
    assert [each["gid"] for each in lock(found, pid)["blockers"]] == [gid]
    assert found.sections["locks"]["total"]["prepared_root_count"] == 1
    for each in (gid, "bystander"):
        session.cursor().execute("ROLLBACK PREPARED %s", (each,))
    assert collect(two_phase.dsn()).sections["prepared"]["rows"] == []


def test_a_slot_holds_xmin(two_phase: Server, collect: Collect) -> None:
    before = collect(two_phase.dsn()).sections["horizon"]
    assert {value for key, value in before.items() if key != "session_count"} == {None}
    two_phase.sql("SELECT pg_create_logical_replication_slot('planted', 'pgoutput')")
    burn(two_phase, 5)
    session = two_phase.connect()
    run(session, "BEGIN", "SELECT txid_current()")
    horizon = collect(two_phase.dsn()).sections["horizon"]
    assert (horizon["oldest_source"], horizon["catalog_slot_name"]) == ("catalog_slot", "planted")
    assert (horizon["catalog_slot_active"], horizon["catalog_slot_type"]) == (False, "logical")
    assert horizon["oldest_xmin_age"] == horizon["catalog_slot_xmin_age"] >= horizon["session_xmin_age"] + 5
    assert horizon["slot_name"] is None
    assert (horizon["catalog_slot_inactive_since"] is not None) == (two_phase.major >= 17)


def burn(server: Server, number: int) -> None:
    """Use up that many transaction ids."""
    session = server.connect()
    for _ in range(number):
        session.cursor().execute("SELECT txid_current()")
    session.close()


def test_a_standbys_feedback_holds_xmin(
    fresh_server: Server, standby: Callable[[Server], Server], collect: Collect
) -> None:
    copy = standby(fresh_server)
    copy.restart(wal_receiver_status_interval=1)
    with_slot = wait_for(lambda: _holding(collect(fresh_server.dsn()), "slot_name"), "no xmin at the slot")
    assert (with_slot["slot_active"], with_slot["slot_type"]) == (True, "physical")
    assert with_slot["feedback_pid"] is None
    on_standby = collect(copy.dsn())
    assert "horizon" in on_standby.sections
    assert {"locks", "prepared", "progress", "activity"} <= on_standby.sections.keys()
    copy.restart(primary_slot_name="", wal_receiver_status_interval=1)
    without = wait_for(lambda: _holding(collect(fresh_server.dsn()), "feedback_pid"), "no xmin at the sender")
    assert without["feedback_application_name"] == "walreceiver"
    assert without["feedback_xmin_age"] >= 0
    assert without["session_backend_type"] != "walsender"


def _holding(document: Document, key: str) -> dict[str, Any] | None:
    horizon = document.sections["horizon"]
    return horizon if horizon[key] is not None else None


def test_sessions_hold_xmin(database: Database, collect: Collect) -> None:
    reader, writer, follower, idle = (database.server.connect(database.name) for _ in range(4))
    snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    pid = run(reader, f"SET application_name = {QUOTED}", snapshot, "SELECT 1")
    run(idle, "BEGIN", "SELECT 1")
    burn(database.server, 3)
    horizon = wait_for(lambda: _held_by(collect(database.dsn), pid), "the reader does not hold xmin")
    assert (horizon["session_has_xid"], horizon["session_state"]) == (False, "idle in transaction")
    assert (horizon["session_datname"], horizon["oldest_source"]) == (database.name, "session")
    assert horizon["oldest_xmin_age"] == horizon["session_xmin_age"] >= 3
    assert horizon["session_xact_age_s"] >= horizon["session_state_age_s"] >= 0
    run(reader, "COMMIT")
    run(follower, snapshot)
    written = run(writer, "BEGIN", "SELECT txid_current()")
    run(follower, "SELECT 1")  # its snapshot is as old as the writer's transaction
    horizon = wait_for(lambda: _held_by(collect(database.dsn), written), "the writer does not hold xmin")
    assert (horizon["session_has_xid"], horizon["session_count"]) == (True, 2)
    for session in (follower, idle, reader, writer):
        session.close()


def _held_by(document: Document, pid: int) -> dict[str, Any] | None:
    horizon = document.sections["horizon"]
    return horizon if horizon["session_pid"] == pid else None


def test_sessions_are_counted(database: Database, collect: Collect) -> None:
    database.sql(f"ALTER ROLE {database.role} CONNECTION LIMIT 17; ALTER DATABASE {database.name} CONNECTION LIMIT 23")
    own = [database.server.connect(database.name, database.role, database.password) for _ in range(4)]
    idle, reader, writer, active = own
    run(idle, f"SET application_name = '{'x' * 63}'", "SELECT 1")
    run(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
    run(writer, "BEGIN", "SELECT txid_current()")
    with running(active, "SELECT pg_sleep(1000)") as sleeping:
        total = wait_for(lambda: _counted(collect(database.dsn), database.name, 4), "never four sessions")
        found = collect(database.dsn)
    counts = {"count": 4, "active_count": 1, "idle_in_transaction_count": 2}
    assert {"usename": database.role, "rolconnlimit": 17, **counts} in total["by_user"]
    assert {"datname": database.name, "datconnlimit": 23, **counts} in total["by_database"]
    assert {"application_name": "x" * 63, "count": 1, "active_count": 0, "idle_in_transaction_count": 0} in (
        total["by_application"]
    )
    sleeps = {"state": "active", "wait_event_type": "Timeout", "wait_event": "PgSleep", "count": 1}
    assert sleeps in total["by_wait_event"]
    parts = ("", "_xid", "_xmin")
    assert [total[f"idle_in_transaction{part}_count"] for part in parts] == [2, 1, 1]
    assert total["idle_hour_count"] == 0
    assert found.row("activity", pid=sleeping)["parallel_worker_count"] == (0 if database.server.major >= 13 else None)


def _counted(document: Document, name: str, number: int) -> dict[str, Any] | None:
    total = document.sections["activity"]["total"]
    rows = [row for row in total["by_database"] or () if row["datname"] == name]
    full = rows and (rows[0]["count"], rows[0]["active_count"]) == (number, 1)
    return total if full and "PgSleep" in str(total["by_wait_event"]) else None


def test_long_queries_and_idle_transactions_are_shown(newest_database: Database, collect: Collect) -> None:
    """However many older transactions there are: those rank first, and 20 of them are shown."""
    server = newest_database.server
    sessions = [server.connect(newest_database.name) for _ in range(27)]
    for session in sessions:
        run(session, "BEGIN", "SELECT 1")
    for session in sessions[:20]:  # the oldest transactions, and the shortest in their state
        run(session, "SELECT 2")
    last = sessions[26]
    with running(last, "SELECT pg_sleep(1000)") as pid:
        found = wait_for(lambda: _with_query(collect(newest_database.dsn), pid), "the query is not shown")
    shown = {row["pid"] for row in found.sections["activity"]["rows"]}
    assert {session.info.backend_pid for session in sessions} <= shown
    assert found.row("activity", pid=pid)["query"] == "SELECT pg_sleep(***)"


def _with_query(document: Document, pid: int) -> Document | None:
    rows = [row for row in document.sections["activity"]["rows"] if row["pid"] == pid]
    return document if rows and rows[0]["wait_event"] == "PgSleep" else None


@pytest.mark.pg(">= 13")
def test_parallel_workers_and_their_leader(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("CREATE TABLE t AS SELECT 1 AS id; ALTER TABLE t SET (parallel_workers = 2)")
    newest_database.sql(SLOW + " PARALLEL SAFE")
    holder, leader = (newest_database.server.connect(newest_database.name) for _ in range(2))
    run(holder, "SELECT pg_advisory_lock(8)")
    plan = "parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"
    run(leader, f"SET {plan}; SET parallel_leader_participation = off")
    query = "SELECT count(*) FROM t WHERE pg_advisory_lock_shared(8 * id) IS NOT NULL"
    newest_database.sql("ALTER FUNCTION pg_advisory_lock_shared(bigint) PARALLEL SAFE")
    with running(leader, query) as pid:
        found = wait_for(lambda: _with_workers(collect(newest_database.dsn), pid), "no parallel workers")
    workers = [row for row in found.sections["activity"]["rows"] if row["leader_pid"] == pid and row["pid"] != pid]
    assert {row["backend_type"] for row in workers} == {"parallel worker"}
    assert found.row("activity", pid=pid)["parallel_worker_count"] == len(workers)
    total = found.sections["activity"]["total"]
    assert (total["parallel_leader_count"], total["parallel_worker_count"]) == (1, len(workers))


def _with_workers(document: Document, pid: int) -> Document | None:
    rows = [row for row in document.sections["activity"]["rows"] if row["pid"] == pid]
    return document if rows and rows[0]["parallel_worker_count"] else None


def progress(collect: Collect, dsn: str, pid: int, phase: str) -> Document:
    """What is collected as soon as that process is in that phase."""

    def found() -> Document | None:
        document = collect(dsn)
        rows = [row for row in document.sections["progress"]["rows"] if row["pid"] == pid]
        return document if rows and rows[0]["phase"] == phase else None

    return wait_for(found, f"never {phase}")


def test_a_vacuum_in_progress(database: Database, collect: Collect) -> None:
    database.sql(f"CREATE TABLE {QUOTED} (id int PRIMARY KEY) WITH (autovacuum_enabled = off)")
    database.sql(f"INSERT INTO {QUOTED} SELECT generate_series(1, 20000); DELETE FROM {QUOTED} WHERE id % 2 = 0")
    session = database.server.connect(database.name)
    run(session, "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
    with running(session, f"VACUUM {QUOTED}") as pid:
        found = progress(collect, database.dsn, pid, "scanning heap")
    row = found.row("progress", pid=pid)
    assert (row["command"], row["relname"], row["schemaname"]) == ("VACUUM", HOSTILE, "public")
    assert (row["datname"], row["is_autovacuum"], row["is_wraparound"]) == (database.name, False, False)
    pages = database.sql("SELECT pg_relation_size(%s) / 8192", (QUOTED,))[0][0]
    assert (row["of"], row["heap_blks_total"], row["unit"], row["done"]) == (
        pages,
        pages,
        "blocks",
        row["heap_blks_scanned"],
    )
    assert row["percent_done"] == pytest.approx(100 * row["done"] / pages, abs=0.1)
    assert row["percent_done"] < 100
    assert row["index_vacuum_count"] == 0
    newer = ("max_dead_tuple_bytes", "dead_tuple_bytes", "num_dead_item_ids")
    told, untold = (newer, ("max_dead_tuples",)) if database.server.major >= 17 else (("max_dead_tuples",), newer)
    assert [row[key] for key in untold] == [None] * len(untold)
    assert row[told[0]] > 0
    assert found.sections["progress"]["total"]["vacuum_count"] == 1
    assert found.row("activity", pid=pid)["backend_xmin_age"] is not None
    assert found.sections["horizon"]["session_pid"] != pid


@pytest.mark.pg(">= 13")
def test_an_analyze_in_progress(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("CREATE TABLE t AS SELECT generate_series(1, 20000) AS id")
    session = newest_database.server.connect(newest_database.name)
    run(session, "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1")
    with running(session, "ANALYZE t") as pid:
        found = progress(collect, newest_database.dsn, pid, "acquiring sample rows")
    row = found.row("progress", pid=pid)
    pages = newest_database.sql("SELECT pg_relation_size('t') / 8192")[0][0]
    assert (row["command"], row["of"], row["unit"], row["done"] < pages) == ("ANALYZE", pages, "blocks", True)


def test_an_index_waits_for_a_writer(
    database: Database, collect: Collect, waiters: Callable[[str, int], Document]
) -> None:
    database.sql(f"CREATE TABLE {QUOTED} (id int)")
    writer, builder = (database.server.connect(database.name) for _ in range(2))
    writing = run(writer, "BEGIN", f"INSERT INTO {QUOTED} VALUES (1)")
    name = QUOTED.replace("it", "i")
    with running(builder, f"CREATE INDEX CONCURRENTLY {name} ON {QUOTED} (id)") as pid:
        waiters(database.dsn, 1)
        found = progress(collect, database.dsn, pid, "waiting for writers before build")
        abroad = collect(database.server.dsn())
    row = found.row("progress", pid=pid)
    assert (row["command"], row["relname"]) == ("CREATE INDEX CONCURRENTLY", HOSTILE)
    assert row["indexrelname"] == HOSTILE.replace("it", "i")
    assert (row["done"], row["of"], row["unit"], row["percent_done"]) == (0, 1, "lockers", 0)
    assert row["current_locker_pid"] == writing == lock(found, pid)["root_pid"]
    assert lock(found, pid)["locktype"] == "virtualxid"
    assert (row["wait_event_type"], row["state"]) == ("Lock", "active")
    elsewhere = abroad.row("progress", pid=pid)
    assert (elsewhere["relid"], elsewhere["relname"], elsewhere["indexrelname"]) == (row["relid"], None, None)


def test_a_table_is_rewritten_and_its_index_built(database: Database, collect: Collect) -> None:
    database.sql(f"CREATE TABLE t AS SELECT generate_series(1, 5000) AS id; {SLOW}; CREATE INDEX i ON t (slow(id))")
    holder, session = (database.server.connect(database.name) for _ in range(2))
    holding = run(holder, "SELECT pg_advisory_lock(7)")
    with running(session, "VACUUM FULL t") as pid:
        full = progress(collect, database.dsn, pid, "rebuilding index")
    with running(session, "CREATE INDEX j ON t (slow(id))") as pid:
        build = progress(collect, database.dsn, pid, "building index: scanning table")
    row = full.row("progress", pid=pid)
    assert (row["command"], row["relname"], row["tuples_done"]) == ("VACUUM FULL", "t", 5000)
    assert (row["done"], row["unit"], row["of"]) == (0, "indexes", None)
    assert (full.sections["progress"]["total"]["cluster_count"], lock(full, pid)["root_pid"]) == (1, holding)
    assert lock(full, pid)["objid"] == 7
    row = build.row("progress", pid=pid)
    assert (row["command"], row["relname"], row["unit"]) == ("CREATE INDEX", "t", "blocks")
    assert row["of"] == database.sql("SELECT pg_relation_size('t') / 8192")[0][0]
    assert build.sections["progress"]["total"]["create_index_count"] == 1


@pytest.mark.pg(">= 14")
def test_a_copy_in_progress(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("CREATE TABLE t (id int)")
    fifo = newest_database.server.folder / "fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o644)
    end = os.open(fifo, os.O_RDWR)
    session = newest_database.server.connect(newest_database.name)
    try:
        with running(session, f"COPY t FROM '{fifo}'") as pid:
            try:
                os.write(end, b"123\n" * 16384)
                found = wait_for(lambda: _with_bytes(collect(newest_database.dsn), pid), "COPY has read nothing")
            finally:
                os.close(end)  # no cancelling of COPY ends its reading
    finally:
        fifo.unlink()
    row = found.row("progress", pid=pid)
    assert (row["command"], row["phase"], row["relname"]) == ("COPY FROM", "file", "t")
    assert (row["done"], row["of"], row["unit"], row["percent_done"]) == (65536, None, "bytes", None)
    assert found.sections["progress"]["total"]["copy_count"] == 1


def _with_bytes(document: Document, pid: int) -> Document | None:
    rows = [row for row in document.sections["progress"]["rows"] if row["pid"] == pid]
    return document if rows and rows[0]["tuples_done"] >= 16000 else None


def test_a_role_without_rights_sees_that_there_is_something(newest_database: Database, collect: Collect) -> None:
    newest_database.sql(f"CREATE TABLE t (id int); REVOKE pg_monitor FROM {newest_database.role}")
    writer, builder = (newest_database.server.connect(newest_database.name) for _ in range(2))
    run(writer, "BEGIN", "INSERT INTO t VALUES (1)")
    with running(builder, "CREATE INDEX CONCURRENTLY ON t (id)") as pid:
        found = wait_for(lambda: _with_progress(collect(newest_database.dsn)), "no progress")
    assert [(row["pid"], row["phase"]) for row in found.sections["progress"]["rows"]] == [(pid, None)]
    assert found.sections["locks"]["total"]["count"] == 1
    assert {"locks", "horizon", "prepared", "progress"}.isdisjoint(found.errors)


def _with_progress(document: Document) -> Document | None:
    waits = document.sections["locks"]["total"]["count"]
    return document if waits and document.sections["progress"]["rows"] else None
