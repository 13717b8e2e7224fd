"""What is told of replication, its slots, subscriptions, WAL and archiving: a real standby, and real trouble."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycogreen.gevent import gevent_wait_callback
from psycopg2.extensions import set_wait_callback
from psycopg2.extras import PhysicalReplicationConnection

from pgdoctor_lib.collectors.registry import query
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from tests.collectors.conftest import Collect
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

OURS = {"replication", "slots", "subscriptions", "publications", "conflicts", "wal", "archiver", "wal_receiver"}
STANDBY_ONLY = ("conflicts", "conflicts.total", "wal_receiver")
pytestmark = pytest.mark.collects(*OURS)
RECORDED = Path(__file__).with_name("columns")
MB = 1024 * 1024
TRANSACTIONS = "DO $$BEGIN FOR i IN 1..20 LOOP CREATE TEMP TABLE x (); DROP TABLE x; COMMIT; END LOOP; END$$"


@pytest.fixture(scope="module")
def primary(server: Server) -> Iterator[Server]:
    """Logical WAL, some of it kept, and little memory to decode it."""
    keep = {"wal_keep_size": "64MB"} if server.major >= 13 else {"wal_keep_segments": 4}
    memory = {"logical_decoding_work_mem": "64kB"} if server.major >= 13 else {}
    made = Server.create(
        server.major,
        server.programs,
        wal_level="logical",
        wal_retrieve_retry_interval="200ms",
        max_logical_replication_workers=7,
        **keep,
        **memory,
    )
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def follower(primary: Server) -> Iterator[Server]:
    """A standby of `primary` where replay waits for no query."""
    made = Server.create_standby(primary)
    made.sql("ALTER SYSTEM SET max_standby_streaming_delay = 0")
    made.sql("SELECT pg_reload_conf()")
    yield made
    made.destroy()


@pytest.fixture
def app(primary: Server) -> Database:
    """A database of `primary` that goes with it."""
    return primary.new_database()


def fill(server: Server, megabytes: int) -> None:
    """Write that much WAL in a transaction of its own, without leaving rows."""
    server.sql("CREATE TABLE IF NOT EXISTS filler (x text); ALTER TABLE filler ALTER x SET STORAGE PLAIN")
    server.sql("INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, 130 * %s)", (megabytes,))
    server.sql("TRUNCATE filler")


def sender(found: Any, slot_name: str | None) -> Any:
    [row] = [each for each in found.sections["replication"]["senders"] if each["slot_name"] == slot_name]
    return row


def test_a_standby_that_lags(primary: Server, follower: Server, collect: Collect) -> None:
    fill(primary, 1)
    follower.catch_up()
    before = follower.sql("SELECT pg_last_xact_replay_timestamp()")
    follower.sql("SELECT pg_wal_replay_pause()")
    try:
        fill(primary, 3)
        sending = wait_for(lambda: received(collect(primary.dsn()), follower), "the standby has not received it")
        here = wait_for(lambda: fed_and_paused(collect(follower.dsn())), "it is not at rest")
    finally:
        follower.sql("SELECT pg_wal_replay_resume()")
    assert (sending["state"], sending["sync_state"], sending["sync_priority"]) == ("streaming", "async", 0)
    assert 0 <= sending["reply_age_s"] < 60
    assert (here["status"], here["slot_name"], here["sender_host"]) == (
        "streaming",
        follower._slot,
        primary.socket_dir,
    )
    assert (here["sender_port"], here["received_tli"], here["hot_standby_feedback"]) == (primary.port, 1, True)
    assert here["replay_lag_bytes"] > 2 * MB
    assert here["replay_lag_s"] > 0
    assert here["flushed_lsn"] == here["latest_end_lsn"] == here["receive_lsn"] != here["replay_lsn"]
    assert (here["written_lsn"] is None) is (follower.major < 13)
    assert here["is_wal_replay_paused"] is True
    assert here["replay_pause_state"] == ("paused" if follower.major >= 14 else None)
    assert (here["has_primary_conninfo"], here["has_restore_command"]) == (True, False)
    assert (here["max_standby_streaming_delay_s"], here["max_standby_archive_delay_s"]) == (0, 30)
    assert here["recovery_min_apply_delay_s"] == 0

    follower.catch_up()
    here = wait_for(lambda: idle(collect(follower.dsn())), "the standby still has something to replay")
    assert (here["replay_lag_s"], here["is_wal_replay_paused"]) == (None, False)
    assert follower.sql("SELECT pg_last_xact_replay_timestamp()") > before
    assert "wal_receiver" not in collect(primary.dsn()).sections


def received(document: Any, follower: Server) -> Any:
    sending = sender(document, follower._slot)
    lags = [sending[f"{lag}_lag_bytes"] for lag in ("sent", "write", "flush")]
    return sending if lags == [0, 0, 0] and sending["replay_lag_bytes"] > 2 * MB else None


def fed_and_paused(document: Any) -> Any:
    """Of the server's own accord some WAL may come at any time, and a pause begins with the next record."""
    here = document.sections["wal_receiver"]
    is_fed = here["receive_lag_bytes"] == 0 and here["flushed_lsn"] == here["latest_end_lsn"]
    return here if is_fed and here["replay_pause_state"] != "pause requested" else None


