"""Between clients and a server, message by message: a stand-in for poolers, good and bad."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

_OTHERS_QUERY = b"SELECT pg_catalog.pg_sleep(1.5)\0"


class Relay:
    """`port` leads to the server at `to`.

    "hang": clients are let in, and no query is answered. "pool": each transaction gets another backend,
    and the one before it goes to `others`, who have it work for a while.
    """

    def __init__(self, to: int, mode: str) -> None:
        self.others: list[socket.socket] = []
        self._to = to
        self._mode = mode
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for other in self.others:
            other.close()

    def answers_to_others(self) -> list[str]:
        """How each of `others`' queries ended: the command's tag, or the error."""
        return [_last_answer(other) for other in self.others]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            head = _exactly(client, 4)
            startup = head + _exactly(client, struct.unpack("!i", head)[0] - 4)
            backend, state = self._backend(startup, client)
            try:
                while (message := _message(client))[:1] != b"X":
                    if self._mode == "hang":
                        continue
                    if state == b"I":
                        backend.sendall(b"Q" + struct.pack("!i", len(_OTHERS_QUERY) + 4) + _OTHERS_QUERY)
                        self.others.append(backend)
                        backend, _ = self._backend(startup, None)
                    backend.sendall(message)
                    state = _pump(backend, client)
            finally:
                backend.close()

    def _backend(self, startup: bytes, client: socket.socket | None) -> tuple[socket.socket, bytes]:
        backend = socket.create_connection(("127.0.0.1", self._to))
        backend.sendall(startup)
        return backend, _pump(backend, client)


def _pump(backend: socket.socket, client: socket.socket | None) -> bytes:
    """Pass on what `backend` says until it is ready for a query; the transaction's state."""
    while True:
        message = _message(backend)
        if client is not None:
            client.sendall(message)
        if message[:1] == b"Z":
            return message[5:]


def _last_answer(backend: socket.socket) -> str:
    answer = ""
    while (message := _message(backend))[:1] != b"Z":
        if message[:1] in (b"C", b"E"):
            answer = message[5:].strip(b"\0").decode()
    return answer


def _message(source: socket.socket) -> bytes:
    head = _exactly(source, 5)
    return head + _exactly(source, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found
