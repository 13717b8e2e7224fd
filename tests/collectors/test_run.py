"""One statement for all; a collector that fails costs its own section, and is named with what mends it."""

import math

import psycopg2
import pytest

from pgdoctor_lib.collectors import top_queries
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.registry import small_number, took_ms
from pgdoctor_lib.collectors.run import BUDGET_S, run
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.session import Session
from pgdoctor_lib.snapshot import Collected
from tests.collectors.conftest import Collect
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

SECTIONS = {"activity", "database", "indexes", "locks", "replication", "settings", "tables"}  # and more


def everything(session: Session, memory: Memory) -> Collected:
    return run(session, BUDGET_S, "masked", memory, memory, math.inf)


def test_everything_is_collected(database: Database, collect: Collect) -> None:
    database.sql("SELECT 1")
    found = collect(database.dsn)
    assert (found.errors, SECTIONS - set(found.sections)) == ({}, set())
    assert found.sections["database"]["datname"] == database.name
    assert found.sections["replication"]["in_recovery"] is False
    assert found.top_queries


def test_one_round_trip(newest_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(Dsn.parse(newest_database.dsn, {})) as session:
        sent: list[str] = []
        query, memory = session.query, Memory()
        everything(session, memory)
        monkeypatch.setattr(session, "query", lambda sql, *rest: sent.append(sql) or query(sql, *rest))
        everything(session, memory)
    assert [statement.split()[0] for statement in sent] == ["SELECT"]


def test_a_standby(server: Server, standby, collect: Collect) -> None:
    follower = standby(server)
    found = collect(follower.dsn())
    assert (set(found.errors) - {"top_queries"}, SECTIONS - set(found.sections)) == (set(), set())
    replication = found.sections["replication"]
    assert replication["in_recovery"] is True
    assert replication["replay_lag_bytes"] == 0
    assert replication["receiver"]["status"] == "streaming"
    primary = collect(server.dsn()).sections["replication"]
    assert [sender["state"] for sender in primary["senders"]] == ["streaming"]
    assert primary["sender_count"] == 1
    assert primary["slots"][0]["active"] is True
    assert set(primary["slots"][0]) >= {"wal_status", "safe_wal_size_bytes", "invalidation_reason", "inactive_s"}


def test_a_role_with_no_privilege(database: Database, collect: Collect) -> None:
    name = f"bare {database.role}"
    database.server.create_role(name, "secret", grants=())
    database.sql("SELECT 'seen by nobody else'")
    try:
        found = collect(database.server.dsn(database.name, name, "secret"))
    finally:
        database.server.sql(f'DROP ROLE "{name}"')
    assert set(found.sections) >= SECTIONS
    assert found.errors["activity"][0].startswith(f'role "{name}" is not a member of pg_monitor')
    assert found.errors["activity"][1] == f'GRANT pg_monitor TO "{name}";'
    assert "statements of other roles are hidden" in found.errors["top_queries"][0]
    assert found.top_queries is not None


def test_a_refused_collector_costs_its_section(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("REVOKE ALL ON pg_catalog.pg_settings FROM PUBLIC")
    found = collect(newest_database.dsn)
    assert SECTIONS - set(found.sections) == {"settings"}
    grant = f'GRANT SELECT ON pg_catalog.pg_settings TO "{newest_database.role}";'
    assert found.errors["settings"] == ("permission denied for view pg_settings", grant)
    assert found.top_queries is not None


def test_a_locked_catalog_is_not_waited_for(newest_database: Database, collect: Collect) -> None:
    holder = newest_database.server.connect(newest_database.name)
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE pg_catalog.pg_inherits IN ACCESS EXCLUSIVE MODE")
        found = collect(newest_database.dsn)
    holder.close()
    assert "indexes" not in found.sections and found.sections.keys() >= {"activity", "settings", "locks"}
    assert "lock timeout" in found.errors["indexes"][0]


def test_a_lost_connection_is_not_a_collector_that_failed(newest_database: Database) -> None:
    with connect(Dsn.parse(newest_database.dsn, {})) as session:
        [(pid,)] = session.query("SELECT pg_backend_pid()")
        newest_database.sql("SELECT pg_terminate_backend(%s)", (int(pid or 0),))
        with pytest.raises(DatabaseError, match="terminating connection|closed the connection"):
            everything(session, Memory())


def test_slow_queries_end(newest_database: Database, monkeypatch: pytest.MonkeyPatch, collect: Collect) -> None:
    monkeypatch.setattr("pgdoctor_lib.collectors.asking.TOGETHER_S", 0.001)
    found = collect(newest_database.dsn)
    assert (found.errors, SECTIONS - set(found.sections)) == ({}, set())  # each on its own was quick enough
    monkeypatch.setattr("pgdoctor_lib.collectors.asking.ALONE_S", 0.001)
    found = collect(newest_database.dsn)
    assert "statement timeout" in found.errors["tables"][0]


def test_nothing_is_written(newest_database: Database, collect: Collect) -> None:
    def spent() -> int:
        [(before,)] = newest_database.sql("SELECT pg_current_xact_id()::text::bigint")
        collect(newest_database.dsn)
        [(after,)] = newest_database.sql("SELECT pg_current_xact_id()::text::bigint")
        return int(after - before)

    wait_for(lambda: spent() == 1, "each time transaction ids go")  # autovacuum takes one now and then


def test_a_table_held_in_access_exclusive_is_not_waited_for(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE held (id int PRIMARY KEY, x text); CREATE INDEX ON held (lower(x)); ANALYZE held")
    holder = psycopg2.connect(database.server.dsn(database.name))
    with holder.cursor() as cursor:
        cursor.execute("ALTER TABLE held ADD COLUMN y int")
        found = collect(database.dsn)
    holder.close()
    assert (found.errors, SECTIONS - set(found.sections)) == ({}, set())
    assert found.row("tables", relname="held")["index_count"] == 2
    indexes = [row for row in found.sections["indexes"]["rows"] if row["relname"] == "held"]
    assert [(row["columns"], row["definition"]) for row in indexes] == [(["id"], None), (["lower"], None)]
    indexes = [row for row in collect(database.dsn).sections["indexes"]["rows"] if row["relname"] == "held"]
    assert "(lower(x))" in indexes[1]["definition"]


@pytest.mark.parametrize(
    ("before", "after", "took"), [("1.5", "4", 2.5), (None, "1", 1.0), ("5", "4", 0.0), ("1e3", "1000.25", 0.25)]
)
def test_what_a_part_took(before: str | None, after: str, took: float) -> None:
    assert took_ms(before, after) == took


@pytest.mark.parametrize("senseless", ["nan", "inf", "-1e999", "x", "1 2"])
def test_a_clock_that_makes_no_sense_is_no_cost(senseless: str) -> None:
    for times in ((senseless, "5"), ("5", senseless)):
        with pytest.raises(DatabaseError, match="makes no sense"):
            took_ms(*times)


@pytest.mark.parametrize(("text", "number"), [("17", 17), ("", 0), (None, 0), ("²", 0), ("-1", 0), ("9" * 5000, 0)])
def test_a_count_that_makes_no_sense_is_none(text: str | None, number: int) -> None:
    assert small_number(text) == number


@pytest.mark.parametrize("copies", [0, 2])
def test_statements_come_in_a_row_for_each_database_and_no_more(newest_database: Database, copies: int) -> None:
    """A server that goes on for ever would hold everybody else's greenlet."""
    with connect(Dsn.parse(newest_database.dsn, {})) as session:
        [(oid,)] = newest_database.sql("SELECT oid FROM pg_database WHERE datname = current_database()")
        real = session.ask_all
        session.ask_all = lambda *given, **more: real(*given, **more) * copies  # type: ignore[method-assign]
        with pytest.raises(DatabaseError, match="makes no sense"):
            top_queries.read(session, {int(oid): frozenset()}, 20, "masked", None, 5.0)