def idle(document: Any) -> Any:
    here = document.sections["wal_receiver"]
    return here if here["replay_lag_bytes"] == 0 else None


def test_a_standby_whose_primary_is_gone(newest_server: Server, make_server, standby, collect: Collect) -> None:
    gone = make_server()
    follower = standby(gone)
    follower.sql("ALTER SYSTEM SET restore_command = 'false hunter2'")
    follower.sql("SELECT pg_reload_conf()")
    gone.stop()
    here = wait_for(lambda: unfed(collect(follower.dsn())), "the receiver is still there")
    assert (here["status"], here["sender_host"], here["last_msg_age_s"]) == (None, None, None)
    assert (here["replay_lag_bytes"], here["replay_lag_s"]) == (0, None)
    assert (here["has_primary_conninfo"], here["has_restore_command"]) == (True, True)
    assert "hunter2" not in str(here)


def unfed(document: Any) -> Any:
    here = document.sections["wal_receiver"]
    return here if here["pid"] is None else None


def test_a_standby_that_sends_on(primary: Server, follower: Server, collect: Collect) -> None:
    follower.sql("SELECT pg_create_physical_replication_slot('cascading')")
    connection = psycopg2.connect(
        host=follower.socket_dir,
        port=follower.port,
        user="postgres",
        application_name="cascaded",
        connection_factory=PhysicalReplicationConnection,
    )
    try:
        with connection.cursor() as cursor:
            [(received,)] = follower.sql("SELECT pg_last_wal_replay_lsn()")
            set_wait_callback(None)  # psycopg2 does not let it be while replicating
            cursor.execute("IDENTIFY_SYSTEM")
            cursor.start_replication("cascading", start_lsn=received)
            set_wait_callback(gevent_wait_callback)
            sending = wait_for(
                lambda: [
                    each
                    for each in collect(follower.dsn()).sections["replication"]["senders"] or ()
                    if each["state"] == "streaming" and each["sent_lag_bytes"] == 0
                ],
                "nothing is sent on",
            )
            assert [(each["application_name"], each["slot_name"]) for each in sending] == [("cascaded", "cascading")]
            assert collect(follower.dsn()).row("slots", slot_name="cascading")["active"] is True
    finally:
        set_wait_callback(gevent_wait_callback)
        follower.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        connection.close()
    drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
    wait_for(lambda: follower.sql(drop), "the slot is still in use")


