"""The store in PostgreSQL: several receivers at once, a server that goes away, partitions, secrets."""

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from pgdoctor_lib.errors import DeadlineExceeded
from pgdoctor_lib.receiver.metrics import PLACE
from pgdoctor_lib.receiver.store import Retention, Store, StoreError, open_store
from pgdoctor_lib.receiver.store import keep as keeping
from pgdoctor_lib.receiver.store.postgres import PostgresDb
from pgdoctor_lib.receiver.store.series import rollups
from tests.fix_daemon import Cli
from tests.postgres.server import Database, Server
from tests.receiver.client import Client, snapshot
from tests.receiver.store import documents
from tests.receiver.store.documents import T0, counters, many, query
from tests.waiting import wait_for

DAY = 86_400.0


def _receiver(cli: Cli, dsn: str) -> Client:
    return Client(cli, env={"PGDOCTOR_STORE": dsn})


def _deliver(receivers: list[Client], body: bytes) -> int:
    """As an agent behind a load balancer: what was not answered is sent again, to whoever is there."""
    while True:
        with suppress(OSError, HTTPException):
            status = random.choice(receivers).post(body).status
            assert status in (201, 409, 503), status
            if status != 503:
                return status


def test_two_receivers_one_killed_under_load_nothing_lost_nothing_doubled(
    cli: Cli, store_dsn: str, store_database: Database
) -> None:
    receivers = [_receiver(cli, store_dsn), _receiver(cli, store_dsn)]
    bodies = [snapshot(f"db{number % 5}", ago_s=number).body() for number in range(400)]
    waiting, accepted = list(bodies), []

    def send() -> None:
        with suppress(IndexError):
            while True:
                accepted.append(_deliver(receivers, waiting.pop()))

    senders = [threading.Thread(target=send) for _ in range(6)]
    for sender in senders:
        sender.start()
    wait_for(lambda: len(accepted) >= 100, "snapshots are accepted", 60)
    receivers[0].running.kill()
    for sender in senders:
        sender.join()
    assert len(accepted) == 400
    for table in ("snapshot", "body", "point"):
        assert store_database.sql(f"SELECT count(*) FROM pgdoctor.{table}") == [(400,)]
    for body in bodies[::40]:
        identity = documents.json.loads(body)["snapshot_id"]
        assert receivers[1].get(f"/api/snapshots/{identity}").body == body


def test_a_server_that_was_away_is_found_again(cli: Cli, fresh_server: Server) -> None:
    receiver = _receiver(cli, fresh_server.dsn("postgres"))
    assert receiver.post(snapshot().body()).status == 201
    fresh_server.restart()
    body = snapshot().body()
    answers: list[int] = []
    wait_for(lambda: answers.append(receiver.post(body).status) or answers[-1] in (201, 409), "the store again")
    assert set(answers) <= {201, 409, 503}
    assert receiver.get("/api/databases").json["databases"][0]["name"] == "production"
    fresh_server.stop()
    assert receiver.post(snapshot().body()).status == 503
    metrics = receiver.get("/metrics")
    assert (metrics.status, "pgdoctor_receiver_store_up 0\n" in metrics.text) == (200, True)
    fresh_server.start()
    wait_for(lambda: receiver.post(body).status == 409, "the store again")


@pytest.mark.parametrize("given", ["argument", "joined", "environment"])
def test_the_password_is_shown_nowhere(cli: Cli, store_database: Database, given: str) -> None:
    store_database.sql(f'GRANT CREATE ON DATABASE "{store_database.name}" TO "{store_database.role}"')
    dsn = store_database.dsn
    args = {"argument": ("--store", dsn), "joined": (f"--store={dsn}",), "environment": ()}[given]
    receiver = Client(cli, *args, env={"PGDOCTOR_STORE": dsn} if given == "environment" else {})
    assert receiver.post(snapshot().body()).status == 201
    line = Path(f"/proc/{receiver.running.pid}/cmdline").read_text()
    assert store_database.password not in line
    told = receiver.running.wait_for_line(r"^Data: (.*)$")[1]
    assert store_database.name in told
    receiver.running.send()
    ended = receiver.running.finish()
    assert store_database.password not in ended.stdout + ended.stderr


