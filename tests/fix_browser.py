"""The machine's Chromium, driven by Playwright: fixture `chromium`.

Where it cannot be had its tests are skipped loudly; in CI they fail.
"""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_MISSING = "no browser to look with"
# root may not have the sandbox; and what it keeps in memory may be more than a container's /dev/shm holds
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """One Chromium for the run, without anything of anybody's in it."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        _not_available("apt-get install chromium")
    if not (find_spec("playwright") and find_spec("axe_playwright_python")):
        _not_available("pip install -e '.[browser]'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if missed := [why for why in skipped if _MISSING in why]:
        line = f"{_MISSING}: {len(missed)} tests of the page did not run; see tests/fix_browser.py"
        terminalreporter.write_line(line, red=True, bold=True)


def _not_available(remedy: str) -> NoReturn:
    reason = f"{_MISSING}: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
