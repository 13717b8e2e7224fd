"""Other people's sessions, as faults are planted with them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import psycopg2

from tests.postgres.server import Database
from tests.waiting import wait_for

WAITS = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
SLEEPS = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"


@contextmanager
def session(database: Database, *statements: str) -> Iterator[int]:
    """The pid of a session that has run these, and does nothing."""
    connection = database.server.connect(database.name)
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    try:
        yield connection.info.backend_pid
    finally:
        connection.close()


@contextmanager
def running(database: Database, statement: str, until: str) -> Iterator[int]:
    """The pid of a session that is at `statement`, so that `until` finds something; it is cancelled in the end."""
    connection = database.server.connect(database.name)
    pid = connection.info.backend_pid
    thread = Thread(target=_execute, args=(connection, statement))
    thread.start()
    try:
        wait_for(lambda: database.sql(until, [pid]), f"{statement} does not wait")
        yield pid
    finally:
        database.sql("SELECT pg_cancel_backend(%s)", [pid])
        thread.join()
        connection.close()


@contextmanager
def repeating(database: Database, statement: str) -> Iterator[None]:
    """A session runs `statement` again and again."""
    connection, enough = database.server.connect(database.name), Event()

    def run() -> None:
        with connection.cursor() as cursor:
            while not enough.is_set():
                cursor.execute(statement)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        connection.close()


def _execute(connection: Any, statement: str) -> None:
    with suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute(statement)
