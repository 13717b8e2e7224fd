"""What there is to see: a server with things planted in it, and what a daemon told a receiver of it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from tests.fix_daemon import Cli
from tests.postgres.server import Database, Server
from tests.receiver.busy import recording
from tests.receiver.client import TOKEN, Client, snapshot
from tests.waiting import wait_for

# what a page that forgets to escape would run; as long as PostgreSQL lets a name be
HOSTILE = '"><script>__pwned=1</script><img src=x onerror=__pwned=1>'
SLOW = "SELECT count(*) AS planted_slow FROM orders a JOIN orders b USING (customer_id) WHERE a.order_id < 3000"
LATER = "SELECT count(*) AS planted_later FROM orders a JOIN orders b USING (customer_id)"
_QUOTED = f'"{HOSTILE.replace(chr(34), chr(34) * 2)}"'
_TABLES = (
    "CREATE TABLE customers AS SELECT g AS customer_id FROM generate_series(1, 2000) g",
    "ALTER TABLE customers ADD PRIMARY KEY (customer_id)",
    "CREATE TABLE orders AS SELECT g AS order_id, 1 + g % 50 AS customer_id, repeat('x', 80) AS note"
    " FROM generate_series(1, 20000) g",
    "ALTER TABLE orders ADD PRIMARY KEY (order_id), ADD FOREIGN KEY (customer_id) REFERENCES customers",
    "CREATE INDEX orders_note ON orders (note)",
    "CREATE INDEX orders_note_again ON orders (note)",
    "ALTER TABLE orders SET (autovacuum_enabled = off)",
    "DELETE FROM orders WHERE order_id % 3 = 0",
    f"CREATE TABLE {_QUOTED} ({_QUOTED} int PRIMARY KEY)",
    f"INSERT INTO {_QUOTED} SELECT generate_series(1, 1000)",
    f"CREATE ROLE {_QUOTED}",
    "ANALYZE",
)


@dataclass(frozen=True)
class Site:
    """`url`: the page's address; `shop`: the path of the database in which everything is planted; `crowded`: of one
    that a recording was told of."""

    url: str
    shop: str
    crowded: str
    receiver: Client


@contextmanager
def planted(server: Server, cli: Cli) -> Iterator[Site]:
    """Plant it, let the daemon see it; the receiver goes on, the daemon not, so that pages stay as they are."""
    shop, other = server.new_database(), server.new_database()
    for statement in (*_TABLES, SLOW, f"GRANT pg_read_all_data TO {shop.role}"):  # the slow one's plan is in the first
        shop.sql(statement)
    receiver = Client(cli)
    config = _config(cli.cwd / "pgdoctor.yaml", receiver, {"shop": shop, HOSTILE: other})
    with _chain(shop):
        daemon = cli.start("daemon", "--config", str(config))
        _wait_for_snapshots(receiver, 1)
        for _ in range(3):
            shop.sql(SLOW)
            shop.sql(f"SELECT count(*) AS {_QUOTED} FROM {_QUOTED}")
        for label in (HOSTILE, "v2"):
            _mark(cli, config, label)
            _wait_for_snapshots(receiver, 2, more=True)
        shop.sql(SLOW)
        shop.sql(LATER)
        _wait_for_snapshots(receiver, 2, more=True)
        daemon.send()
        ended = daemon.finish()
        assert ended.returncode == 0, ended.stderr
    _tell_of_a_crowd(receiver)
    paths = {each["name"]: f"/databases/{each['id']}" for each in receiver.get("/api/databases").json["databases"]}
    yield Site(f"http://127.0.0.1:{receiver.port}", paths["shop"], paths["crowded"], receiver)


def _tell_of_a_crowd(receiver: Client) -> None:
    told = json.loads(snapshot("crowded").body())
    told["sections"]["recording"] = {"rows": [recording(time.time())], "total": {}, "more": 0}
    assert receiver.post(json.dumps(told).encode()).status == 201


def _config(path: Path, receiver: Client, databases: dict[str, Database]) -> Path:
    document = {
        "endpoint": f"http://127.0.0.1:{receiver.port}/api/snapshots",
        "token": TOKEN,
        "interval": 1,
        "budget": "100%",
        "explain": True,
        "recorder": {"waiters": 1},
        "thresholds": [{"check": "blocking-chain", "warning_s": 1}],
        "databases": [{"name": name, "dsn": made.dsn, "tags": [name]} for name, made in databases.items()],
    }
    path.touch(0o600)
    path.write_text(json.dumps(document))  # JSON is YAML
    return path


def _wait_for_snapshots(receiver: Client, count: int, *, more: bool = False) -> None:
    """So many of each database; `more`: than there are now, the first of which may have been at work by then."""
    have = _counts(receiver) if more else {}

    def come() -> bool:
        found = _counts(receiver)
        return len(found) == 2 and all(found[name] >= have.get(name, 0) + count for name in found)

    wait_for(come, f"not {count} snapshots of each", timeout_s=60)


def _counts(receiver: Client) -> dict[str, int]:
    found = receiver.get("/api/databases").json["databases"]
    listed = {each["name"]: receiver.get(f"/api/databases/{each['id']}/snapshots?limit=100").json for each in found}
    return {name: len(each["snapshots"]) for name, each in listed.items()}


def _mark(cli: Cli, config: Path, label: str) -> None:
    done = cli.run("mark", label, "--config", str(config))
    assert done.returncode == 0, done.stderr


@contextmanager
def _chain(database: Database) -> Iterator[None]:
    """A session that holds a row, idle in its transaction, and one that waits for it."""
    holder, waiter = (database.server.connect(database.name) for _ in range(2))
    for each in (holder, waiter):
        each.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false)", (HOSTILE,))
        cursor.execute(f"UPDATE {_QUOTED} SET {_QUOTED} = -1 WHERE {_QUOTED} = 1")

    def wait() -> None:
        with suppress(psycopg2.Error), waiter.cursor() as cursor:
            cursor.execute(f"UPDATE {_QUOTED} SET {_QUOTED} = -2 WHERE {_QUOTED} = 1")

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        wait_for(lambda: database.sql("SELECT 1 FROM pg_locks WHERE NOT granted"), "nobody waits")
        yield
    finally:
        holder.close()
        thread.join()
        waiter.close()
