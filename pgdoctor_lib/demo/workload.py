"""The demo's application: makes two databases, then keeps them busy until it is ended.

A plain process of its own (`python -m pgdoctor_lib.demo.workload SOCKET_FOLDER PORT STANDBY_PORT`), because it
plays the user's part: it writes, and it brings its own psycopg2. Passwords come from the
environment: PGPASSWORD (the administrator's) and PGDOCTOR_DEMO_PASSWORD (for the role that it
makes for the daemon). It prints `ready` when the databases stand. SIGUSR1 deploys its version 2, in
which something is slow.
"""

import os
import random
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg2
from psycopg2 import sql

from pgdoctor_lib.demo.cluster import SLOT

DATABASES = ("shop", "analytics")
OWNER, MONITOR = "app", "pgdoctor"
HELD_S = 30.0  # longer than the demo's interval, so that snapshots show who waits for whom, and for long
FORGOTTEN_S = 120.0
READ_S = 25.0  # within the 30 s that a standby's replay waits for a reader
MOST_EVENTS = 200_000  # about 100 MB: a demo left alone must not fill the disk

Run = Callable[[Any], None]


@dataclass(frozen=True)
class Job:
    """One session of the application: what it does, every so many seconds."""

    database: str
    name: str
    every_s: float
    run: Run
    is_on_standby: bool = False


def browse(cursor: Any) -> None:
    """What a page of the shop asks for: five quick statements, sometimes an order."""
    customer = random.randint(1, 10_000)
    cursor.execute("SELECT name, email FROM customers WHERE customer_id = %s", (customer,))
    for _ in range(3):
        cursor.execute("SELECT name, price, stock FROM products WHERE product_id = %s", (random.randint(1, 1000),))
    cursor.execute("SELECT count(*) FROM orders WHERE customer_id = %s AND status = 'open'", (customer,))
    if random.random() < 0.2:
        cursor.execute(
            "WITH placed AS (INSERT INTO orders (customer_id) VALUES (%s) RETURNING order_id)"
            " INSERT INTO order_items (order_id, product_id, quantity) SELECT order_id, %s, 1 FROM placed",
            (customer, random.randint(1, 1000)),
        )


def fill_carts(cursor: Any) -> None:
    """Updates of an indexed column: each leaves a dead row."""
    first = random.randint(1, 4900)
    cursor.execute("UPDATE carts SET seen_at = now() WHERE cart_id BETWEEN %s AND %s", (first, first + 39))


def log_events(cursor: Any) -> None:
    """A table that grows, about 100 MB an hour."""
    cursor.execute("INSERT INTO events (kind, detail) SELECT 'view', repeat('x', 400) FROM generate_series(1, 60)")
    cursor.execute("SELECT max(event_id) - min(event_id) FROM events")
    if cursor.fetchone()[0] > MOST_EVENTS:
        cursor.execute("TRUNCATE events")


def count_events(cursor: Any) -> None:
    """What a dashboard asks for all the time: quick for as long as there is an index."""
    # written so that it can be planned: pg_stat_statements makes of `interval '…'` what is no SQL
    cursor.execute("SELECT kind, count(*) FROM events WHERE happened_at > now() - '10 seconds'::interval GROUP BY kind")


def reprice(cursor: Any) -> None:
    """Holds a lock on the first product for a while: a crowd gathers before it."""
    cursor.execute("BEGIN")
    cursor.execute("UPDATE products SET price = price + 1 WHERE product_id = 1")
    time.sleep(HELD_S)
    cursor.execute("COMMIT")


def buy(cursor: Any) -> None:
    """One more of the first product, which somebody may hold locked."""
    cursor.execute("UPDATE products SET stock = stock - 1 WHERE product_id = 1")


def take_stock(cursor: Any) -> None:
    """Waits for the first product, too, and has the second one locked meanwhile."""
    cursor.execute("BEGIN")
    cursor.execute("UPDATE products SET stock = stock WHERE product_id = 2")
    cursor.execute("UPDATE products SET stock = stock WHERE product_id = 1")
    cursor.execute("COMMIT")


def take_back(cursor: Any) -> None:
    """One of the second product comes back: at the far end of the chain."""
    cursor.execute("UPDATE products SET stock = stock + 1 WHERE product_id = 2")


def forget(cursor: Any) -> None:
    """A transaction that was left open: idle in transaction, for two minutes."""
    cursor.execute("BEGIN")
    cursor.execute("SELECT count(*) FROM customers")
    time.sleep(FORGOTTEN_S)
    cursor.execute("ROLLBACK")


def load_views(cursor: Any) -> None:
    """New page views come in."""
    cursor.execute(
        "INSERT INTO page_views (visitor_id, path, duration_ms)"
        " SELECT 1 + n %% 5000, '/product/' || n %% 1000, n %% 900 FROM generate_series(%s, %s) AS n",
        (first := random.randint(1, 100_000), first + 20),
    )


def report(cursor: Any) -> None:
    """The slow one: reads all page views twice, with no index that helps, and sorts."""
    cursor.execute(
        "SELECT path, country, count(DISTINCT visitor_id), percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms)"
        "  FROM page_views JOIN visitors USING (visitor_id)"
        " WHERE duration_ms > (SELECT avg(duration_ms) / 10 FROM page_views WHERE path ~ '^/product/[0-9]*7[0-9]*$')"
        " GROUP BY path, country ORDER BY 3 DESC LIMIT 20"
    )


