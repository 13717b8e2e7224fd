"""Fixtures of the daemon's tests."""

from collections.abc import Iterator

import pytest

from tests.agent.at_home import here
from tests.postgres.server import Database, Server

__all__ = ["here"]


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    """A database on the newest server alone: what the daemon does with it is the same on all."""
    made = newest_server.new_database()
    yield made
    made.drop()
