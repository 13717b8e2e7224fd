"""PgBouncer itself: what its console tells, and what collecting through it leaves behind."""

import json
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.pgbouncer import MOST
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.connect import connect, reach
from pgdoctor_lib.postgres.lease import Lease, Pooled
from pgdoctor_lib.postgres.session import Console
from pgdoctor_lib.snapshot import Agent, Collected, Snapshot, new_id
from tests.collectors.conftest import Collect
from tests.fix_daemon import ROOT
from tests.fix_pgbouncer import Bouncer
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

MakeBouncer = Callable[..., Bouncer]
CANARY = "canary-5b1f09"
SCHEMA = json.loads((ROOT / "docs/snapshot.schema.json").read_text())


def dsn(text: str) -> Dsn:
    return Dsn.parse(text, {})


def section(collected: Collected) -> Any:
    [only] = collected.sections
    assert only.name == "pgbouncer"
    return json.loads(only.json, parse_constant=pytest.fail)


def mine(rows: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    [row] = [row for row in rows if row[key] == value]
    return row


def test_a_client_that_waits(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server, default_pool_size=1, max_client_conn=77, reserve_pool_timeout=2.5)
    first, second = (bouncer.connect("postgres", "postgres") for _ in range(2))
    cursor = first.cursor()
    cursor.execute("BEGIN; SELECT 1")
    waiting = threading.Thread(target=second.cursor().execute, args=("SELECT 2",))
    waiting.start()
    try:
        wait_for(lambda: mine(bouncer.show("POOLS"), "database", "postgres")["maxwait"], "nobody waits")
        collected = Collecting(dsn(bouncer.dsn()), 20).once()
    finally:
        cursor.execute("COMMIT")
        waiting.join()
    told = section(collected)
    assert (collected.db_name, collected.db_version) == ("pgbouncer", told["version"])
    assert told["version"].removeprefix("PgBouncer ") in bouncer.log.read_text()
    assert (collected.errors, collected.top_queries) == ((), None)
    [pool] = told["pools"]
    assert (pool["database"], pool["user"], pool["pool_mode"]) == ("postgres", "postgres", "transaction")
    assert (pool["cl_active"], pool["cl_waiting"], pool["sv_active"], pool["sv_idle"]) == (1, 1, 1, 0)
    assert pool["maxwait"] >= 1
    assert told["total"]["maxwait_s"] == pytest.approx(pool["maxwait"] + pool["maxwait_us"] / 1e6)
    assert (told["total"]["cl_active"], told["total"]["cl_waiting"], told["total"]["waiting_count"]) == (1, 1, 1)
    [database] = told["databases"]
    assert (database["name"], database["port"], database["current_connections"]) == (
        "postgres",
        mine(bouncer.show("DATABASES"), "name", "postgres")["port"],
        1,
    )
    assert database["pool_size"] == 1
    assert (told["config"]["max_client_conn"], told["config"]["default_pool_size"]) == (77, 1)
    assert (told["config"]["pool_mode"], told["config"]["reserve_pool_size"]) == ("transaction", 0)
    assert told["lists"]["used_clients"] == 3
    assert told["more"] == {"pools": 0, "databases": 0, "stats": 0}
    assert collected.costs["pgbouncer"].rows > len(told["config"])


def test_statistics_have_their_units(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server)
    with bouncer.connect("postgres", "postgres").cursor() as cursor:
        for _ in range(3):
            cursor.execute("SELECT pg_sleep(0.1)")
    [row] = section(Collecting(dsn(bouncer.dsn()), 20).once())["stats"]
    assert (row["database"], row["total_query_count"], row["total_xact_count"]) == ("postgres", 3, 3)
    assert 300_000 <= row["total_query_time_us"] < 20_000_000
    assert {"avg_query_time_us", "avg_wait_time_us", "total_wait_time_us"} <= set(row)
    assert not [column for column in row if column.endswith("_time")]


def test_rows_are_bounded_and_secrets_are_not_told(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    entry = f"host=127.0.0.1 port={newest_server.port} password={CANARY}"
    many = {f"db_{number}": entry for number in range(MOST + 50)}
    bouncer = make_bouncer(
        newest_server, {"other": CANARY}, many, auth_query=f"SELECT '{CANARY}', $1", server_check_query=f"-- {CANARY}"
    )
    [only] = Collecting(dsn(bouncer.dsn()), 20).once().sections
    told = json.loads(only.json)
    assert (len(told["databases"]), told["more"]["databases"]) == (MOST, 50)
    assert CANARY not in only.json
    assert any(CANARY in str(row) for row in bouncer.show("CONFIG"))


def test_who_is_not_allowed_is_told_what_to_do(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server)
    with pytest.raises(DatabaseError) as caught:
        Collecting(dsn(bouncer.dsn(user="outsider")), 20).once()
    assert str(caught.value) == "not allowed; name the user in stats_users in pgbouncer.ini, and RELOAD"


def test_a_snapshot_is_what_the_schema_says(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server)
    collected = Collecting(dsn(bouncer.dsn()), 20).once()
    made = Snapshot(new_id(), 1705312800.0, 14.25, Agent("1.0.0", "mon-1", 12345), "b", (), 60.0, collected)
    Draft202012Validator(SCHEMA, format_checker=FormatChecker()).validate(json.loads(made.body()))
    known = SCHEMA["properties"]["sections"]["properties"]["pgbouncer"]["properties"]
    assert set(section(collected)) == set(known)


def test_a_console_that_falls_silent_is_given_up_on(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server)
    console = reach(dsn(bouncer.dsn()))
    assert isinstance(console, Console)
    bouncer.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(DeadlineExceeded):
            console.rows("POOLS", 0.2)
    finally:
        bouncer.process.send_signal(signal.SIGCONT)
    with pytest.raises(DatabaseError):
        console.rows("POOLS")


def test_a_command_that_a_version_lacks_says_so(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    console = reach(dsn(make_bouncer(newest_server).dsn()))
    assert isinstance(console, Console)
    with pytest.raises(DatabaseError) as caught:
        console.rows("NO_SUCH_THING")
    assert caught.value.sqlstate
    assert console.rows("LISTS")[0]
    console.close()


def test_a_console_is_no_database(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    where = dsn(make_bouncer(newest_server).dsn())
    with pytest.raises(DatabaseError, match="admin console of PgBouncer"):
        connect(where)
    with pytest.raises(Pooled):
        Lease.open(where, 1, 10, 5)


def test_a_database_may_have_that_name(newest_server: Server, collect: Collect) -> None:
    newest_server.create_database("pgbouncer")
    try:
        found = collect(newest_server.dsn("pgbouncer"))
    finally:
        newest_server.drop_database("pgbouncer")
    assert found.sections["database"]["datname"] == "pgbouncer"
    assert "pgbouncer" not in found.sections


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_whole_collection_through_it(
    newest_database: Database, make_bouncer: MakeBouncer, collect: Collect, mode: str
) -> None:
    db = newest_database
    db.sql("CREATE TABLE planted (id int PRIMARY KEY)")
    bouncer = make_bouncer(db.server, {db.role: db.password}, default_pool_size=1, pool_mode=mode)
    before = _session(bouncer, db)
    found = collect(bouncer.dsn(db.name, db.role))
    assert found.errors == {}
    assert sorted(found.sections) == sorted(collect(db.dsn).sections)
    assert found.row("tables", relname="planted")["schemaname"] == "public"
    assert found.top_queries is not None
    after = _session(bouncer, db)
    assert after == before, "in the very same session of the server nothing has changed"
    assert after["prepared"] == after["temporary"] == after["locks"] == 0


def test_two_cycles_keep_nothing(newest_database: Database, make_bouncer: MakeBouncer) -> None:
    db = newest_database
    bouncer = make_bouncer(db.server, {db.role: db.password}, default_pool_size=1)
    before = _session(bouncer, db)
    routine = Routine("app", 1.0, Memory())
    collecting = Collecting(dsn(bouncer.dsn(db.name, db.role)), 20, routine=routine)
    for _ in range(2):
        collected = collecting.once()
        assert collected.errors == ()
        assert "activity" in [each.name for each in collected.sections]
        wait_for(lambda: not _clients(bouncer), "a client of PgBouncer is left")
        assert _session(bouncer, db) == before
    collecting.close()


def test_a_wait_that_is_cut_short_is_cut_short_on_the_server(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server, default_pool_size=1)
    session = connect(dsn(bouncer.dsn("postgres", "postgres")))
    with pytest.raises(DeadlineExceeded), deadline(0.5, "it"), session.transaction(60):
        session.query("SELECT pg_sleep(60)")
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    wait_for(lambda: not newest_server.sql(asleep), "the statement goes on")


def test_a_pool_that_is_exhausted_costs_the_snapshot(newest_server: Server, make_bouncer: MakeBouncer) -> None:
    bouncer = make_bouncer(newest_server, default_pool_size=1)
    bouncer.connect("postgres", "postgres").cursor().execute("BEGIN; SELECT 1")
    with pytest.raises(DatabaseError, match="no answer"):
        connect(dsn(bouncer.dsn("postgres", "postgres") + "?connect_timeout=1"))
    pool = mine(section(Collecting(dsn(bouncer.dsn()), 20).once())["pools"], "database", "postgres")
    assert (pool["cl_active"], pool["sv_active"], pool["sv_idle"]) == (1, 1, 0)


def _session(bouncer: Bouncer, db: Database) -> dict[str, Any]:
    """The state of the one session with the server, as the next client finds it."""
    connection = bouncer.connect(db.name, db.role)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_backend_pid(), (SELECT count(*) FROM pg_prepared_statements), pg_my_temp_schema()::int,"
            " (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),"
            " (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name <> 'application_name')"
        )
        [row] = cursor.fetchall()
    connection.close()
    return dict(zip(("pid", "prepared", "temporary", "locks", "settings"), row, strict=True))


def _clients(bouncer: Bouncer) -> list[dict[str, Any]]:
    return [row for row in bouncer.show("CLIENTS") if row["database"] != "pgbouncer"]
