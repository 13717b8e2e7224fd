"""What comes first: standard streams that are there, no core file, and signals that wait for a listener."""

import contextlib
import os
import resource
import signal
import sys

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


def prepare() -> None:
    """Stand closed standard streams, and hold signals back while there is nobody yet to take them.

    No core file is written of this process, nor of those that it starts: its memory holds passwords and the token.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it; the unit sets it itself
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _open_missing()


def take_signals() -> None:
    """From now on signals come through, those that were held back first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _open_missing() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: else the next file or socket would get that number, and our output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (for good)
