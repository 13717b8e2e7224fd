"""What is asked when, by whom, and in which session."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pgdoctor_lib.collectors import registry
from pgdoctor_lib.collectors.budget import Allowance, Budget, stretched
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.registry import Asked
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.snapshot import Collected, Cost
from tests.collectors.conftest import BACKENDS, kept_session
from tests.postgres.server import Database, Server
from tests.postgres_lib.relay import Relay
from tests.waiting import wait_for

FACTS = Facts(180004, "PostgreSQL 18.4", "UTF8", False, "app", "monitor", True, True, {})
GRANTED = Facts(180004, "PostgreSQL 18.4", "UTF8", False, "app", "monitor", False, True, {})


def due(memory: Memory, part: Asked, at: float, facts: Facts = FACTS) -> bool:
    """Whether it is due in a cycle at this time; if so it is asked, in vain never."""
    memory.begin_cycle(facts)
    found = memory.is_due(part, at)
    if found:
        memory.asked(part, None, facts, at)
    return found


@pytest.mark.parametrize(
    ("every_s", "expected"),
    [
        (0.0, [True] * 7),
        (120.0, [True, False, True, False, True, False, True]),
        (300.0, [True, *[False] * 4, True, False]),
    ],
)
def test_cadences(every_s: float, expected: list[bool]) -> None:
    """Cycles a minute apart, each a moment early or late."""
    memory, part = Memory(), Asked("x", (), every_s)
    times = [1000.0, 1060.1, 1119.9, 1180.0, 1239.8, 1299.9, 1360.0]
    assert [due(memory, part, at) for at in times] == expected


def test_what_is_refused_is_asked_again_after_an_hour_or_a_change() -> None:
    memory, part = Memory(), Asked("x", ())
    memory.asked(part, DatabaseError("permission denied", sqlstate="42501"), FACTS, 0.0)
    assert [error.collector for error in memory.refusals] == ["x"]
    assert not due(memory, part, 3599.0)
    assert due(memory, part, 3600.0)
    memory.asked(part, DatabaseError("permission denied", sqlstate="42501"), FACTS, 4000.0)
    assert not due(memory, part, 4001.0)
    assert due(memory, part, 4002.0, GRANTED)
    assert memory.refusals == []


def test_what_failed_for_the_moment_is_asked_again_at_once() -> None:
    memory, part = Memory(), Asked("x", ())
    memory.asked(part, DatabaseError("lock timeout", sqlstate="55P03"), FACTS, 0.0)
    assert memory.refusals == []
    assert due(memory, part, 1.0)


@pytest.mark.parametrize("changed", [{"started": "2"}, {"in_recovery": True}])
def test_of_another_run_of_the_server_all_is_due(changed: dict[str, Any]) -> None:
    memory, part = Memory(), Asked("x", (), 3600.0)
    assert [due(memory, part, 0.0), due(memory, part, 60.0)] == [True, False]
    another = replace(FACTS, **changed)
    assert [due(memory, part, at, another) for at in (120.0, 180.0)] == [True, False]


def test_after_a_restart_of_the_server_its_settings_are_asked_at_once(make_server: Callable[..., Server]) -> None:
    server = make_server()
    one = collecting(server.dsn())
    one.once()
    assert "settings" not in names(one.once())
    server.restart()
    assert {"settings", "security", "schema"} <= names(one.once())
    one.close()


def claim(server: Memory, name: str, interval_s: float, now: float, *, sees_all: bool = True) -> bool:
    return server.claim(name, interval_s, now, sees_all=sees_all)


def test_one_database_at_a_time_asks_for_the_server() -> None:
    server = Memory()
    assert claim(server, "a", 60.0, 0.0)
    assert not claim(server, "b", 60.0, 1.0)
    assert claim(server, "a", 60.0, 60.0)
    assert not claim(server, "b", 60.0, 239.0)
    assert claim(server, "b", 60.0, 241.0), "a has not come for three intervals"
    assert claim(server, "c", 10.0, 242.0), "it comes more often"
    assert not claim(server, "b", 60.0, 243.0)
    server.leave("b")
    assert not claim(server, "b", 60.0, 244.0), "it is not the one"
    server.leave("c")
    assert claim(server, "b", 60.0, 245.0), "c cannot be reached"


def test_a_role_that_sees_all_is_preferred() -> None:
    server, part = Memory(), Asked("x", (), 3600.0)
    assert claim(server, "plain", 10.0, 0.0, sees_all=False)
    assert due(server, part, 0.0)
    assert claim(server, "sees", 60.0, 1.0)
    assert due(server, part, 1.0), "what the other one could not see"
    assert not claim(server, "plain", 10.0, 10.0, sees_all=False)
    assert claim(server, "plain", 10.0, 182.0, sees_all=False), "nobody else comes"
    assert claim(server, "sees", 60.0, 183.0)
    assert claim(server, "sees too", 30.0, 184.0)


def test_a_database_whose_role_sees_all_tells_of_the_server(newest_server: Server) -> None:
    """Of three on one server: the first has a plain role, the last cannot be reached."""
    plain, sees = newest_server.new_database(), newest_server.new_database()
    newest_server.sql(f"REVOKE pg_monitor FROM {plain.role}")
    memory = Memory()
    one, other = (collecting(each.dsn, each.name, memory) for each in (plain, sees))
    one.once()
    assert "activity" in names(other.once()) and "settings" not in names(other.once())
    assert "activity" not in names(one.once())
    newest_server.sql(f'ALTER DATABASE "{sees.name}" ALLOW_CONNECTIONS false')
    other.close()
    with pytest.raises(DatabaseError):
        other.once()
    assert "activity" in names(one.once())
    one.close()
    for each in (plain, sees):
        each.drop()


@pytest.mark.parametrize(
    ("costs", "allowance_ms", "expected"),
    [
        ({"a": 1, "b": 2}, 3.0, {}),
        ({"a": 1, "b": 9}, 4.0, {"b": 3}),
        ({"a": 1, "b": 1, "c": 20, "d": 20}, 10.0, {"c": 5, "d": 5}),
        ({"a": 50}, 5.0, {"a": 10}),
        ({"a": 1, "locks": 4, "tables": 30}, 10.0, {"tables": 6}),
    ],
)
def test_the_dear_ones_are_asked_less_often(
    costs: dict[str, int], allowance_ms: float, expected: dict[str, int]
) -> None:
    assert stretched(costs, allowance_ms, 1.0) == expected
    average = sum(ms / expected.get(name, 1) for name, ms in costs.items())
    assert average <= allowance_ms


@pytest.mark.parametrize(
    ("interval_s", "expected"),
    [(1.0, {"locks": 30, "tables": 300}), (5.0, {"locks": 6, "tables": 60}), (60.0, {"tables": 5}), (300.0, {})],
)
def test_nothing_is_put_off_for_long_and_least_of_all_what_tells_of_an_incident(
    interval_s: float, expected: dict[str, int]
) -> None:
    assert stretched({"locks": 5000, "tables": 5000}, 1.0, interval_s) == expected


def test_over_the_budget_the_dear_ones_wait_and_under_it_they_come_back() -> None:
    budget = Budget(Allowance(0.01), 1.0)  # 10 ms a cycle
    dear = {"activity": Cost(1.0, 1, 1), "tables": Cost(30.0, 1, 1), "table_sizes": Cost(500.0, 1, 1)}
    for _ in range(3):
        budget.spent(dear)
    assert budget.error is None, "it is too early to tell"
    budget.spent(dear)
    assert budget.every_nth == {"tables": 4}
    assert budget.error and budget.error.line.endswith(
        "asked for less often: tables (every 4s); raise interval, or budget"
    )
    for left in ({"tables": 4}, {}):  # what it costs now stands for the cycles that left it out
        for _ in range(3):
            budget.spent({"activity": Cost(1.0, 1, 1)})
        budget.spent({"activity": Cost(1.0, 1, 1), "tables": Cost(1.0, 1, 1)})
        assert budget.every_nth == left
    assert budget.error is None


def test_what_is_not_asked_any_more_costs_nothing() -> None:
    budget = Budget(Allowance(0.01), 1.0)
    for _ in range(5):
        budget.spent({"activity": Cost(1.0, 1, 1), "tables": Cost(30.0, 1, 1)})
    assert set(budget.every_nth) == {"tables"}
    for _ in range(12):
        budget.spent({"activity": Cost(1.0, 1, 1)})
    assert (budget.every_nth, budget.error) == ({}, None)


def test_what_cannot_be_left_out_leaves_the_rest_its_half() -> None:
    budget = Budget(Allowance(0.01), 1.0)
    for _ in range(5):
        budget.spent({"top_queries": Cost(50.0, 1, 1), "locks": Cost(2.0, 1, 1), "tables": Cost(12.0, 1, 1)})
    assert budget.every_nth == {"tables": 4}


def test_a_cycle_that_is_begun_again_puts_nothing_off() -> None:
    memory, part = Memory(), Asked("tables", ())
    memory.every_nth = {"tables": 2}
    found = []
    for _ in range(6):
        memory.begin_cycle(FACTS)  # by a session that turned out to be lost
        found.append(due(memory, part, 0.0))
    assert found == [True] * 6
    assert [due(memory, part, 0.0) for _ in range(5)] == [False, True, False, True, False]


def test_what_was_refused_is_not_told_of_another_server() -> None:
    memory = Memory()
    memory.begin_cycle(FACTS)
    memory.asked(Asked("wal_receiver", ()), DatabaseError("permission denied", sqlstate="42501"), FACTS, 0.0)
    memory.begin_cycle(FACTS)
    assert [error.collector for error in memory.refusals] == ["wal_receiver"]
    memory.begin_cycle(replace(FACTS, in_recovery=True))  # the part is not for it: nobody asks
    assert memory.refusals == []


def collecting(dsn: str, name: str = "db", server: Memory | None = None) -> Collecting:
    return Collecting(Dsn.parse(dsn, {}), 20, routine=Routine(name, 60.0, server or Memory()))


def names(collected: Collected) -> set[str]:
    return {section.name for section in collected.sections}


@pytest.mark.parametrize(("interval_s", "leaves"), [(60.0, True), (300.0, False)])
def test_the_first_cycle_leaves_to_a_next_one_that_comes_soon_what_takes_long(
    newest_database: Database, interval_s: float, leaves: bool
) -> None:
    routine = Routine("db", interval_s, Memory(), at_first_s=0.0)
    one = Collecting(Dsn.parse(newest_database.dsn, {}), 20, routine=routine)
    at_first = one.once()
    first, second = names(at_first), names(one.once())
    one.close()
    assert at_first.sections[0].name == "queries", "next to top_queries, which gzip finds there again"
    seldom = {name for name in first | second if registry.every_s(name)}
    assert {"activity", "tables"} <= first & second
    assert "schema" in seldom and ("schema" in first) is not leaves
    assert seldom - first == (seldom & second if leaves else set())
    [alone, *_] = sorted(seldom & first, key=registry.every_s)
    assert registry.every_s(alone) == registry.CADENCES_S["minutes"], "what comes more often comes first"


def test_a_session_is_kept_and_planned_once(newest_database: Database) -> None:
    one = collecting(newest_database.dsn)
    server, name = newest_database.server, newest_database.name
    assert one.once().errors == ()
    wait_for(lambda: server.sql(BACKENDS, (name,)) == [], "it read all there is, and was not closed")
    pids = []
    for _ in range(3):
        assert one.once().errors == ()
        pids += server.sql(BACKENDS, (name,))
    assert len(pids) == 3 and len(set(pids)) == 1
    one.close()
    wait_for(lambda: server.sql(BACKENDS, (name,)) == [], "a session was left")


def test_a_session_that_ended_meanwhile_is_replaced(newest_database: Database) -> None:
    one = collecting(newest_database.dsn)
    server, name = newest_database.server, newest_database.name
    one.once()
    one.once()
    [pid] = kept_session(server, name)
    server.sql("SELECT pg_terminate_backend(%s)", (pid,))
    wait_for(lambda: server.sql(BACKENDS, (name,)) == [], "it did not end")
    assert "activity" in names(one.once())
    assert server.sql(BACKENDS, (name,)) != [(pid,)]
    one.close()


def test_a_promotion_is_noticed(newest_server: Server, standby: Callable[[Server], Server]) -> None:
    follower = standby(newest_server)
    one = collecting(follower.dsn())
    one.once()
    one.once()
    follower.sql("SELECT pg_promote()")
    wait_for(lambda: follower.sql("SELECT pg_is_in_recovery()") == [(False,)], "no promotion")
    [database] = [section.json for section in one.once().sections if section.name == "database"]
    assert '"in_recovery":false' in database
    one.close()


def test_behind_a_pooler_nothing_is_kept(newest_server: Server) -> None:
    with Relay(newest_server.port, "pool") as relay:
        dsn = f"host=127.0.0.1 port={relay.port} user=postgres dbname=postgres sslmode=disable gssencmode=disable"
        one = collecting(dsn)
        for _ in range(2):
            assert "activity" in names(one.once())
            assert newest_server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'EXECUTE%'") == [(0,)]
        assert one._room.session is None


def test_the_server_is_asked_once_whatever_the_number_of_its_databases(newest_server: Server) -> None:
    databases = [newest_server.new_database() for _ in range(3)]
    memory = Memory()
    several = [collecting(db.dsn, db.name, memory) for db in databases]
    brought = [names(each.once()) for each in several]
    assert ["activity" in each for each in brought] == [True, False, False]
    assert all("tables" in each for each in brought)
    for db in databases:
        db.drop()


def test_what_each_collector_cost_is_told(newest_database: Database) -> None:
    newest_database.sql("CREATE TABLE a (id int); CREATE TABLE b (id int); SELECT pg_sleep(0)")
    costs = collecting(newest_database.dsn).once().costs
    assert costs["tables"].rows == 2
    assert costs["tables"].bytes > 500
    assert 0 < costs["tables"].ms < 10_000
    assert {"activity", "database"} <= set(costs)
    assert costs["planning"].ms > 0


def test_few_connections_are_kept_where_there_are_few(make_server: Callable[..., Server]) -> None:
    server = make_server(max_connections=20)  # three of them for superusers
    server.create_role("monitor", "secret")
    databases = [server.new_database() for _ in range(8)]
    memory = Memory()
    several = [collecting(server.dsn(db.name, "monitor", "secret"), db.name, memory) for db in databases]
    for _ in range(2):
        for each in several:
            each.once()
    wait_for(lambda: len(server.backends("pgdoctor")) == 17 // 3, "not a third is kept")
    server.sql("ALTER ROLE monitor CONNECTION LIMIT 22")
    for each in several:
        each.close()
    several = [collecting(server.dsn(db.name, "monitor", "secret"), db.name, memory) for db in databases]
    for _ in range(2):
        for each in several:
            each.once()
    wait_for(lambda: len(server.backends("pgdoctor")) == 2, "not two are kept")
    server.sql("ALTER ROLE monitor CONNECTION LIMIT 2")
    with pytest.raises(DatabaseError, match="too many connections for role"):
        [each.once() for each in several]
    for each in several:
        with contextlib.suppress(DatabaseError):
            each.once()
    wait_for(lambda: len(server.backends("pgdoctor")) <= 2, "more are kept than there may be")
    for each in several:
        each.close()


def test_a_database_has_one_session_at_a_time(newest_server: Server) -> None:
    """Those that lack the extension read it by the session that is kept in the one that has it."""
    has, lacks = newest_server.new_database(), newest_server.new_database()
    lacks.sql("DROP EXTENSION pg_stat_statements")
    newest_server.sql("DROP EXTENSION IF EXISTS pg_stat_statements")
    memory = Memory()
    role = (has.role, has.password)
    dsns = {db.name: newest_server.dsn(db.name, *role) for db in (has, lacks)}
    several = [collecting(dsn, name, memory) for name, dsn in dsns.items()]
    try:
        for _ in range(3):
            for each in several:
                each.once()
        session = kept_session(newest_server, has.name)
        assert several[1].once().top_queries is not None
        assert newest_server.sql(BACKENDS, (has.name,)) == [session]
    finally:
        for each in several:
            each.close()
        for db in (has, lacks):
            db.drop()


def test_databases_share_the_budget() -> None:
    memory = Memory()
    assert [claim(memory, name, 1.0, time.monotonic()) for name in "abcd"] == [True, False, False, False]
    budget = Budget(Allowance(0.01), 1.0, memory.comers)  # 10 ms a cycle, of which a fourth is this one's
    for _ in range(5):
        budget.spent({"tables": Cost(5.0, 1, 1)})
    assert budget.every_nth == {"tables": 2}
