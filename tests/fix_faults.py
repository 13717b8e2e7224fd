"""The fault suite's own: how much of each fault is tried, and the figures that come of it.

`make test` runs a quick part of each; `make faults` (`pytest tests/faults --full`) runs all of it, and prints the
figures that docs/reliability.md shows.
"""

from collections.abc import Callable

import pytest

_FIGURE = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="all of each fault, not the quick part; checks on every major")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --full each fault test may take an hour; without, tests marked `full` do not run."""
    full = config.getoption("--full")
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.timeout(3600 if full else 240))
    if not full:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: a fault test that only `make faults` runs")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    figures = [line for report in reports for key, line in report.user_properties if key == _FIGURE]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`amount(quick, full)`: how many, in this run."""
    return lambda quick, full: full if request.config.getoption("--full") else quick


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`figure("kill -9 at random", "500 kills, 0 lost")`: a line of the summary, as docs/reliability.md has it."""
    return lambda promise, value: request.node.user_properties.append((_FIGURE, f"{promise}: {value}"))
