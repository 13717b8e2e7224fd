"""What the fault tests of delivery share."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.ledger import Ledger
from tests.faults.scene import Scene
from tests.fix_daemon import Cli
from tests.postgres.server import Server


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An endpoint that keeps a ledger."""
    made = Ledger()
    yield made
    made.down()


@pytest.fixture
def scene(cli: Cli, ledger: Ledger, newest_server: Server) -> Iterator[Callable[..., Scene]]:
    """`scene(2)`: a daemon's configuration for that many databases on the newest server, with the ledger."""
    made = [newest_server.new_database() for _ in range(3)]

    def make(count: int = 1, **settings: object) -> Scene:
        dsns = {f"db{number}": each.dsn for number, each in enumerate(made[:count], 1)}
        return Scene(cli, dsns, ledger.url, **settings)

    yield make
    cli.end()
    for each in made:
        each.drop()
