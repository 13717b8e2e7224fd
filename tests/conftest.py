"""Fixtures by theme; and a run that is told to end leaves nothing behind."""

import fcntl
import signal
from collections.abc import Generator
from typing import Any

import pytest

# Long tests that share nothing: each goes to the process that is free, and not all of a file's to the same one.
APART = tuple(f"tests/{folder}/" for folder in ("agent", "demo", "e2e", "faults"))

pytest_plugins = (
    "tests.fix_postgres",
    "tests.fix_endpoint",
    "tests.fix_daemon",
    "tests.fix_faults",
    "tests.fix_proxy",
    "tests.fix_pgbouncer",
    "tests.fix_browser",
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes 10 s or more: of those that share nothing it begins first")
    signal.signal(signal.SIGTERM, _end)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, _ignore)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What begins last is short, and the processes end together."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Of several processes one rewrites a module's asserts; the others wait, and read what it has kept."""
    if not isinstance(collector, pytest.Module) or not hasattr(collector.config, "workerinput"):
        return (yield)
    with collector.path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With --dist loadfile a file's tests go to one process, where they share servers, save those of `APART`."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/browser/"):
                return "browser"  # they share a daemon's snapshots and a Chromium
            if not nodeid.startswith(APART):
                return super()._split_scope(nodeid)
            return "installed" if "installed" in nodeid else nodeid  # they share a wheel and a venv

    return Scheduling(config, log) if config.option.dist == "loadfile" else None


def _end(signum: int, frame: object) -> None:
    """SIGTERM unwinds as Ctrl+C does, so that servers and processes are stopped."""
    raise KeyboardInterrupt


def _ignore(signum: int, frame: object) -> None:
    """What we ignore (as under nohup, or in the background of a shell) our processes would inherit; a handler not."""
