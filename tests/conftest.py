"""Fixtures by theme; and a run that is told to end leaves nothing behind."""

import signal

pytest_plugins = (
    "tests.fix_postgres",
    "tests.fix_endpoint",
    "tests.fix_daemon",
    "tests.fix_faults",
    "tests.fix_proxy",
    "tests.fix_pgbouncer",
)


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, _end)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, _ignore)


def _end(signum: int, frame: object) -> None:
    """SIGTERM unwinds as Ctrl+C does, so that servers and processes are stopped."""
    raise KeyboardInterrupt


def _ignore(signum: int, frame: object) -> None:
    """What we ignore (as under nohup, or in the background of a shell) our processes would inherit; a handler not."""
