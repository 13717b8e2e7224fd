"""A TCP server that a test scripts byte by byte, for what no HTTP library would send."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Handler = Callable[[socket.socket, int], None]
"""Gets each connection and its number (from 1); the connection is closed after it."""


@contextmanager
def raw_server(handler: Handler) -> Iterator[str]:
    """Its origin, http://127.0.0.1:port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    over = threading.Event()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket, number: int) -> None:
        connection.settimeout(20)
        with connection, suppress(OSError):
            handler(connection, number)

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection, len(threads) + 1), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        acceptor.join()
        listener.close()


def read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    """One request's head and body; empty when the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65536)):
            return b"", b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def plain_answer(body: bytes = b'{"id": "abc123"}', status: str = "201 Created", headers: str = "") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body
