"""The server: `Application` on gevent.pywsgi, with the bounds that pywsgi lacks, and an orderly end.

pywsgi waits without end for a request's head, reads to its end whatever body it is sent, and lets
anybody hold all its connections. Here the head, the whole exchange and the wait between two
requests have deadlines (on the clock, so dripping does not stretch them), a body that nobody wants
is read on for a moment only, and when connections run short the one that has waited longest
without a request makes room.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EADDRINUSE
from ipaddress import ip_address
from signal import SIGINT, SIGTERM
from typing import Any, TypeVar

import gevent
from gevent import GreenletExit, Timeout, socket
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import Input, WSGIHandler, WSGIServer
from gevent.threadpool import ThreadPool

from pgdoctor_lib import clock, startup
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.receiver.guard import Guard
from pgdoctor_lib.receiver.place import Token
from pgdoctor_lib.receiver.routes import Application
from pgdoctor_lib.receiver.store import Store, StoreError
from pgdoctor_lib.secret import one_line

_HEAD_S = 5.0
_IDLE_S = 75.0  # an agent with an interval of a minute keeps its connection
_EXCHANGE_S = 60.0
_LINGER_S, _LINGER_BYTES = 2.0, 1024**2
_MOST_CONNECTIONS, _MOST_PER_ADDRESS = 200, 100
_SHUTDOWN_S = 10.0
_KEEP_S = 14 * 86_400.0
_PRUNE_EVERY_S = 3600.0
_BACKLOG = 256
_LENGTH = re.compile("[0-9]{1,18}", re.ASCII)

T = TypeVar("T")


class Receiver:
    """A receiver that is bound and answers. `url`: its address, with the port that it got.

    PGDoctorError where the address is taken or the store cannot be opened.
    """

    def __init__(self, host: str, port: int, token: Token, store_path: str, *, warn: Callable[[str], None]) -> None:
        listener = _listen(host, port)
        self._writer, self._reader = Clerk(store_path), Clerk(store_path)
        address, port = listener.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        guard = Guard(token.secret, loopback=ip_address(address.partition("%")[0]).is_loopback, host=host)
        wall = clock.SYSTEM.wall
        application = Application(guard, self._reader, self._writer, wall, self.url, token.path, warn)
        self._server = _Server(listener, application, warn)
        self._server.start()
        self._pruner = gevent.spawn(_prune, self._writer, wall, warn)

    def stop(self, hurry: Event) -> None:
        """Take no more, answer what is at work (10 s, or until `hurry` is set), close the store."""
        self._pruner.kill()
        self._server.finish(_SHUTDOWN_S, hurry)
        self._writer.close()
        self._reader.close()


def serve(
    host: str, port: int, token: Token, store_path: str, *, say: Callable[[str], None], warn: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM. The first line said is `Receiver listening on http://HOST:PORT/`."""
    asked, hurry = Event(), Event()

    def stop() -> None:
        (hurry if asked.is_set() else asked).set()

    for number in (SIGINT, SIGTERM):
        gevent.signal_handler(number, stop)
    startup.take_signals()
    receiver = Receiver(host, port, token, store_path, warn=warn)
    say(f"Receiver listening on {receiver.url}")
    say(f"Data: {store_path}")
    if token.new:
        say(f"Token (shown this once, kept in {token.path}): {token.secret.reveal()}")
    else:
        say(f"Token: {token.path or 'from PGDOCTOR_TOKEN'}")
    say("Press Ctrl+C to stop")
    asked.wait()
    receiver.stop(hurry)
    say("Receiver stopped gracefully.")


