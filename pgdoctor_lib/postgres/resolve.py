"""Names to addresses, without a slow resolver holding up those who do not need it.

A look-up cannot be ended: it keeps one of the few threads that all look-ups of the process share
(gevent's ten) for as long as the resolver takes, whether or not anybody still waits for it. So a literal
is not looked up, a name is looked up once at a time, and a few threads are left for others.
"""

import ipaddress
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from contextlib import suppress

from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.secret import one_line

_AT_ONCE = threading.BoundedSemaphore(6)
_under_way: dict[str, Future[list[str]]] = {}
_last_good: dict[str, list[str]] = {}


def addresses(name: str, limit_s: float) -> list[str]:
    """The addresses behind a host name or a literal; the last known ones where the resolver has no answer in `limit_s`.

    Raises `DatabaseError` where the name does not resolve, or was never known.
    """
    with suppress(ValueError):
        ipaddress.ip_address(name)
        return [name]
    try:
        return _looked_up(name).result(limit_s)
    except Late:
        failure = f"the look-up of host name {one_line(name, 100)} took longer than {limit_s:g} s"
        known = _last_good.get(name)
    except (OSError, UnicodeError) as error:
        failure = f"host name {one_line(name, 100)} does not resolve"
        known = _last_good.get(name) if getattr(error, "errno", 0) == socket.EAI_AGAIN else None
    if known is None:
        raise DatabaseError(failure)
    return known


def _looked_up(name: str) -> "Future[list[str]]":
    """The look-up of `name` that is under way, or a new one."""
    future = _under_way.get(name)
    if future is None:
        future = _under_way[name] = Future()
        threading.Thread(target=_look_up, args=(name, future), name="look-up", daemon=True).start()
    return future


def _look_up(name: str, future: "Future[list[str]]") -> None:
    try:
        with _AT_ONCE:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        del _under_way[name]
        future.set_exception(error)
    else:
        del _under_way[name]
        _last_good[name] = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        future.set_result(_last_good[name])
