"""The demo's application: makes two databases, then keeps them busy until it is ended.

A plain process of its own (`python -m pgdoctor_lib.demo.workload SOCKET_FOLDER PORT`), because it
plays the user's part: it writes, and it brings its own psycopg2. Passwords come from the
environment: PGPASSWORD (the administrator's) and PGDOCTOR_DEMO_PASSWORD (for the role that it
makes for the daemon). It prints `ready` when the databases stand.
"""

import os
import random
import secrets
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

DATABASES = ("shop", "analytics")
OWNER, MONITOR = "app", "pgdoctor"
HELD_S = 12.0  # longer than the demo's interval, so that snapshots show who waits for whom
FORGOTTEN_S = 60.0
MOST_EVENTS = 200_000  # about 100 MB: a demo left alone must not fill the disk

Run = Callable[[Any], None]


@dataclass(frozen=True)
class Job:
    """One session of the application: what it does, every so many seconds."""

    database: str
    name: str
    every_s: float
    run: Run


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
    """A table that grows."""
    cursor.execute("INSERT INTO events (kind, detail) SELECT 'view', repeat('x', 400) FROM generate_series(1, 60)")
    cursor.execute("SELECT max(event_id) - min(event_id) FROM events")
    if cursor.fetchone()[0] > MOST_EVENTS:
        cursor.execute("TRUNCATE events")


def reprice(cursor: Any) -> None:
    """Holds a lock on the first product for a while: `buy` waits for it."""
    cursor.execute("BEGIN")
    cursor.execute("UPDATE products SET price = price + 1 WHERE product_id = 1")
    time.sleep(HELD_S)
    cursor.execute("COMMIT")


def buy(cursor: Any) -> None:
    """One more of the first product, which somebody may hold locked."""
    cursor.execute("UPDATE products SET stock = stock - 1 WHERE product_id = 1")


def forget(cursor: Any) -> None:
    """A transaction that was left open: idle in transaction, for a minute."""
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


def refresh(cursor: Any) -> None:
    """What a dashboard shows, computed anew."""
    cursor.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily_views")
    cursor.execute("SELECT day, views FROM daily_views ORDER BY day DESC LIMIT 30")


JOBS = (
    Job("shop", "shop web", 0.2, browse),
    Job("shop", "shop web", 0.2, browse),
    Job("shop", "shop carts", 0.5, fill_carts),
    Job("shop", "shop events", 1.0, log_events),
    Job("shop", "shop admin", 20.0, reprice),
    Job("shop", "shop checkout", 2.0, buy),
    Job("shop", "shop console", 1.0, forget),
    Job("analytics", "analytics loader", 0.5, load_views),
    Job("analytics", "analytics report", 8.0, report),
    Job("analytics", "analytics dashboard", 15.0, refresh),
)


class Application:
    """Connections to one server, as the administrator and as the owner of the databases."""

    def __init__(self, host: str, port: str) -> None:
        self._host, self._port = host, port
        self._password = secrets.token_urlsafe(18)

    def connect(self, database: str, role: str, name: str) -> Any:
        """A session that commits each statement."""
        password = self._password if role == OWNER else os.environ["PGPASSWORD"]
        connection = psycopg2.connect(
            host=self._host, port=self._port, dbname=database, user=role, password=password, application_name=name
        )
        connection.autocommit = True
        return connection

    def prepare(self) -> None:
        """The roles, then the databases with their tables and rows."""
        with closing(self.connect("postgres", "postgres", "demo")) as connection, connection.cursor() as cursor:
            for role, password in ((OWNER, self._password), (MONITOR, os.environ["PGDOCTOR_DEMO_PASSWORD"])):
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role)), (password,))
            cursor.execute(f"GRANT pg_monitor TO {MONITOR}")
            for database in DATABASES:
                cursor.execute(f"CREATE DATABASE {database} OWNER {OWNER}")
        for database in DATABASES:
            with closing(self.connect(database, "postgres", "demo")) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE EXTENSION pg_stat_statements")
            tables = resources.files(__package__).joinpath(f"{database}.sql").read_text("utf-8")
            with closing(self.connect(database, OWNER, "demo")) as connection, connection.cursor() as cursor:
                cursor.execute(tables)

    def keep_at(self, job: Job) -> None:
        """Do a job for ever; a lost connection is made anew, anything else ends the application."""
        while True:
            try:
                with closing(self.connect(job.database, OWNER, job.name)) as connection, connection.cursor() as cursor:
                    while True:
                        job.run(cursor)
                        time.sleep(job.every_s * random.uniform(0.8, 1.2))
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                time.sleep(1)
            except BaseException:  # noqa: BLE001 (a thread that dies must not do so unseen)
                traceback.print_exc()
                os._exit(1)


def main(host: str, port: str) -> None:
    """Prepare, say so, and go on until a signal ends the process."""
    application = Application(host, port)
    application.prepare()
    print("ready", flush=True)
    for job in JOBS:
        threading.Thread(target=application.keep_at, args=(job,), daemon=True).start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