def read_on(cursor: Any) -> None:
    """Counts what was sold, on the standby, and keeps its snapshot: replay waits for it with what it may see."""
    cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("SELECT product_id, sum(quantity) FROM order_items GROUP BY 1 ORDER BY 2 DESC LIMIT 20")
    time.sleep(READ_S)
    cursor.execute("COMMIT")


def refresh(cursor: Any) -> None:
    """What a dashboard shows, computed anew."""
    cursor.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_views")
    cursor.execute("SELECT day, views FROM daily_views ORDER BY day DESC LIMIT 30")


JOBS = (
    Job("shop", "shop web", 0.2, browse),
    Job("shop", "shop web", 0.2, browse),
    Job("shop", "shop carts", 0.5, fill_carts),
    Job("shop", "shop events", 1.0, log_events),
    Job("shop", "shop monitor", 0.5, count_events),
    Job("shop", "shop admin", 75.0, reprice),
    *[Job("shop", "shop checkout", 3.0, buy)] * 4,
    Job("shop", "shop stock", 5.0, take_stock),
    Job("shop", "shop returns", 5.0, take_back),
    Job("shop", "shop console", 60.0, forget),
    Job("analytics", "analytics loader", 0.5, load_views),
    Job("analytics", "analytics report", 8.0, report),
    Job("analytics", "analytics dashboard", 15.0, refresh),
    Job("shop", "shop accounts", 50.0, read_on, is_on_standby=True),
)


class Application:
    """Connections to one server, as the administrator and as the owner of the databases."""

    def __init__(self, host: str, port: str, standby: str) -> None:
        self._host, self._port, self._standby = host, port, standby
        self._password = secrets.token_urlsafe(18)

    @property
    def jobs(self) -> list[Job]:
        """All that there is to do here."""
        return [job for job in JOBS if int(self._standby) or not job.is_on_standby]

    def connect(self, database: str, role: str, name: str, *, is_on_standby: bool = False) -> Any:
        """A session that commits each statement."""
        port = self._standby if is_on_standby else self._port
        password = self._password if role == OWNER else os.environ["PGPASSWORD"]
        connection = psycopg2.connect(
            host=self._host, port=port, dbname=database, user=role, password=password, application_name=name
        )
        connection.autocommit = True
        return connection

    def prepare(self) -> None:
        """The roles, then the databases with their tables and rows."""
        with closing(self.connect("postgres", "postgres", "demo")) as connection, connection.cursor() as cursor:
            if int(self._standby):
                cursor.execute("SELECT pg_create_physical_replication_slot(%s, true)", (SLOT,))
            for role, password in ((OWNER, self._password), (MONITOR, os.environ["PGDOCTOR_DEMO_PASSWORD"])):
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role)), (password,))
            cursor.execute(f"GRANT pg_monitor TO {MONITOR}")
            if connection.server_version >= 160000:  # what is planned is what the role may read
                cursor.execute(f"GRANT pg_read_all_data TO {MONITOR}")
            for database in DATABASES:
                cursor.execute(f"CREATE DATABASE {database} OWNER {OWNER}")
        for database in DATABASES:
            with closing(self.connect(database, "postgres", "demo")) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE EXTENSION pg_stat_statements")
            tables = resources.files(__package__).joinpath(f"{database}.sql").read_text("utf-8")
            with closing(self.connect(database, OWNER, "demo")) as connection, connection.cursor() as cursor:
                cursor.execute(tables)
        self.warm_up()

    def warm_up(self) -> None:
        """What is planned, once an hour, is what took most time so far: not these tables' making, then."""
        with closing(self.connect("shop", "postgres", "demo")) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_statements_reset()")  # of all databases
        for database, run, times in (("shop", count_events, 1000), ("analytics", report, 1)):
            with closing(self.connect(database, OWNER, "demo")) as connection, connection.cursor() as cursor:
                for _ in range(times):
                    run(cursor)

    def deploy(self) -> None:
        """Version 2: its migration drops an index that `count_events` was quick by."""
        with closing(self.connect("shop", OWNER, "shop deploy")) as connection, connection.cursor() as cursor:
            cursor.execute("ALTER TABLE orders ADD COLUMN note text")
            cursor.execute("DROP INDEX events_happened_at_idx")

    def keep_at(self, job: Job) -> None:
        """Do a job for ever; a lost connection is made anew, anything else ends the application."""
        while True:
            try:
                connection = self.connect(job.database, OWNER, job.name, is_on_standby=job.is_on_standby)
                with closing(connection), connection.cursor() as cursor:
                    while True:
                        job.run(cursor)
                        time.sleep(job.every_s * random.uniform(0.8, 1.2))
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                time.sleep(1)
            except BaseException:  # noqa: BLE001 (a thread that dies must not do so unseen)
                traceback.print_exc()
                os._exit(1)


def main(host: str, port: str, standby: str) -> None:
    """Prepare, say so, and go on until a signal ends the process; SIGUSR1 is waited for, once."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    application = Application(host, port, standby)
    application.prepare()
    print("ready", flush=True)
    for job in application.jobs:
        threading.Thread(target=application.keep_at, args=(job,), daemon=True).start()
    signal.sigwait([signal.SIGUSR1])
    application.deploy()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
