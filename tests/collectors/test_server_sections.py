"""What is told of the server as a whole: itself, its settings, databases and extensions, and its autovacuum."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from pgdoctor_lib.errors import DatabaseError
from tests.collectors.conftest import Collect, Document
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

OURS = ("server", "settings", "extensions", "databases", "database_sizes", "autovacuum", "autovacuum_queue")
pytestmark = pytest.mark.collects(*OURS)
MakeServer = Callable[..., Server]


# server


def test_the_server(database: Database, collect: Collect) -> None:
    server = database.server
    before = collect(database.dsn).sections["server"]
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id")
    after = collect(database.dsn).sections["server"]
    [(identifier, started, loaded)] = server.sql(
        "SELECT system_identifier::text, pg_postmaster_start_time()::text, pg_conf_load_time()::text"
        " FROM pg_control_system()"
    )
    assert (after["system_identifier"], after["timeline_id"], after["in_recovery"]) == (identifier, 1, False)
    assert (_moment(after["postmaster_start_time"]), _moment(after["conf_load_time"])) == (started[:19], loaded[:19])
    assert after["server_version_num"] // 10000 == server.major
    assert after["version"].startswith(f"PostgreSQL {after['server_version']} ")
    assert (after["provider"], after["cluster_name"]) == (None, None)
    assert (after["encoding"], after["datcollate"], after["datlocprovider"]) == ("UTF8", "C", "c")
    assert after["next_xid"] > before["next_xid"] > 0
    assert after["wal_position_bytes"] > before["wal_position_bytes"] > 0
    assert after["uptime_s"] > before["uptime_s"] > 0
    assert after["data_checksums"] is (server.major >= 18)
    assert (after["block_size"], after["wal_segment_size_bytes"]) == (8192, 16 * 1024 * 1024)
    assert (after["max_connections"], after["superuser_reserved_connections"]) == (100, 3)
    assert after["shared_buffers_bytes"] == 32 * 1024 * 1024
    assert ((after["shared_memory_size_bytes"] or 0) > after["shared_buffers_bytes"]) == (server.major >= 15)
    assert after["huge_pages_status"] in (("on", "off") if server.major >= 17 else (None,))


def test_a_standby_and_its_promotion(newest_server: Server, standby, collect: Collect) -> None:
    follower = standby(newest_server)
    found = collect(follower.dsn()).sections
    assert (found["server"]["in_recovery"], found["server"]["timeline_id"]) == (True, 1)
    assert found["server"]["wal_position_bytes"] > 0
    assert "autovacuum" not in found
    follower.sql("SELECT pg_promote()")
    found = collect(follower.dsn()).sections
    assert (found["server"]["in_recovery"], found["server"]["timeline_id"]) == (False, 2)
    assert "autovacuum" in found


def test_a_crash_moves_the_start_of_the_counters_only(fresh_server: Server, collect: Collect) -> None:
    before = collect(fresh_server.dsn()).sections["server"]
    victim = fresh_server.connect()
    os.kill(victim.info.backend_pid, 9)

    def again() -> Document | None:
        try:
            return collect(fresh_server.dsn())
        except DatabaseError:  # while it recovers, no session is let in
            return None

    def crashed() -> Document | None:
        found = again()
        return found if found and found.sections["server"]["stats_since"] > before["stats_since"] else None

    after = wait_for(crashed, "the counters have not begun anew").sections["server"]
    assert after["postmaster_start_time"] == before["postmaster_start_time"]
    assert after["stats_since"] > after["postmaster_start_time"]
    victim.close()


@pytest.mark.parametrize(
    ("name", "provider"), [("rdsadmin", "rds"), ("cloudsqladmin", "cloudsql"), ("azure_sys", "azure")]
)
def test_a_managed_service_is_known_by_its_database(
    newest_server: Server, collect: Collect, name: str, provider: str
) -> None:
    newest_server.create_database(name)
    try:
        found = collect(newest_server.dsn()).sections["server"]["provider"]
    finally:
        newest_server.drop_database(name)
    assert found == provider
    assert collect(newest_server.dsn()).sections["server"]["provider"] is None


def _moment(time: str) -> str:
    return time[:19].replace("T", " ")


# settings


def test_settings_changed_and_pending(server: Server, make_server: MakeServer, collect: Collect) -> None:
    own = make_server(server.major, cluster_name="ours")
    for change in ("max_connections = 150", "work_mem = '8MB'"):
        own.sql(f"ALTER SYSTEM SET {change}")
    own.sql("SELECT pg_reload_conf()")

    def pending() -> Document | None:
        found = collect(own.dsn())
        return found if found.row("settings", name="max_connections")["pending_restart"] else None

    found = wait_for(pending, "the new max_connections is not waited for")
    waiting, changed = found.row("settings", name="max_connections"), found.row("settings", name="work_mem")
    assert (waiting["setting"], found.sections["server"]["max_connections"]) == ("100", 100)
    assert (changed["setting"], changed["boot_val"], changed["unit"]) == ("8192", "4096", "kB")
    assert (changed["source"], changed["pending_restart"]) == ("configuration file", False)
    assert (changed["sourcefile"], changed["sourceline"]) == (f"{own.data}/postgresql.auto.conf", 4)
    assert found.sections["server"]["cluster_name"] == "ours"
    quiet = found.row("settings", name="full_page_writes")
    assert (quiet["setting"], quiet["boot_val"], quiet["source"]) == ("on", None, "default")
    assert "geqo" not in {row["name"] for row in found.sections["settings"]["rows"]}


def test_a_role_without_privileges_sees_no_files(newest_server: Server, collect: Collect) -> None:
    newest_server.create_role("bare", "secret", grants=())
    try:
        found = collect(newest_server.dsn("postgres", "bare", "secret"))
    finally:
        newest_server.sql("DROP ROLE bare")
    assert found.row("settings", name="fsync")["setting"] == "on"
    assert {row["sourcefile"] for row in found.sections["settings"]["rows"]} == {None}
    assert found.sections["server"]["timeline_id"] == 1
    assert found.sections["autovacuum"]["total"]["is_launcher_running"] is None


# extensions


def test_extensions(database: Database, collect: Collect) -> None:
    database.sql("CREATE SCHEMA elsewhere; CREATE EXTENSION hstore SCHEMA elsewhere; CREATE EXTENSION citext")
    database.sql("DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.6'")
    database.sql("UPDATE pg_extension SET extversion = '99.1' WHERE extname = 'hstore'")
    database.sql("UPDATE pg_extension SET extname = 'gone' WHERE extname = 'citext'")
    found = collect(database.dsn)
    old, newer, gone = (found.row("extensions", extname=name) for name in ("pg_stat_statements", "hstore", "gone"))
    assert found.sections["extensions"]["rows"][0] == old
    assert (old["extversion"], old["update_available"], old["owner"]) == ("1.6", True, "postgres")
    assert (newer["schemaname"], newer["update_available"], newer["is_available"]) == ("elsewhere", False, True)
    assert (gone["default_version"], gone["update_available"], gone["is_available"]) == (None, False, False)
    [(available,)] = database.sql("SELECT count(*) FROM pg_available_extensions")
    assert found.sections["extensions"]["total"] == {"count": 4, "available_count": available}
    database.sql("ALTER EXTENSION pg_stat_statements UPDATE")
    updated = collect(database.dsn).row("extensions", extname="pg_stat_statements")
    assert (updated["extversion"], updated["update_available"]) == (old["default_version"], False)


def test_a_version_is_no_decimal_number(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.9'")
    found = collect(newest_database.dsn).row("extensions", extname="pg_stat_statements")
    assert found["default_version"] < found["extversion"]  # as words: 1.12, 1.9
    assert found["update_available"] is True


# databases


def test_databases(database: Database, collect: Collect) -> None:
    database.sql(f"ALTER DATABASE {database.name} CONNECTION LIMIT 7")
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 2) AS id")
    database.sql("SET work_mem = '64kB'; SELECT g FROM generate_series(1, 30000) g ORDER BY -g")
    _deadlock(database)

    def counted() -> Document | None:
        found = collect(database.dsn)
        row = found.row("databases", datname=database.name)
        return found if row["deadlocks"] and row["temp_files"] else None

    found = wait_for(counted, "no deadlock, or no temporary file, was counted")
    row = found.row("databases", datname=database.name)
    assert (row["datconnlimit"], row["deadlocks"], row["owner"]) == (7, 1, "postgres")
    assert row["temp_bytes"] > 100_000
    assert (row["encoding"], row["datlocprovider"], row["datcollate"]) == ("UTF8", "c", "C")
    assert (row["datallowconn"], row["can_connect"], row["spcname"]) == (True, True, "pg_default")
    assert row["xact_rollback"] >= 1
    assert row["tup_inserted"] >= 2
    assert (row["sessions"] is not None) == (database.server.major >= 14)
    assert row["datfrozenxid_age"] > 0
    assert found.row("databases", datname="template0")["datallowconn"] is False
    shared = found.row("databases", datid=0)
    assert (shared["datname"], shared["datfrozenxid_age"]) == (None, None)
    assert shared["tup_fetched"] > 0
    assert (shared["checksum_failures"] is None) == (database.server.major < 18)
    total = found.sections["databases"]["total"]
    assert total["count"] == total["database_count"] + 1 == len(found.sections["databases"]["rows"])
    assert total["deadlocks"] >= 1


def _deadlock(database: Database) -> None:
    first, second = (psycopg2.connect(database.server.dsn(database.name)) for _ in range(2))
    for connection, mine in ((first, 1), (second, 2)):
        connection.cursor().execute(f"SET deadlock_timeout = '100ms'; SELECT pg_advisory_xact_lock({mine})")
    waiting = threading.Thread(target=_try_lock, args=(first, 2))
    waiting.start()
    _try_lock(second, 1)
    second.close()
    waiting.join()
    first.close()


def _try_lock(connection, number: int) -> None:
    try:
        connection.cursor().execute(f"SELECT pg_advisory_xact_lock({number})")
    except psycopg2.errors.DeadlockDetected:
        connection.rollback()


@pytest.mark.pg(">= 15")
def test_a_collation_of_another_version(newest_server: Server, collect: Collect) -> None:
    newest_server.sql("CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'")
    try:
        healthy = collect(newest_server.dsn()).row("databases", datname="sorted")
        newest_server.sql("UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'sorted'")
        sick = collect(newest_server.dsn()).row("databases", datname="sorted")
    finally:
        newest_server.drop_database("sorted")
    assert (healthy["datlocprovider"], healthy["datlocale"]) == ("i", "de")
    assert healthy["datcollversion"] == healthy["datcollversion_actual"] != "0.1"
    assert (sick["datcollversion"], sick["datcollversion_actual"]) == ("0.1", healthy["datcollversion"])


@pytest.mark.pg(">= 17")
def test_many_databases(make_server: MakeServer, collect: Collect) -> None:
    server = make_server(autovacuum="off")
    server.sql("SELECT txid_current()")
    columns = "datdba, encoding, datlocprovider, datistemplate, datallowconn, datconnlimit, dathasloginevt"
    columns += ", datminmxid, dattablespace, datcollate, datctype, datlocale, daticurules, datcollversion, datacl"
    server.sql(
        f"INSERT INTO pg_database (oid, datname, datfrozenxid, {columns})"
        " SELECT 100000 + g, 'fake_' || g, CASE g WHEN 390 THEN '3'::xid ELSE datfrozenxid END,"
        f" {columns.replace('datconnlimit', 'CASE g WHEN 395 THEN -2 ELSE -1 END')}"
        " FROM pg_database, generate_series(1, 400) g WHERE datname = 'template1'"
    )
    found = collect(server.dsn())
    rows = found.sections["databases"]["rows"]
    assert "databases" not in found.errors
    assert 50 <= len(rows) <= 251
    assert found.sections["databases"]["total"]["count"] == 404
    assert found.sections["databases"]["more"] == 404 - len(rows)
    assert {"postgres", "fake_390", "fake_395"} <= {row["datname"] for row in rows}


def test_sizes_of_databases(database: Database, collect: Collect) -> None:
    server, name = database.server, f"bare_{database.name}"
    closed = server.new_database()
    closed.sql(f"REVOKE CONNECT ON DATABASE {closed.name} FROM PUBLIC")
    server.create_role(name, "secret", grants=())
    try:
        [(size,)] = closed.sql("SELECT pg_database_size(current_database())")
        seen = collect(database.dsn)
        bare = collect(server.dsn(database.name, name, "secret"))
    finally:
        server.sql(f"DROP ROLE {name}")
        closed.drop()
    assert seen.row("database_sizes", datname=closed.name)["size_bytes"] == pytest.approx(size, rel=0.1)
    assert seen.sections["database_sizes"]["total"]["denied_count"] == 0
    sizes = [row["size_bytes"] for row in seen.sections["database_sizes"]["rows"]]
    assert sizes == sorted(sizes, reverse=True)
    names = {row["datname"] for row in bare.sections["database_sizes"]["rows"]}
    assert (database.name in names, closed.name in names) == (True, False)
    assert bare.sections["database_sizes"]["total"]["denied_count"] == 1
    assert bare.row("databases", datname=closed.name)["can_connect"] is False


# autovacuum


@pytest.mark.parametrize("which", ["oldest_server", "newest_server"])
def test_workers_at_work(request: pytest.FixtureRequest, make_server: MakeServer, collect: Collect, which: str) -> None:
    major = request.getfixturevalue(which).major
    server = make_server(major, autovacuum_naptime=1, autovacuum_freeze_max_age=100000)
    pace = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
    options = f"{pace}, autovacuum_analyze_threshold = 1000000"
    server.sql(f"CREATE TABLE slow (id int, filler text) WITH ({options}); CREATE TABLE held (id int)")
    server.sql("INSERT INTO slow SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g; DELETE FROM slow")
    delay = "VacuumDelay" if major >= 13 else None
    found = wait_for(lambda: _with_worker(collect(server.dsn()), "public.slow", delay), "no worker came")
    worker = found.row("autovacuum", relation="public.slow")
    assert (worker["datname"], worker["command"], worker["to_prevent_wraparound"]) == ("postgres", "VACUUM", False)
    assert (worker["phase"], worker["heap_blks_total"] > 600, worker["blocking_pids"]) == ("scanning heap", True, None)
    assert worker["age_s"] >= 0
    queued = found.row("autovacuum_queue", relname="slow", relkind="r")
    assert (queued["worker_pid"], queued["relid"], queued["n_dead_tup"]) == (worker["pid"], worker["relid"], 5000)
    total = found.sections["autovacuum"]["total"]
    assert (total["autovacuum"], total["is_launcher_running"], total["autovacuum_max_workers"]) == (True, True, 3)
    assert (total["naptime_s"], total["freeze_max_age"]) == (1, 100000)
    assert (total["cost_delay_ms"], total["cost_limit"]) == (2, 200)
    assert total["count"] >= 1
    assert total["wraparound_count"] == 0

    holder = server.connect()
    holder.autocommit = False
    holder.cursor().execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
    each = "BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END"  # in a subtransaction
    server.sql(f"CREATE TABLE burnt (id int); DO 'BEGIN FOR i IN 1..105000 LOOP {each}; END LOOP; END'")
    found = wait_for(lambda: _with_worker(collect(server.dsn()), "public.held", "relation"), "no worker waits")
    waiting = found.row("autovacuum", relation="public.held")
    assert (waiting["to_prevent_wraparound"], waiting["wait_event_type"]) == (True, "Lock")
    assert waiting["blocking_pids"] == [holder.info.backend_pid]
    assert found.sections["autovacuum"]["total"]["wraparound_count"] >= 1
    assert found.sections["autovacuum"]["total"]["waiting_count"] == 1
    queued = found.sections["autovacuum_queue"]
    assert all(row["freeze_due"] and row["over_factor"] > 1 for row in queued["rows"])
    assert (20 <= len(queued["rows"]) <= 30, queued["total"]["freeze_due_count"] > 50) == (True, True)
    assert queued["more"] == queued["total"]["count"] - len(queued["rows"])
    holder.close()


def _with_worker(found: Document, relation: str, event: str | None) -> Document | None:
    """Where it scans the table, or waits for its lock: it waits for that `event` (before 13, a delay is none)."""
    rows = [row for row in found.sections["autovacuum"]["rows"] if row["relation"] == relation]
    waits = [row for row in rows if row["phase"] == "scanning heap" or row["wait_event_type"] == "Lock"]
    return found if [row for row in waits if row["wait_event"] == event] else None


def test_a_server_without_autovacuum(fresh_server: Server, collect: Collect) -> None:
    fresh_server.restart(autovacuum="off", autovacuum_work_mem="3MB", autovacuum_vacuum_cost_limit=77)
    total = collect(fresh_server.dsn()).sections["autovacuum"]["total"]
    assert (total["autovacuum"], total["is_launcher_running"], total["count"]) == (False, False, 0)
    assert (total["work_mem_bytes"], total["cost_limit"]) == (3 * 1024 * 1024, 77)


@dataclass(frozen=True)
class Planted:
    """A table that was vacuumed and analyzed when it had `rows`, and then lost some and got some."""

    name: str
    options: str
    rows: int = 1000
    deleted: int = 0
    inserted: int = 0
    filler: str = "''"


BOTH = "autovacuum_vacuum_threshold = '1e1', autovacuum_vacuum_scale_factor = 0.5"
TOAST = "toast.autovacuum_vacuum_threshold = 3, toast.autovacuum_vacuum_scale_factor = 0"
WIDE = "repeat('x', 5000)"
PLAIN = "fillfactor = 90"
TABLES = [
    Planted("plain", PLAIN, deleted=200),  # changed: 50 + 100; dead: 50 + 200
    Planted("under", PLAIN, deleted=100),
    Planted("own", f"{BOTH}, autovacuum_analyze_threshold = 20, autovacuum_analyze_scale_factor = 0", 100, 70),
    Planted("disabled", "autovacuum_enabled = off", deleted=1000),
    Planted("toasted", f"autovacuum_vacuum_threshold = 100, {TOAST}", 50, 10, filler=WIDE),
    Planted("inherits", "autovacuum_vacuum_threshold = 4, autovacuum_vacuum_scale_factor = 0.01", 50, 10, filler=WIDE),
]
TABLES_13 = [
    Planted("filled", "autovacuum_analyze_threshold = 10000", inserted=5000),  # 1000 + 200
    Planted("off", "autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 10000", inserted=5000),
]
TABLES_18 = [Planted("capped", "autovacuum_vacuum_max_threshold = 30, autovacuum_analyze_threshold = 900", deleted=100)]


@pytest.fixture
def queue(server: Server, make_server: MakeServer) -> Server:
    """A server whose autovacuum is off for now, with tables on both sides of thresholds of all kinds."""
    own = make_server(server.major)
    own.sql("ALTER SYSTEM SET autovacuum = off")
    own.sql("SELECT pg_reload_conf()")
    wait_for(lambda: own.sql("SHOW autovacuum") == [("off",)], "autovacuum is on")
    tables = TABLES + (TABLES_13 if own.major >= 13 else []) + (TABLES_18 if own.major >= 18 else [])
    for each in tables:
        own.sql(f"CREATE TABLE {each.name} (id int, filler text) WITH ({each.options})")
        own.sql(f"ALTER TABLE {each.name} ALTER filler SET STORAGE EXTERNAL")
    _change(own, [f"INSERT INTO {t.name} SELECT g, {t.filler} FROM generate_series(1, {t.rows}) g" for t in tables])
    # Only now: what a session did is counted when it ends, and would be added to what VACUUM leaves.
    _counted(own, "n_tup_ins", sum(each.rows for each in tables))
    own.sql(f"VACUUM ANALYZE {', '.join(each.name for each in tables)}")
    _change(own, [f"DELETE FROM {each.name} WHERE id <= {each.deleted}" for each in tables])
    _change(own, [f"INSERT INTO {each.name} SELECT generate_series(1, {each.inserted})" for each in tables])
    _counted(own, "n_tup_ins", sum(each.rows + each.inserted for each in tables))
    _counted(own, "n_tup_del", sum(each.deleted for each in tables))
    return own


def _change(server: Server, statements: list[str]) -> None:
    server.sql("; ".join(statements))


def _counted(server: Server, counter: str, number: int) -> None:
    total = f"SELECT sum({counter}) FROM pg_stat_user_tables"
    wait_for(lambda: server.sql(total)[0][0] == number, f"{counter} is not {number}")


def test_who_waits_for_autovacuum(queue: Server, collect: Collect) -> None:
    expected = {"plain", "own", "disabled", "toasted", "inherits"}
    expected |= ({"filled"} if queue.major >= 13 else set()) | ({"capped"} if queue.major >= 18 else set())
    found = collect(queue.dsn())
    row = {(each["relname"], each["relkind"]): each for each in _users(found)}
    assert {name for name, _ in row} == expected
    own = row["own", "r"]
    assert (own["n_dead_tup"], own["vacuum_threshold"], own["vacuum_due"]) == (70, 60, True)
    assert (own["n_mod_since_analyze"], own["analyze_threshold"], own["over_factor"]) == (70, 20, 3.5)
    assert own["reloptions"][0] == "autovacuum_analyze_scale_factor=0"
    plain = row["plain", "r"]
    assert (plain["vacuum_threshold"], plain["vacuum_due"], plain["analyze_due"]) == (250, False, True)
    assert (plain["over_factor"], plain["reloptions"], plain["last_autoanalyze"]) == (1.33, None, None)
    assert (row["disabled", "r"]["autovacuum_enabled"], row["disabled", "r"]["vacuum_due"]) == (False, True)
    assert (row["toasted", "t"]["vacuum_threshold"], row["toasted", "t"]["analyze_threshold"]) == (3, None)
    assert row["inherits", "t"]["vacuum_threshold"] in (5, 6)  # of 100 rows, or 150: parts of 2,000 bytes
    assert row["inherits", "r"]["vacuum_threshold"] == 5
    if queue.major >= 18:
        assert row["capped", "r"]["vacuum_threshold"] == 30
    if queue.major >= 13:
        assert (row["filled", "r"]["insert_vacuum_due"], row["filled", "r"]["n_ins_since_vacuum"]) == (True, 5000)
    factors = [each["over_factor"] for each in found.sections["autovacuum_queue"]["rows"]]
    assert factors == sorted(factors, reverse=True)
    total = found.sections["autovacuum_queue"]["total"]
    assert total["count"] == len(factors)
    assert (total["waiting_count"], total["disabled_count"], total["freeze_due_count"]) == (len(factors) - 1, 1, 0)
    assert total["worst_over_factor"] == row["toasted", "t"]["over_factor"] == 10

    due = {kind: {key for key, each in row.items() if each["autovacuum_enabled"] and _due(each, kind)} for kind in DONE}
    queue.sql("ALTER SYSTEM SET autovacuum_naptime = 1")
    queue.sql("ALTER SYSTEM SET autovacuum = on")
    queue.sql("SELECT pg_reload_conf()")
    wait_for(lambda: not _waiting(collect(queue.dsn())), "autovacuum left some")
    assert {kind: set(queue.sql(DONE[kind])) for kind in DONE} == due  # what autovacuum itself thought was due


DONE = {
    kind: "SELECT coalesce(m.relname, c.relname)::text, c.relkind::text FROM pg_class c"
    " LEFT JOIN pg_class m ON m.reltoastrelid = c.oid"
    f" WHERE coalesce(m.oid, c.oid) >= 16384 AND pg_stat_get_last_auto{kind}_time(c.oid) IS NOT NULL"
    for kind in ("vacuum", "analyze")
}


def _due(row: dict[str, object], kind: str) -> object:
    return row["analyze_due"] if kind == "analyze" else row["vacuum_due"] or row["insert_vacuum_due"]


def _waiting(found: Document) -> int:
    return found.sections["autovacuum_queue"]["total"]["waiting_count"]


def _users(found: Document) -> list[dict[str, Any]]:
    """The rows of users' tables: pg_statistic, say, may wait as well."""
    return [row for row in found.sections["autovacuum_queue"]["rows"] if row["relid"] >= 16384]