def test_slots_that_hold_wal(primary: Server, app: Database, collect: Collect) -> None:
    app.sql("SET statement_timeout = '20s'; SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')")
    app.sql("SELECT pg_create_physical_replication_slot('left_behind', true)")
    app.sql("SELECT pg_create_physical_replication_slot('never_used')")
    app.sql("CREATE TABLE t (x text); INSERT INTO t SELECT repeat('x', 100) FROM generate_series(1, 5000)")
    app.sql(TRANSACTIONS)
    app.sql("SELECT count(*) FROM pg_logical_slot_get_changes('decoded', NULL, NULL)")
    app.sql(TRANSACTIONS)
    fill(primary, 3)
    found = collect(app.dsn)
    held = found.row("slots", slot_name="left_behind")
    assert (held["slot_type"], held["active"], held["active_pid"], held["temporary"]) == (
        "physical",
        False,
        None,
        False,
    )
    assert held["retained_bytes"] > 3 * MB
    assert (held["plugin"], held["database"], held["confirmed_flush_lsn"], held["catalog_xmin_age"]) == (None,) * 4
    unused = found.row("slots", slot_name="never_used")
    assert (unused["restart_lsn"], unused["retained_bytes"], unused["wal_status"]) == (None, None, None)
    decoded = found.row("slots", slot_name="decoded")
    assert (decoded["slot_type"], decoded["plugin"], decoded["database"]) == ("logical", "test_decoding", app.name)
    assert 3 * MB < decoded["confirmed_flush_lag_bytes"] <= decoded["retained_bytes"] <= held["retained_bytes"]
    assert decoded["catalog_xmin_age"] >= 20
    major = primary.major
    assert held["wal_status"] == ("reserved" if major >= 13 else None)
    assert decoded["two_phase"] is (False if major >= 14 else None)
    assert decoded["conflicting"] is (False if major >= 16 else None)
    assert (decoded["failover"], decoded["synced"]) == ((False, False) if major >= 17 else (None, None))
    assert (held["inactive_s"] is not None and held["inactive_s"] >= 0) is (major >= 17)
    total = found.sections["slots"]["total"]
    names = {row["slot_name"] for row in found.sections["slots"]["rows"]}
    assert (total["count"], names) == (len(names), names | {"decoded", "left_behind", "never_used"})
    assert total["retained_bytes"] >= held["retained_bytes"] == total["inactive_retained_bytes"]
    assert total["logical_count"] == 1
    assert (total["max_replication_slots"], total["max_slot_wal_keep_size_bytes"]) == (10, None)
    assert total["lost_count"] == (0 if major >= 13 else None)
    if major >= 14:
        decoded = wait_for(lambda: spilled(collect(app.dsn)), "what was decoded has not been counted")
        assert decoded["total_txns"] > 0
        assert decoded["spill_bytes"] > 0
        assert decoded["stream_txns"] == 0
    else:
        assert (decoded["spill_txns"], decoded["total_bytes"], decoded["stats_reset"]) == (None, None, None)
    for name in ("decoded", "left_behind", "never_used"):
        app.sql("SELECT pg_drop_replication_slot(%s)", (name,))


def spilled(document: Any) -> Any:
    slot = document.row("slots", slot_name="decoded")
    return slot if slot["spill_txns"] else None


