"""Where a store is: a file's path, or a PostgreSQL database's connection string."""

import os
import re

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.receiver.store.db import Db
from pgdoctor_lib.receiver.store.model import Retention
from pgdoctor_lib.receiver.store.postgres import PostgresDb
from pgdoctor_lib.receiver.store.sqlite import SqliteDb
from pgdoctor_lib.receiver.store.store import Store

_DSN = re.compile(r"postgres(ql)?://|[a-z_]+ *=")


def open_store(place: str, retention: Retention | None = None) -> Store:
    """The store there, made where it is missing. StoreError where it cannot be opened, ConfigError for a bad DSN."""
    return Store(open_db(place), retention)


def open_db(place: str) -> Db:
    """What is behind the store."""
    return PostgresDb(place) if is_dsn(place) else SqliteDb(place)


def is_dsn(place: str) -> bool:
    """True for a connection string, in either form; a path is absolute."""
    return _DSN.match(place) is not None


def shown(place: str) -> str:
    """For people: nothing secret in it."""
    return Dsn.parse(place, os.environ).display if is_dsn(place) else place
