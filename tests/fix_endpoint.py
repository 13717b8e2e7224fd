"""A real HTTP endpoint in the test's process, on threads: it records, and answers what it is told to.

`endpoint.script([503, Answer(429, {"Retry-After": "2"}), (201, {}, {"id": 7})])`: the next requests get these
answers, one each, and those after them 200 {"id": "abc123"}. `tls_endpoint` speaks TLS (`.ca_file`).
"""

import gzip
import json
import os
import socket
import ssl
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trustme

from tests.postgres.server import free_port
from tests.waiting import wait_for


@dataclass(frozen=True)
class Answer:
    """One scripted answer. `body`: bytes, text, or anything else as JSON.

    `wait_s` before the answer; `drip_s` between two of its body's bytes; `reset`: no answer, the connection is
    reset instead; `close`: the connection ends after the answer.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: {"id": "abc123"})
    wait_s: float = 0.0
    drip_s: float = 0.0
    reset: bool = False
    close: bool = False

    def payload(self) -> bytes:
        """The body's bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass
class Request:
    """One request as it came. `status`: what was answered; `connection`: a number, the same while kept alive."""

    method: str
    path: str
    headers: Message
    body: bytes
    connection: int
    at: float
    status: int | None = None

    @property
    def json(self) -> Any:
        """The decoded document, gunzipped where it says so."""
        packed = self.headers.get("Content-Encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)


Scripted = Answer | int | tuple[Any, ...]
T = TypeVar("T")


class Endpoint:
    """The server. `requests`: all that came; `snapshots`: the documents of those answered with 2xx."""

    def __init__(self, tls: ssl.SSLContext | None = None, ca_file: str = "") -> None:
        self.requests: list[Request] = []
        self.ca_file = ca_file
        self.default = Answer()
        self._tls = tls
        self._script: list[Answer] = []
        self._lock = threading.Lock()
        self._port = 0
        self._server: _Server | None = None
        self._give_up_port: Callable[[], object] = lambda: None
        self.up()

    @property
    def url(self) -> str:
        """Where snapshots go, as in the configuration."""
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}/api/snapshots"

    @property
    def snapshots(self) -> list[Any]:
        """The documents that were answered with 2xx, in the order in which they came."""
        return [request.json for request in list(self.requests) if request.status and 200 <= request.status < 300]

    def script(self, answers: Sequence[Scripted]) -> None:
        """The next requests get these, one each; an int is a status, a tuple (status, headers, body)."""
        with self._lock:
            self._script = [_answer(each) for each in answers]

    def wait_for(self, count: int, timeout_s: float = 30) -> list[Request]:
        """Wait until `count` requests have come."""
        wait_for(lambda: len(self.requests) >= count, f"{len(self.requests)} of {count} requests came", timeout_s)
        return self.requests

    def wait_for_snapshots(self, count: int, timeout_s: float = 30) -> list[Any]:
        """Wait until `count` snapshots have been answered with 2xx."""
        wait_for(lambda: len(self.snapshots) >= count, f"{len(self.snapshots)} of {count} snapshots came", timeout_s)
        return self.snapshots

    def down(self) -> None:
        """Close the port and every connection; `up` opens the same port again, which nobody else gets meanwhile."""
        if self._server:
            self._server.end()
            self._server = None
            self._give_up_port = weakref.finalize(self, os.close, _once_free(lambda: _held(self._port)))

    def up(self) -> None:
        """Take requests (again)."""
        if not self._server:
            self._server = self._opened()
            self._port = self._server.server_address[1]
            self._give_up_port()

    def _opened(self) -> "_Server":
        """At our port; at first one that no outgoing connection of somebody's takes while we are down."""
        while not self._port:
            with suppress(OSError):
                return _Server(free_port(), self._tls, self)
        return _once_free(lambda: _Server(self._port, self._tls, self))

    def take(self, request: Request) -> Answer:
        """Record a request; its answer."""
        with self._lock:
            answer = self._script.pop(0) if self._script else self.default
            request.status = None if answer.reset else answer.status
            self.requests.append(request)
            return answer


def _once_free(bind: Callable[[], T]) -> T:
    """What `bind` makes. A process that is about to start has what we have closed until it runs its own program."""
    made: list[T] = []

    def is_bound() -> bool:
        with suppress(OSError):
            made.append(bind())
        return bool(made)

    wait_for(is_bound, "our port is not free")
    return made[0]


def _held(port: int) -> int:
    """A descriptor that has the port, and takes no connection on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        return holder.detach()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, tls: ssl.SSLContext | None, endpoint: Endpoint) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.endpoint = endpoint
        self.tls = tls
        self.connections: set[socket.socket] = set()
        self.numbers: dict[Any, int] = {}  # of the connections, by where they come from
        self._next_number = count(1)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.numbers[client_address] = next(self._next_number)
        self.connections.add(request)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a slow handshake holds up nobody else."""
        if not self.tls:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            self.connections.add(wrapped)
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that clients drop are none of the test's business."""

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            _reset(connection)
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.number = self.server.numbers[self.client_address]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body, self.number, time.monotonic())
        answer = self.server.endpoint.take(request)
        time.sleep(answer.wait_s)
        if answer.reset:
            self.close_connection = True
            _reset(self.connection)
        else:
            self.send(answer)

    do_POST = do_GET = do_HEAD = do_PUT = do_OPTIONS = answer

    def send(self, answer: Answer) -> None:
        payload = answer.payload()
        self.close_connection = answer.close
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(payload)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.close:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.drip(payload, answer.drip_s) if answer.drip_s else self.wfile.write(payload)

    def drip(self, payload: bytes, pause_s: float) -> None:
        for byte in payload:
            self.wfile.write(bytes([byte]))
            time.sleep(pause_s)

    def log_message(self, *args: Any) -> None:
        """Nothing on the test's standard error."""


def _answer(scripted: Scripted) -> Answer:
    if isinstance(scripted, Answer):
        return scripted
    return Answer(*scripted) if isinstance(scripted, tuple) else Answer(scripted)


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
        connection.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An HTTP endpoint on a port of its own."""
    made = Endpoint()
    yield made
    made.down()


@pytest.fixture(scope="session")
def private_ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """A certificate authority that nobody knows, and its certificate's file."""
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, path


@pytest.fixture
def tls_endpoint(private_ca: tuple[trustme.CA, Path]) -> Iterator[Endpoint]:
    """An HTTPS endpoint whose certificate `.ca_file` vouches for."""
    ca, path = private_ca
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    made = Endpoint(context, str(path))
    yield made
    made.down()
