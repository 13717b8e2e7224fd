"""HTTP's server: gevent.pywsgi, with the bounds that it lacks, and an orderly end.

pywsgi waits without end for a request's head, reads to its end whatever body it is sent, and lets
anybody hold all its connections. Here the head, the whole exchange and the wait between two
requests have deadlines (on the clock, so dripping does not stretch them), a body that nobody wants
is read on within bounds, and when connections run short those that wait for their client make
room: first whoever has waited longest without a request, then whoever's body is longest on its way.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from errno import EACCES, EADDRINUSE
from ipaddress import ip_address
from typing import Any

import gevent
from gevent import GreenletExit, Timeout, socket
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from pgdoctor_lib import clock
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.receiver.routes import Application
from pgdoctor_lib.secret import one_line

_HEAD_S = 5.0
_IDLE_S = 75.0  # an agent with an interval of a minute keeps its connection
_EXCHANGE_S = 60.0
_LINGER_S, _LINGER_BYTES = 2.0, 1024**2
_TOO_LONG, _TOO_LONG_S, _TOO_LONG_BYTES = 413, 15.0, 64 * 1024**2  # read on for longer, so that the client learns why
_MOST_CONNECTIONS, _MOST_PER_ADDRESS = 200, 100
_SLOW_S = 1.0  # a body that takes longer may have to make room
_BACKLOG = 256
_LENGTH = re.compile("[0-9]{1,18}", re.ASCII)


class _Body(Input):
    """A request's body, of which what nobody read is not read on for ever. `unread`: some of it was left.

    `awaited_since`: since when (monotonic) the client owes some of it; None before it is read, and once it is here.
    """

    unread = False
    awaited_since: float | None = None

    def read(self, length: int | None = None) -> bytes:
        """As a file's."""
        if self.awaited_since is None:
            self.awaited_since = clock.SYSTEM.elapsed()
        chunk: bytes = super().read(length)
        if not chunk or self.position == self.content_length:
            self.awaited_since = None
        return chunk

    def discard(self, seconds: float, most: int) -> None:
        """A client that still sends would lose the answer to a reset: take in what comes, within bounds."""
        if self.chunked_input or self.position < (self.content_length or 0):
            self.send_100_continue_enabled = False
            self.unread = gevent.with_timeout(seconds, self._drain, most, timeout_value=True)

    def _discard(self) -> None:
        """Nothing: the handler does, which knows what was answered."""

    def _drain(self, most: int) -> bool:
        """True where the end is not in sight."""
        taken = 0
        with suppress(OSError, ValueError):  # what is no chunk has no end that could be found
            while taken < most:
                chunk = self.read(65_536)
                if not chunk:
                    return False
                taken += len(chunk)
        return True


class _Handler(WSGIHandler):
    """One connection. `idle`: since its last answer, at `idle_since` (monotonic), no whole head of a request has come.

    `gone`: it was too slow, had to make room, or its client left.
    """

    idle, gone = True, False
    idle_since = 0.0
    server: "Server"
    _head: Timeout
    _body: _Body

    @property
    def slow_since(self) -> float | None:
        """Of one that has a request: since when its client owes the rest of a body, where that is too long already."""
        since = None if self.idle else self._body.awaited_since
        return since if since is not None and clock.SYSTEM.elapsed() - since > _SLOW_S else None

    def __init__(self, sock: Any, address: Any, server: "Server") -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pywsgi sends head and body apart
        super().__init__(sock, address, server)

    def handle_one_request(self) -> Any:
        """Wait for a request's first byte, give its head a deadline, answer."""
        self.idle, self.idle_since = True, clock.SYSTEM.elapsed()
        patience = _IDLE_S if self.environ else _HEAD_S
        try:
            if not gevent.with_timeout(patience, self.rfile.peek, 1, timeout_value=b""):
                return None
        except OSError:
            return None
        self._head = Timeout.start_new(_HEAD_S)
        try:
            return super().handle_one_request()
        except Timeout as reached:
            if reached is not self._head:
                raise
            return "408", _plain("408 Request Timeout")
        finally:
            self._head.close()

    def read_request(self, raw_requestline: str) -> Any:
        """The head, parsed. ValueError, which pywsgi answers with 400, whatever is wrong with it."""
        try:
            return super().read_request(raw_requestline)
        except Exception:  # noqa: BLE001 - pywsgi prints the traceback of anything but a ValueError
            raise ValueError("a head that makes no sense") from None

    def MessageClass(self, *args: Any) -> Any:  # noqa: N802
        """The headers. ValueError where they leave in doubt where the body ends."""
        headers = super().MessageClass(*args)
        lengths, codings = headers.get_all("content-length", []), headers.get_all("transfer-encoding", [])
        if len(lengths) + len(codings) > 1 or headers.defects:
            raise ValueError
        if lengths and not _LENGTH.fullmatch(lengths[0]):
            raise ValueError
        if codings and (codings[0].lower() != "chunked" or self.request_version != "HTTP/1.1"):
            raise ValueError
        return headers

    def get_environ(self) -> Any:
        """WSGI's environment, with a body that is not drained without end."""
        environ = super().get_environ()
        given: Any = self.wsgi_input
        body = _Body(self.rfile, given.content_length, given.socket, given.chunked_input)
        self._body = self.wsgi_input = environ["wsgi.input"] = body
        return environ

    def handle_one_response(self) -> None:
        """The head is here: from now on the exchange has a deadline, and what is left of its body one of its own."""
        self.idle = False
        self._head.close()
        with Timeout(_EXCHANGE_S):
            super().handle_one_response()
        if not self.gone:
            bounds = (_TOO_LONG_S, _TOO_LONG_BYTES) if self.code == _TOO_LONG else (_LINGER_S, _LINGER_BYTES)
            self._body.discard(*bounds)
        if self._body.unread or self.server.closed:
            self.close_connection = True

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:  # noqa: ARG002
        """What the application let through. A client that left or was too slow is not worth a line."""
        self.close_connection = True
        if issubclass(t, Timeout | GreenletExit | OSError):
            self.gone = True
            return
        self.server.warn(f"internal error: {t.__name__}: {one_line(str(v))}")
        if not self.headers_sent:
            with suppress(OSError):
                self.socket.sendall(_plain("500 Internal Server Error"))


