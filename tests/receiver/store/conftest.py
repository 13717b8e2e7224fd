from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgdoctor_lib.receiver.store import Store, open_store
from tests.postgres import extensions
from tests.postgres.server import Database

_EXTENSIONS = [name for name in extensions.SETTINGS if extensions.is_available(name)]


@pytest.fixture(params=["sqlite", "postgres", *_EXTENSIONS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty one of each kind in turn: they tell the same."""
    if request.param in _EXTENSIONS:
        database = request.getfixturevalue("extended")(request.param)
        place = database.server.dsn(database.name)
    else:
        place = str(tmp_path / "serve.db") if request.param == "sqlite" else request.getfixturevalue("store_dsn")
    made = open_store(place)
    # The disk's time is not what these tests are about.
    made._db.run("PRAGMA synchronous = OFF" if request.param == "sqlite" else "SET synchronous_commit = off")
    yield made
    made.close()


@pytest.fixture
def extendable() -> Iterator[Callable[[str], Database]]:
    """`extendable(extension)`: a database that could have it, for a store; skips where no server has it."""
    made: list[Database] = []

    def make(extension: str) -> Database:
        made.append(extensions.new_database(extension))
        return made[-1]

    yield make
    for each in made:
        extensions.drop(each)


@pytest.fixture
def extended(extendable: Callable[[str], Database]) -> Callable[[str], Database]:
    """`extended(extension)`: a database that has it."""

    def make(extension: str) -> Database:
        database = extendable(extension)
        extensions.extend(database, extension)
        return database

    return make


@pytest.fixture
def store_database(newest_server) -> Iterator[Database]:
    """A database of PostgreSQL for a store."""
    made = newest_server.new_database()
    yield made
    made.drop()


@pytest.fixture
def store_dsn(store_database: Database) -> str:
    return str(store_database.server.dsn(store_database.name))