def test_what_cannot_be_reached_is_one_line(cli: Cli, store_database: Database) -> None:
    for dsn, status in (
        ("postgresql://nobody:hidden-word@127.0.0.1:1/x", 1),
        (store_database.server.dsn("no_such_database"), 1),
        ("postgresql://[", 2),
        ("/a/path", 2),
        (store_database.dsn, 1),  # this role may not make a schema there
    ):
        ended = cli.run("serve", "--port", "0", "--store", dsn)
        assert (ended.returncode, ended.stderr.count("\n")) == (status, 1), ended.stderr
        assert "hidden-word" not in ended.stderr
    assert cli.run("serve", "--store", store_database.dsn, "--database", "x").returncode == 2
    assert cli.run("serve", "--store", store_database.dsn, "--max-size", "1GiB").returncode == 2


def test_on_the_oldest_server(oldest_server: Server) -> None:
    made = oldest_server.new_database()
    store = open_store(oldest_server.dsn(made.name), Retention(raw_s=1e10))
    for minute in range(20):
        at = T0 + 60 * minute
        store.keep(
            documents.snapshot(at, database=counters(600 * minute), queries=many([query("1", minute, minute)])), at
        )
    (source,) = store.sources()
    found = store.series(source.id, ["database.xact_commit"], T0, T0 + 1140, 19)
    assert found is not None
    assert found.values["database.xact_commit"] == pytest.approx([10] * 19)
    assert store.queries(source.id, T0, T0 + 1200)[0].calls == 19
    while store.roll_up(T0 + DAY) or store.prune(T0 + DAY):
        pass
    store.close()
    made.drop()


def _partitions(database: Database, of: str = "point") -> list[str]:
    found = database.sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition AND relname ~ %s ORDER BY 1", (f"^{of}_",)
    )
    return [name for (name,) in found]


def test_partitions_are_made_ahead_and_dropped_when_they_are_old(store_dsn: str, store_database: Database) -> None:
    store = open_store(store_dsn)
    assert len(_partitions(store_database)) == 3  # this week, the next, and the rest
    store._db.prepare(T0)
    for at in (T0, T0 - 365 * DAY):
        store.keep(documents.snapshot(at, database=counters(1)), at)
    assert store_database.sql("SELECT count(*) FROM ONLY pgdoctor.point_rest") == [(1,)]  # nobody made its week
    old = [name for name in _partitions(store_database) if "_2023" in name]
    assert len(old) == 2
    while store.prune(T0 + 5 * DAY):
        pass
    assert set(old) <= set(_partitions(store_database))
    assert store_database.sql("SELECT count(*) FROM ONLY pgdoctor.point_rest") == [(0,)]
    while store.prune(T0 + 40 * DAY):
        pass
    assert not set(old) & set(_partitions(store_database))
    store.close()


def test_of_several_receivers_one_is_at_the_upkeep(store_dsn: str) -> None:
    one, other = PostgresDb(store_dsn), PostgresDb(store_dsn)
    with one.alone() as is_mine:
        assert is_mine
        with other.alone() as is_theirs:
            assert not is_theirs
        assert not Store(other).prune(T0)
    with other.alone() as is_theirs:
        assert is_theirs
    one.close()
    other.close()


