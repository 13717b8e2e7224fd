"""What the daemon tells systemd (`Type=notify`, `WatchdogSec`); without systemd nothing is told to anybody.

A message is one datagram of lines `NAME=value`. It is sent without waiting, and one that cannot be sent is
dropped. Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import contextlib
import functools
import os
import socket
import time
from collections.abc import MutableMapping


def ready() -> None:
    """Everything runs; also after a reload."""
    _manager().send("READY=1")


def reloading() -> None:
    """The configuration is being read anew; `ready` says that this is over, whatever came of it."""
    _manager().send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """A signal came, and what is at work is being finished."""
    _manager().send("STOPPING=1")


def alive() -> None:
    """The event loop turns: to be said every `alive_every_s()`."""
    _manager().send("WATCHDOG=1")


def alive_every_s() -> float | None:
    """A third of the seconds after which systemd takes a silent daemon for stuck; None: nobody asks."""
    return _manager().alive_every_s


class Manager:
    """The socket that the environment names; what it says is taken out, so that no process started from here has it."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        self.alive_every_s: float | None = None
        if address.startswith(("/", "@")):
            # opened now and kept: a daemon that runs out of descriptors later is still alive
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            if usec.isdecimal() and int(usec) and pid in ("", str(os.getpid())):
                self.alive_every_s = int(usec) / 3_000_000

    def send(self, *lines: str) -> None:
        """Send the lines as one message, or nothing where it would have to wait, or nobody is there."""
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Nothing more is told."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@functools.cache
def _manager() -> Manager:
    return Manager(os.environ)