def test_a_slot_that_is_lost(make_server: Callable[..., Server], collect: Collect) -> None:
    server = make_server(max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB")
    for name in ("lost", "kept"):
        server.sql("SELECT pg_create_physical_replication_slot(%s, %s)", (name, name == "lost"))
    for _ in range(4):
        fill(server, 1)
        server.sql("SELECT pg_switch_wal()")
    server.sql("CHECKPOINT")
    found = collect(server.dsn())
    lost = found.row("slots", slot_name="lost")
    assert (lost["wal_status"], lost["restart_lsn"], lost["safe_wal_size_bytes"]) == ("lost", None, None)
    if server.major >= 17:
        assert lost["invalidation_reason"] == "wal_removed"
    total = found.sections["slots"]["total"]
    assert (total["lost_count"], total["inactive_count"], total["max_slot_wal_keep_size_bytes"]) == (1, 2, MB)


def test_subscriptions(primary: Server, collect: Collect) -> None:
    source, target, other = (primary.new_database() for _ in range(3))
    word = secrets.token_hex(3)
    conninfo = f"host={primary.socket_dir} port={primary.port} user=postgres password=hunter2 dbname={source.name}"
    for database in (source, target):
        database.sql("CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE late (id int PRIMARY KEY)")
        database.sql("CREATE TABLE taken (id int PRIMARY KEY)")
    source.sql("INSERT INTO good VALUES (1); INSERT INTO late VALUES (1)")
    target.sql("INSERT INTO late VALUES (1); INSERT INTO taken VALUES (7)")
    for name, options in (("good", ""), ("late", ""), ("taken", ", copy_data = false")):
        slot = f"{name}_{word}"
        source.sql(f"CREATE PUBLICATION {name} FOR TABLE {name}")
        source.sql(f"SET statement_timeout = '20s'; SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
        target.sql(
            f"CREATE SUBSCRIPTION {name} CONNECTION '{conninfo}' PUBLICATION {name}"
            f" WITH (create_slot = false, slot_name = '{slot}'{options})"
        )
    for name in ("idle", "good"):
        subscribe = f"CREATE SUBSCRIPTION {name} CONNECTION '{conninfo}' PUBLICATION p1, p2"
        other.sql(f"{subscribe} WITH (connect = false)")
    source.sql("INSERT INTO taken VALUES (7); INSERT INTO good VALUES (2)")

    def went(document: Any) -> Any:
        good, late = (document.row("subscriptions", subname=name) for name in ("good", "late"))
        errors = document.sections["subscriptions"]["total"]
        counted = primary.major < 15 or (errors["apply_error_count"] and errors["sync_error_count"])
        ready = good["tables_by_state"] == {"r": 1} and good["pid"] and good["latest_end_lsn"]
        return document if ready and late["tables_by_state"] == {"d": 1} and counted else None

    found = wait_for(lambda: went(collect(target.dsn)), "the subscriptions have not come to where they should")
    assert OURS.isdisjoint(found.errors)
    good = found.row("subscriptions", subname="good")
    assert (good["subenabled"], good["owner"], good["subslotname"]) == (True, "postgres", f"good_{word}")
    assert (good["subpublications"], good["table_count"], good["not_ready_count"]) == (["good"], 1, 0)
    assert (good["not_ready"], good["sync_worker_count"]) == (None, 0)
    assert good["pid"] in {pid for (pid,) in target.sql("SELECT pid FROM pg_stat_subscription WHERE relid IS NULL")}
    assert 0 <= good["last_msg_age_s"] < 60
    assert 0 <= good["latest_end_age_s"] < 60
    assert 0 <= good["last_msg_lag_s"] < 60
    [(subid,)] = target.sql("SELECT DISTINCT srsubid::bigint FROM pg_subscription_rel WHERE srrelid = 'good'::regclass")
    assert good["subid"] == subid
    late = found.row("subscriptions", subname="late")
    assert late["not_ready_count"] == 1
    assert late["not_ready"] == [{"schemaname": "public", "relname": "late", "srsubstate": "d"}]
    taken = found.row("subscriptions", subname="taken")
    assert (taken["subenabled"], taken["subdisableonerr"]) == (True, False if primary.major >= 15 else None)
    if primary.major >= 15:
        assert (good["apply_error_count"], good["sync_error_count"]) == (0, 0)
        assert (late["apply_error_count"], late["sync_error_count"] > 0) == (0, True)
        assert (taken["apply_error_count"] > 0, taken["sync_error_count"]) == (True, 0)
    if primary.major >= 18:
        assert (good["confl_insert_exists"], taken["confl_insert_exists"] > 0) == (0, True)
        assert taken["confl_update_missing"] == 0
    total = found.sections["subscriptions"]["total"]
    assert (total["count"], total["enabled_count"]) == (3, 3)
    assert (total["table_count"], total["not_ready_count"]) == (3, 1)
    assert "hunter2" not in collect(target.dsn, whole=True).text

    found = collect(other.dsn)
    assert {row["subname"] for row in found.sections["subscriptions"]["rows"]} == {"idle", "good"}
    resting = found.row("subscriptions", subname="idle")
    assert (resting["subenabled"], resting["pid"], resting["subpublications"]) == (False, None, ["p1", "p2"])
    assert (resting["table_count"], resting["tables_by_state"]) == (0, None)
    assert found.row("subscriptions", subname="good")["pid"] is None
    assert found.sections["subscriptions"]["total"]["enabled_count"] == 0
    for name in ("good", "late", "taken"):
        target.sql(f"ALTER SUBSCRIPTION {name} DISABLE")


def test_publications(app: Database, collect: Collect) -> None:
    major = app.server.major
    app.sql("CREATE TABLE keyed (id int PRIMARY KEY, x int); CREATE TABLE bare (id int)")
    app.sql("CREATE TABLE whole (id int); ALTER TABLE whole REPLICA IDENTITY FULL")
    app.sql("CREATE TABLE indexed (id int NOT NULL UNIQUE)")
    app.sql("ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_id_key")
    app.sql("CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING")
    app.sql("CREATE UNLOGGED TABLE unlogged (id int); CREATE VIEW seen AS SELECT 1")
    app.sql("CREATE TABLE tree (id int) PARTITION BY RANGE (id)")
    app.sql("CREATE TABLE tree_1 PARTITION OF tree FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id)")
    app.sql("CREATE TABLE tree_1a PARTITION OF tree_1 FOR VALUES FROM (0) TO (5)")
    app.sql("CREATE TABLE tree_2 PARTITION OF tree FOR VALUES FROM (10) TO (20)")
    app.sql("CREATE PUBLICATION named FOR TABLE keyed, bare, whole, indexed, nothing")
    app.sql("CREATE PUBLICATION added FOR TABLE bare, keyed WITH (publish = 'insert')")
    app.sql("CREATE PUBLICATION everything FOR ALL TABLES")
    app.sql("CREATE PUBLICATION empty")
    if major >= 13:
        app.sql("CREATE PUBLICATION parts FOR TABLE tree")
    if major >= 15:
        app.sql("CREATE SCHEMA apart CREATE TABLE one (id int) CREATE TABLE two (id int PRIMARY KEY)")
        app.sql("CREATE PUBLICATION several FOR TABLE keyed WHERE (id > 5), TABLES IN SCHEMA apart")
        app.sql("CREATE PUBLICATION columns FOR TABLE keyed (id)")
    found = collect(app.dsn)
    assert OURS.isdisjoint(found.errors)
    rows = {row["pubname"]: row for row in found.sections["publications"]["rows"]}
    counts = dict(app.sql("SELECT pubname, count(*) FROM pg_publication_tables GROUP BY pubname"))
    assert {name: row["table_count"] for name, row in rows.items()} == {"empty": 0, **counts}
    named = rows["named"]
    assert (named["owner"], named["puballtables"], named["pubinsert"]) == ("postgres", False, True)
    assert (named["pubupdate"], named["pubdelete"], named["pubtruncate"]) == (True, True, True)
    assert named["pubviaroot"] is (False if major >= 13 else None)
    assert named["pubgencols"] == ("n" if major >= 18 else None)
    public = {"schemaname": "public"}
    assert named["without_identity"] == [public | {"relname": "bare"}, public | {"relname": "nothing"}]
    assert named["without_identity_count"] == 2
    assert (rows["added"]["pubupdate"], rows["added"]["without_identity_count"]) == (False, 0)
    assert rows["added"]["without_identity"] is None
    assert rows["everything"]["puballtables"] is True
    assert rows["everything"]["without_identity_count"] == (5 if major >= 15 else 4)
    assert next(iter(rows)) == "everything"
    assert found.sections["publications"]["total"] == {"count": len(rows), "all_tables_count": 1}
    if major >= 13:
        leaves = [public | {"relname": "tree_1a"}, public | {"relname": "tree_2"}]
        assert (rows["parts"]["table_count"], rows["parts"]["without_identity"]) == (2, leaves)
    if major >= 15:
        several = rows["several"]
        assert (several["schema_count"], several["table_count"], several["row_filter_count"]) == (1, 3, 1)
        assert several["without_identity"] == [{"schemaname": "apart", "relname": "one"}]
        assert (rows["columns"]["column_list_count"], rows["columns"]["row_filter_count"]) == (1, 0)
    else:
        assert (named["schema_count"], named["row_filter_count"], named["column_list_count"]) == (None, None, None)


def test_queries_that_replay_cancels(primary: Server, follower: Server, collect: Collect) -> None:
    database = primary.new_database()
    database.sql("CREATE TABLE read (id int)")
    follower.catch_up()
    reader = follower.connect(database.name)
    reader.autocommit = False
    with reader.cursor() as cursor:
        cursor.execute("SELECT * FROM read")
        before = collect(database_on(follower, database)).row("conflicts", datname=database.name)
        assert (before["conflicts"], before["confl_lock"]) == (0, 0)
        database.sql("TRUNCATE read")
        found = wait_for(lambda: conflicted(collect(database_on(follower, database)), database.name), "no conflict")
    row = found.row("conflicts", datname=database.name)
    kinds = [kind for kind in row if kind.startswith("confl_")]  # of ours there may be others: nothing waits for us
    assert row["conflicts"] == sum(row[kind] or 0 for kind in kinds) >= row["confl_lock"] >= 1
    assert row["confl_active_logicalslot"] == (0 if follower.major >= 16 else None)
    assert found.sections["conflicts"]["rows"][0]["datname"] == database.name
    total = found.sections["conflicts"]["total"]
    [(databases,)] = follower.sql("SELECT count(*) FROM pg_database")
    assert total["count"] == databases
    for kind in ("conflicts", "confl_lock", "confl_bufferpin"):
        assert total[kind] == sum(each[kind] for each in found.sections["conflicts"]["rows"])
    assert "conflicts" not in collect(primary.dsn()).sections


def database_on(standby: Server, database: Database) -> str:
    return standby.dsn(database.name, database.role, database.password)


def conflicted(document: Any, name: str) -> Any:
    return document if document.row("conflicts", datname=name)["conflicts"] else None


def test_an_archive_command_that_fails(server: Server, make_server, collect: Collect) -> None:
    archiving = make_server(server.major, archive_mode="on", archive_command="test hunter2 = wrong")
    archiving.sql("CREATE TABLE t AS SELECT 1")
    archiving.sql("SELECT pg_switch_wal()")
    archiver = wait_for(lambda: failed(collect(archiving.dsn())), "no failure has been counted")
    assert (archiver["archive_mode"], archiver["has_archive_command"], archiver["archive_timeout_s"]) == ("on", True, 0)
    assert archiver["has_archive_library"] is (False if server.major >= 15 else None)
    assert (archiver["archived_count"], archiver["last_archived_wal"], archiver["last_archived_age_s"]) == (
        0,
        None,
        None,
    )
    assert re.fullmatch("[0-9A-F]{24}", archiver["last_failed_wal"])
    assert 0 <= archiver["last_failed_age_s"] < 120
    ready = len([*(archiving.data / "pg_wal" / "archive_status").glob("*.ready")])
    assert 1 <= archiver["ready_count"] <= ready
    assert 0 <= archiver["oldest_ready_age_s"] < 600
    assert "hunter2" not in str(archiver)


def failed(document: Any) -> Any:
    archiver = document.sections["archiver"]
    return archiver if archiver["failed_count"] and archiver["ready_count"] else None


def test_a_server_that_archives(make_server: Callable[..., Server], collect: Collect) -> None:
    server = make_server(archive_mode="on", archive_command="true")
    server.sql("CREATE TABLE t AS SELECT 1")
    server.sql("SELECT pg_switch_wal()")
    archiver = wait_for(lambda: archived(collect(server.dsn())), "nothing was archived")
    assert (archiver["failed_count"], archiver["last_failed_time"], archiver["last_failed_age_s"]) == (0, None, None)
    assert 0 <= archiver["last_archived_age_s"] < 120
    assert archiver["oldest_ready_age_s"] is None


def archived(document: Any) -> Any:
    archiver = document.sections["archiver"]
    return archiver if archiver["archived_count"] and archiver["ready_count"] == 0 else None


def test_no_archive(database: Database, collect: Collect) -> None:
    archiver = collect(database.dsn).sections["archiver"]
    assert (archiver["archive_mode"], archiver["has_archive_command"], archiver["archived_count"]) == ("off", None, 0)
    assert (archiver["ready_count"], archiver["oldest_ready_age_s"]) == (0, None)


def test_wal(primary: Server, app: Database, collect: Collect) -> None:
    before = collect(app.dsn).sections["wal"]
    fill(primary, 2)
    written = before["lsn_bytes"] + 2 * MB
    wal = wait_for(lambda: grown(collect(app.dsn), before), "what was written has not been counted")
    assert wal["lsn_bytes"] > written
    high, low = wal["lsn"].split("/")
    assert wal["lsn_bytes"] == (int(high, 16) << 32) + int(low, 16)
    assert wal["wal_file_count"] >= 1
    assert wal["wal_files_bytes"] == wal["wal_file_count"] * wal["wal_segment_size_bytes"]
    assert (wal["wal_segment_size_bytes"], wal["wal_keep_size_bytes"]) == (16 * MB, 64 * MB)
    assert (wal["min_wal_size_bytes"], wal["max_wal_size_bytes"]) == (80 * MB, 1024 * MB)
    assert (wal["wal_level"], wal["wal_compression"], wal["full_page_writes"]) == ("logical", "off", True)
    counted = ("wal_records", "wal_fpi", "wal_bytes", "wal_buffers_full", "stats_reset")
    assert {wal[name] is None for name in counted} == {primary.major < 14}
    moved = ("wal_write", "wal_sync", "wal_write_time_ms", "wal_sync_time_ms")
    assert {wal[name] is None for name in moved} == {not 14 <= primary.major < 18}
    if 14 <= primary.major < 18:
        assert wal["wal_write"] > 0


def grown(document: Any, before: Any) -> Any:
    wal = document.sections["wal"]
    return wal if wal["wal_bytes"] is None or wal["wal_bytes"] > before["wal_bytes"] + 2 * MB else None


def test_a_role_with_no_privilege(primary: Server, follower: Server, app: Database, collect: Collect) -> None:
    name = f"bare_{secrets.token_hex(3)}"
    primary.create_role(name, "secret", grants=())
    follower.catch_up()
    found = collect(primary.dsn(app.name, name, "secret"))
    assert OURS - {"conflicts", "wal_receiver"} <= set(found.sections)
    assert OURS.isdisjoint(found.errors)
    assert (found.sections["wal"]["wal_file_count"], found.sections["archiver"]["ready_count"]) == (None, None)
    assert found.sections["wal"]["lsn_bytes"] > 0
    assert found.sections["slots"]["total"]["count"] >= 1
    sending = sender(found, follower._slot)
    assert (sending["state"], sending["replay_lag_bytes"]) == (None, None)
    found = collect(follower.dsn(app.name, name, "secret"))
    assert OURS - {"subscriptions"} <= set(found.sections)
    assert OURS.isdisjoint(found.errors)
    here = found.sections["wal_receiver"]
    assert (here["pid"] > 0, here["status"], here["has_primary_conninfo"]) == (True, None, None)
    assert here["replay_lag_bytes"] == 0


def test_columns_on_a_standby(follower: Server) -> None:
    with connect(Dsn.parse(follower.dsn(), {})) as session:
        has = session.facts.has
    for name in STANDBY_ONLY:
        connection = follower.connect()
        with connection.cursor() as cursor:
            cursor.execute(query(name).sql(has))
            described = [(column.name, column.type_code) for column in cursor.description]
            cursor.execute("SELECT oid, format_type(oid, NULL) FROM pg_type")
            types = dict(cursor.fetchall())
        found = [f"{column} {types[code]}" for column, code in described]
        assert found == (RECORDED / f"{name}.txt").read_text().splitlines()