def test_upkeep_does_not_go_on_without_its_lock(store_dsn: str, store_database: Database) -> None:
    db = PostgresDb(store_dsn)
    with db.alone() as is_mine:
        assert is_mine
        ((pid,),) = db.rows("SELECT pg_backend_pid()")
        store_database.sql("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        for _ in range(2):  # whoever suppresses it once does not get a new one, either
            with pytest.raises(StoreError):
                db.rows("SELECT 1")
        with pytest.raises(StoreError):
            db.many("DELETE FROM rollup WHERE at < ?", [(T0,)])
    with db.transaction():
        assert db.rows("SELECT 1") == [(1,)]
    with db.alone() as is_mine:
        assert is_mine
        with db.transaction():
            db.run("DELETE FROM rollup")
        assert db.rows("SELECT 1") == [(1,)]
    db.close()


def _meanwhile(dsn: str, database: Database, keep: Callable[[Store], None], upkeep: Callable[[Store], object]) -> None:
    """`keep` in a transaction of one receiver, which ends when another one's `upkeep` is over, or waits for it."""
    one, other = open_store(dsn), open_store(dsn)
    worker = threading.Thread(target=upkeep, args=(other,))
    with one._db.transaction():
        keep(one)
        worker.start()
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        wait_for(
            lambda: not worker.is_alive() or database.sql(blocked, (database.name,)) == [(1,)], "the upkeep is at work"
        )
    worker.join()
    one.close()
    other.close()


def test_what_is_kept_while_its_bucket_is_summed_up_is_in_it(store_dsn: str, store_database: Database) -> None:
    store = open_store(store_dsn)
    made = [documents.snapshot(T0 + 60 * minute, database=counters(1)) for minute in range(6)]
    made[3] = documents.snapshot(T0 + 180, database=counters(1, size_bytes=6000))
    for each in (*made[:3], *made[4:]):
        store.keep(each, T0 + 360)
    source, now = store.sources()[0].id, T0 + 300 + 600
    _meanwhile(
        store_dsn,
        store_database,
        lambda one: keeping.keep_figures(one._db, made[3], source, T0 + 180),
        lambda other: other.roll_up(now),
    )
    while store.roll_up(now):
        pass
    (found,) = rollups(store._db, [source], 300, T0, T0 + 300)[source]
    assert found.means[PLACE["database.size_bytes"]] == 2000
    assert store._db.rows("SELECT count(*) FROM due WHERE step_s = 300 AND at = ?", (T0,)) == [(0,)]
    store.close()


def test_a_database_that_comes_back_is_not_forgotten(store_dsn: str, store_database: Database) -> None:
    store, finding = open_store(store_dsn), documents.finding()
    for name in ("app", "gone"):
        store.keep(documents.snapshot(T0, name=name, database=counters(1), findings=[finding]), T0)
    back, now = documents.snapshot(T0 + 20 * DAY, database=counters(1), findings=[finding]), T0 + 20 * DAY
    source = next(each.id for each in store.sources() if each.name == "app")

    def keep(one: Store) -> None:
        one._db.lock(source)
        keeping._keep_state(one._db, back, source, "", (now, now))

    _meanwhile(store_dsn, store_database, keep, lambda other: other.prune(now))
    assert [(each.name, each.warnings) for each in store.sources()] == [("app", 1)]
    assert [row.source_id for row in store.findings()] == [source]
    store.close()


def test_what_has_not_ended_in_time_is_not_sent_again(store_dsn: str) -> None:
    db = PostgresDb(store_dsn)
    db.run("CREATE SEQUENCE sent")
    tries = []

    def take(cursor: Any) -> None:
        tries.append(cursor.fetchall())
        if len(tries) == 1:
            raise DeadlineExceeded("the store: no answer")

    with pytest.raises(StoreError, match="no answer"):
        db._asked("SELECT nextval('sent')", (), take)
    assert db.rows("SELECT last_value FROM sent") == [(1,)]  # over a new connection
    db.close()


def test_receivers_that_start_at_once_make_the_tables_once(store_dsn: str) -> None:
    outcome: list[object] = []

    def open_one() -> None:
        try:
            made = open_store(store_dsn)
            outcome.append(made.stats().snapshots)
            made.close()
        except StoreError as error:
            outcome.append(error)

    _all_at_once(open_one, 5)
    assert outcome == [0] * 5


def _all_at_once(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
