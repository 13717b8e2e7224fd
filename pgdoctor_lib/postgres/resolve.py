"""Names to addresses, without a slow resolver holding up those who do not need it.

A look-up cannot be ended: it keeps one of the threads that all look-ups of the process share for as long as the
resolver takes, whether or not anybody still waits for it. So a literal is not looked up, a name is looked up once at a
time, a name that was known does not wait long, and names that are known to be dead have few threads to themselves.
`THREADS` is what the process needs (gevent's pool has ten): all that look-ups here may use, and some for others.
"""

import ipaddress
import socket
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress

from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.secret import one_line

PATIENCE_S = 0.25  # for a name that was known: after so long its last address is taken
SLOW_S = 1.0  # a look-up that takes longer makes its name one of the dead
_AT_ONCE, _DEAD_AT_ONCE, _OTHERS = 32, 8, 8
THREADS = _AT_ONCE + _DEAD_AT_ONCE + _OTHERS


class _LookUp:
    """A look-up under way: `answer` comes when the resolver has one."""

    def __init__(self) -> None:
        self.answer: Future[list[str]] = Future()
        self.since = time.monotonic()

    @property
    def age_s(self) -> float:
        """For how long it has been under way, its wait for a thread included."""
        return time.monotonic() - self.since


_threads = threading.BoundedSemaphore(_AT_ONCE)
_threads_of_the_dead = threading.BoundedSemaphore(_DEAD_AT_ONCE)
_FAILURES = (OSError, UnicodeError, RuntimeError, MemoryError)  # the last two: no thread can be started
_under_way: dict[str, _LookUp] = {}
_last_good: dict[str, list[str]] = {}
_dead: set[str] = set()


def addresses(name: str, limit_s: float) -> list[str]:
    """The addresses behind a host name or a literal; the last known ones where the resolver is slow or out of order.

    Raises `DatabaseError` where the name does not resolve, or was never known and has no answer in `limit_s`.
    """
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return [name]
    look_up = _looked_up(name)
    known = _last_good.get(name)
    try:
        return look_up.answer.result(limit_s if known is None else min(limit_s, max(0.0, PATIENCE_S - look_up.age_s)))
    except Late:
        failure = f"the look-up of host name {one_line(name, 100)} took longer than {limit_s:g} s"
    except _FAILURES as error:
        failure = f"host name {one_line(name, 100)} does not resolve"
        known = known if getattr(error, "errno", 0) == socket.EAI_AGAIN else None
    if known is None:
        raise DatabaseError(failure)
    return known


def _looked_up(name: str) -> _LookUp:
    """The look-up of `name` that is under way, or a new one."""
    look_up = _under_way.get(name)
    if look_up is None:
        look_up = _under_way[name] = _LookUp()
        threading.Thread(target=_look_up, args=(name, look_up), name="look-up", daemon=True).start()
    return look_up


def _look_up(name: str, look_up: _LookUp) -> None:
    with _threads_of_the_dead if name in _dead else _threads:
        started = time.monotonic()
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except _FAILURES as error:
            failure: Exception | None = error
        else:
            failure = None
            _last_good[name] = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        slow = time.monotonic() - started > SLOW_S
    (_dead.add if slow else _dead.discard)(name)
    del _under_way[name]
    if failure:
        look_up.answer.set_exception(failure)
    else:
        look_up.answer.set_result(_last_good[name])
