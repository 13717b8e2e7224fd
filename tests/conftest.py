"""Fixtures by theme; and a run that is told to end leaves nothing behind."""

import signal

pytest_plugins = ("tests.fix_postgres", "tests.fix_endpoint", "tests.fix_daemon")


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, _end)


def _end(signum: int, frame: object) -> None:
    """SIGTERM unwinds as Ctrl+C does, so that servers and processes are stopped."""
    raise KeyboardInterrupt