class Server(WSGIServer):
    """Connections have seats; when they run short, one that waits for its client gives up its own.

    Loopback has no share, for behind that address a proxy may have everybody.
    """

    handler_class = _Handler

    def __init__(self, listener: Any, application: Application, warn: Callable[[str], None]) -> None:
        # SERVER_NAME given, because pywsgi would look the address up in the DNS
        environ = {"SERVER_NAME": "pgdoctor", "SERVER_PORT": str(listener.getsockname()[1])}
        self._handlers = Pool()
        super().__init__(listener, application, spawn=self._handlers, log=None, error_log=None, environ=environ)
        self.warn = warn
        self._seats: dict[Any, tuple[str, _Handler]] = {}

    def handle(self, sock: Any, address: Any) -> None:
        """One connection, from accept to close."""
        me = gevent.getcurrent()
        with suppress(OSError):  # gone before it said anything
            if not self._make_room(address[0]):
                sock.sendall(_plain("503 Service Unavailable"))
                return
            handler = _Handler(sock, address, self)
            self._seats[me] = (address[0], handler)
            try:
                handler.handle()
            finally:
                self._seats.pop(me, None)

    def finish(self, seconds: float, hurry: Event) -> None:
        """Accept no more; let what is at work end, for `seconds` or until `hurry` is set."""
        self.close()
        for greenlet, (_, handler) in list(self._seats.items()):
            if handler.idle:
                greenlet.kill(block=False)
        ends: list[Any] = [gevent.spawn(self._handlers.join), hurry]
        gevent.wait(ends, timeout=seconds, count=1)
        self._handlers.kill(timeout=2)

    def _make_room(self, address: str) -> bool:
        """True when there is a seat for one more from `address`. All of them at work: there is none."""
        here = [seat for seat, (owner, _) in self._seats.items() if owner == address]
        if len(here) >= _MOST_PER_ADDRESS and not is_loopback(address):
            return self._evict(here)
        return len(self._seats) < _MOST_CONNECTIONS or self._evict(list(self._seats))

    def _evict(self, seats: list[Any]) -> bool:
        """The one that has waited longest without a request, else the one whose body is longest on its way."""
        handlers = {seat: self._seats[seat][1] for seat in seats}
        idle = {seat: handler.idle_since for seat, handler in handlers.items() if handler.idle}
        slow = {seat: since for seat, handler in handlers.items() if (since := handler.slow_since) is not None}
        if not idle and not slow:
            return False
        waiting = idle or slow
        seat = min(waiting, key=lambda each: waiting[each])
        del self._seats[seat]
        seat.kill(block=False)
        return True


def is_loopback(address: str) -> bool:
    """Whether an address, as a socket has it, is this machine's own."""
    return ip_address(address.partition("%")[0].removeprefix("::ffff:")).is_loopback


def _plain(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode("ascii")


def listen(host: str, port: int) -> Any:
    """A listening socket. PGDoctorError says why there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(*found[0][:3])
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[0][4])
        listener.listen(_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "not an address"
        hint = "--port 0 takes any free one" if getattr(error, "errno", 0) in (EADDRINUSE, EACCES) else ""
        raise PGDoctorError(f"cannot listen on {one_line(host)}:{port}", detail=why, hint=hint) from None
    return listener
