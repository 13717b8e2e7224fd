"""A real daemon that watches a real server, a real `serve`, and Chromium looking at it.

What there is to see is planted once, for all tests here; then the daemon ends, and they look at what it has sent.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.planted import Site, planted
from tests.browser.tab import Tab
from tests.fix_daemon import Cli
from tests.fix_postgres import newest
from tests.postgres.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def site(chromium: "Browser", tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Site]:
    """The receiver with what was planted."""
    cli = Cli(tmp_path_factory.mktemp("site"))
    server = Server.create(*newest(pytestconfig))
    try:
        with planted(server, cli) as made:
            yield made
    finally:
        cli.end()
        server.destroy()


@pytest.fixture
def tab(chromium: "Browser", site: Site) -> Iterator[Callable[..., Tab]]:
    """`tab(path, **context)`: a tab of its own; in the end nothing may have run, failed, or gone elsewhere."""
    opened: list[Tab] = []

    def make(path: str = "/", **options: object) -> Tab:
        opened.append(Tab(chromium, site.url, **options))
        opened[-1].go(path)
        return opened[-1]

    yield make
    for each in opened:
        each.close()
