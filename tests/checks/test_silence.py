"""Servers that are well: nothing critical, two warnings at most, each of them one that its test names."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pgdoctor_lib.agent.checkup import Checkup
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import load
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.report.result import Result
from tests.checks.conftest import MONITOR
from tests.postgres.server import Server

MAJORS = pytest.mark.parametrize("major", [12, 18])
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
TUNED = {
    **DURABLE,
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "work_mem": "16MB",
    "log_lock_waits": "on",
    "log_temp_files": "10MB",
    "log_checkpoints": "on",
    "log_autovacuum_min_duration": "1s",
    "idle_in_transaction_session_timeout": "10min",
    "track_io_timing": "on",
    "autovacuum_naptime": "1s",
}
BENCH = """
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
INSERT INTO pgbench_branches SELECT g, 0, '' FROM generate_series(1, 10) g;
INSERT INTO pgbench_tellers SELECT g, 1, 0, '' FROM generate_series(1, 100) g;
INSERT INTO pgbench_accounts SELECT g, 1, 0, '' FROM generate_series(1, 50000) g;
"""
ROUND = """
UPDATE pgbench_accounts SET abalance = abalance + {0} WHERE aid = {1};
SELECT abalance FROM pgbench_accounts WHERE aid = {1};
UPDATE pgbench_tellers SET tbalance = tbalance + {0} WHERE tid = {1} % 100 + 1;
UPDATE pgbench_branches SET bbalance = bbalance + {0} WHERE bid = {1} % 10 + 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, {1}, {0}, now());
"""
SHOP = """
DO $$ BEGIN FOR n IN 1..150 LOOP
  EXECUTE format('CREATE TABLE parent_%s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)', n);
  EXECUTE format('CREATE TABLE child_%s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,'
                 ' parent_id bigint NOT NULL REFERENCES parent_%s, x int)', n, n);
  EXECUTE format('CREATE INDEX ON child_%s (parent_id)', n);
  EXECUTE format('INSERT INTO parent_%s (name) SELECT md5(g::text) FROM generate_series(1, 200) g', n);
  EXECUTE format('INSERT INTO child_%s (parent_id, x) SELECT g %% 200 + 1, g FROM generate_series(1, 400) g', n);
END LOOP; END $$
"""


@contextmanager
def busy(server: Server, dbname: str, statement: Callable[[random.Random], str]) -> Iterator[None]:
    """Four clients at work meanwhile."""
    over = threading.Event()

    def client(number: int) -> None:
        dice = random.Random(number)
        connection = server.connect(dbname)
        while not over.is_set():
            connection.cursor().execute(statement(dice))
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for each in clients:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in clients:
            each.join()


def examined(server: Server, dbname: str = "postgres") -> Result:
    if not server.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", [MONITOR]):
        server.create_role(MONITOR, "secret")
    target = load.target_of(server.dsn(dbname, MONITOR, "secret"), {})
    [result] = Checkup(60, SYSTEM).run([target], lambda _: None)
    assert result.error == ""
    wrong = [why for why in result.not_examined.values() if "internal error" in why]
    assert wrong == []
    return result


def told(result: Result) -> set[str]:
    """The checks that say more than what is but worth knowing; nothing of it critical, save that 12 is out of life."""
    loud = [each for each in result.findings if each.severity > Severity.INFO and each.check != "version-outdated"]
    assert [finding.summary for finding in loud if finding.severity is Severity.CRITICAL] == []
    return {finding.check for finding in loud}


@MAJORS
def test_a_fresh_server_its_standby_and_one_that_is_pgbenched(
    make_server: Callable[..., Server], standby: Callable[[Server], Server], major: int
) -> None:
    server = make_server(major, **DURABLE)
    privileges = {"public-privileges"} if major < 15 else set()  # as it comes before 15
    assert told(examined(server)) <= privileges
    server.create_database("bench")
    server.sql(BENCH, dbname="bench")
    server.sql("CREATE EXTENSION pg_stat_statements", dbname="bench")
    server.sql("VACUUM ANALYZE", dbname="bench")
    with busy(server, "bench", lambda dice: ROUND.format(dice.randint(-99, 99), dice.randint(1, 50000))):
        assert told(examined(server, "bench")) <= privileges
    follower = standby(server)
    follower.restart(**DURABLE)
    assert told(examined(follower)) <= privileges
    assert told(examined(server)) <= privileges


@MAJORS
def test_a_busy_schema_of_300_tables_with_tuned_settings(make_server: Callable[..., Server], major: int) -> None:
    server = make_server(major, **TUNED)
    server.create_database("shop")
    server.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", dbname="shop")
    server.sql("CREATE EXTENSION pg_stat_statements", dbname="shop")
    server.sql(SHOP, dbname="shop")
    server.sql("VACUUM ANALYZE", dbname="shop")

    def statement(dice: random.Random) -> str:
        table, number = dice.randint(1, 150), dice.randint(1, 200)
        return dice.choice(
            [
                f"SELECT * FROM parent_{table} WHERE id = {number}",
                f"SELECT count(*) FROM child_{table} WHERE parent_id = {number}",
                f"UPDATE child_{table} SET x = x + 1 WHERE id = {number}",
                f"INSERT INTO child_{table} (parent_id, x) VALUES ({number}, 0)",
            ]
        )

    with busy(server, "shop", statement):
        result = examined(server, "shop")
    assert told(result) == set()