class Clerk:
    """A store and the one thread that works on it: fsync, zlib and JSON stay off the hub, and no lock is needed.

    The writer and the reader are a clerk each: in WAL a page never waits for a write.
    """

    def __init__(self, path: str) -> None:
        self._pool = ThreadPool(1)
        self._store: Store = self._run(lambda: Store(path))

    def __call__(self, work: Callable[[Store], T]) -> T:
        """The result of `work`, or what it raised."""
        return self._run(lambda: work(self._store))

    def close(self) -> None:
        """After what is at work."""
        with suppress(StoreError):
            self._run(self._store.close)
        self._pool.kill()

    def _run(self, work: Callable[[], T]) -> T:
        # An exception that reached the pool would be printed by gevent, whoever catches it here.
        def guarded() -> T | _Raised:
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - carried over to the caller's greenlet
                return _Raised(error.with_traceback(None))  # its frames hold the body, and would for some time

        outcome = self._pool.apply(guarded)
        try:
            if isinstance(outcome, _Raised):
                raise outcome.error
            return outcome
        finally:
            del outcome  # the error holds this frame


@dataclass(frozen=True)
class _Raised:
    error: Exception


class _Body(Input):
    """A request's body, of which what nobody read is not read on for ever. `unread`: some of it was left."""

    unread = False

    def _discard(self) -> None:
        if not self.chunked_input and self.position >= (self.content_length or 0):
            return
        # A client that still sends would lose the answer to a reset: take in a little more, then close.
        self.unread = gevent.with_timeout(_LINGER_S, self._drain, timeout_value=True)

    def _drain(self) -> bool:
        """True where the end is not in sight."""
        taken = 0
        with suppress(OSError):
            while taken < _LINGER_BYTES:
                chunk = self.read(16_384)
                if not chunk:
                    return False
                taken += len(chunk)
        return True


class _Handler(WSGIHandler):
    """One connection. `idle`: since its last answer no whole head of a request has come."""

    idle = True
    server: "_Server"
    _head: Timeout
    _body: _Body

    def __init__(self, sock: Any, address: Any, server: "_Server") -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pywsgi sends head and body apart
        super().__init__(sock, address, server)

    def handle_one_request(self) -> Any:
        """Wait for a request's first byte, give its head a deadline, answer."""
        self.idle = True
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
        self._body = _Body(self.rfile, given.content_length, given.socket, given.chunked_input)
        self.wsgi_input = environ["wsgi.input"] = self._body
        return environ

    def handle_one_response(self) -> None:
        """The head is here: from now on the exchange as a whole has a deadline."""
        self.idle = False
        self._head.close()
        with Timeout(_EXCHANGE_S):
            super().handle_one_response()
        if self._body.unread or self.server.closed:
            self.close_connection = True

    def handle_error(self, t: Any, v: Any, tb: Any) -> None:  # noqa: ARG002
        """What the application let through. A client that left or was too slow is not worth a line."""
        self.close_connection = True
        if issubclass(t, Timeout | GreenletExit | OSError):
            return
        self.server.warn(f"internal error: {t.__name__}: {one_line(str(v))}")
        if not self.headers_sent:
            with suppress(OSError):
                self.socket.sendall(_plain("500 Internal Server Error"))


class _Server(WSGIServer):
    """Connections have seats; when they run short, the oldest one without a request gives up its own."""

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
        if len(here) >= _MOST_PER_ADDRESS:
            return self._evict(here)
        return len(self._seats) < _MOST_CONNECTIONS or self._evict(list(self._seats))

    def _evict(self, seats: list[Any]) -> bool:
        for seat in seats:
            if self._seats[seat][1].idle:
                del self._seats[seat]
                seat.kill(block=False)
                return True
        return False


def _plain(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode("ascii")


def _listen(host: str, port: int) -> Any:
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


def _prune(write: Clerk, wall: Callable[[], float], warn: Callable[[str], None]) -> None:
    """Forget what is over 14 days old, an hour at a time, in batches that let snapshots in between."""
    while True:
        try:
            while write(lambda store: store.forget(wall() - _KEEP_S)):
                gevent.sleep(0.1)
        except StoreError as error:
            warn(f"store: {error}")
        gevent.sleep(_PRUNE_EVERY_S)
