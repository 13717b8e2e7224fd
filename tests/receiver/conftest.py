from collections.abc import Iterator

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import Client


@pytest.fixture
def receiver(cli: Cli) -> Client:
    """A receiver on a port of its own, its data in the test's home."""
    return Client(cli)


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One receiver for all tests that leave it as it was, or do not care what it holds."""
    cli = Cli(tmp_path_factory.mktemp("shared"))
    yield Client(cli)
    cli.end()
