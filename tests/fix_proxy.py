"""Between PGDoctor and a server: a TCP proxy that is told, while it runs, what to do with what comes through it.

`proxy = make_proxy(server.port)`, then `proxy.dsn(server.dsn())`, and `proxy.does(HOLD, after=2000)`, which holds from
now on for the connections that are open, too. `full_backlog`: a port where a SYN stays unanswered.
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

PASS = "pass"
SILENT = "silent"  # accepts, and never says a word
STARTUP = "startup"  # the client's startup packet reaches the server; the answer reaches nobody
HOLD = "hold"  # nothing from the server any more, after `after` bytes of it
DRIP = "drip"  # a byte of the server's a second, after `after` bytes
DELAY = "delay"  # every piece `delay_s` late
CUT = "cut"  # a reset to both sides, after `after` bytes from the server
SWALLOW = "swallow"  # what either side says is read and lost
STALL = "stall"  # nothing is read from either side: their buffers fill up

_PIECE_BYTES = 65536


@dataclass(frozen=True)
class Behaviour:
    """What the proxy does. `after`: bytes that each connection gets from the server before it begins."""

    mode: str = PASS
    after: int = 0
    delay_s: float = 0.0


class Proxy:
    """`port` leads to `to` on this machine. `rewrite`, where set, changes what the server says, piece by piece."""

    def __init__(self, to: int, mode: str = PASS, *, after: int = 0, delay_s: float = 0.0) -> None:
        self.accepted = 0
        self.rewrite: Callable[[bytes], bytes] | None = None
        self._to = to
        self._behaviour = Behaviour(mode, after, delay_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="proxy")
        self._thread.start()
        self._up.wait()

    def does(self, mode: str, *, after: int = 0, delay_s: float = 0.0) -> None:
        """From now on, for connections that are open as for new ones."""
        self._behaviour = Behaviour(mode, after, delay_s)

    def dsn(self, dsn: str) -> str:
        """The same URL, through this proxy."""
        return re.sub(r"@127\.0\.0\.1:\d+/", f"@127.0.0.1:{self.port}/", dsn)

    @property
    def open(self) -> int:
        """Connections of clients that are open."""
        return len(self._tasks)

    def close(self) -> None:
        """End it, and every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listener = self._loop.run_until_complete(asyncio.start_server(self._take, "127.0.0.1", 0, backlog=512))
        self.port: int = listener.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()
        listener.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))  # transports close their sockets in the loop's next round
        self._loop.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.accepted += 1
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        said = b""
        while self._behaviour.mode == SILENT:
            with suppress(asyncio.TimeoutError):
                piece = await asyncio.wait_for(client.read(_PIECE_BYTES), 0.1)
                if not piece:
                    return
                said += piece
        server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            to_server.write(said)
            up = asyncio.ensure_future(self._pump(client, to_server, None))
            down = asyncio.ensure_future(self._pump(server, to_client, to_server))
            try:
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (up, down):
                    each.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
        finally:
            to_server.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, to: asyncio.StreamWriter, other: asyncio.StreamWriter | None
    ) -> None:
        """Pass on what `source` says. `other`: its own writer where it is the server, whose words are meddled with."""
        passed = 0
        while True:
            while self._behaviour.mode == STALL:
                await asyncio.sleep(0.05)
            piece = await source.read(_PIECE_BYTES)
            if not piece:
                return
            if other is None:
                await self._up_stream(piece, to)
            else:
                passed = await self._down_stream(piece, to, other, passed)

    async def _up_stream(self, piece: bytes, to: asyncio.StreamWriter) -> None:
        how = self._behaviour
        await asyncio.sleep(how.delay_s if how.mode == DELAY else 0)
        if how.mode != SWALLOW:
            to.write(piece)
            await to.drain()

    async def _down_stream(
        self, piece: bytes, to: asyncio.StreamWriter, other: asyncio.StreamWriter, passed: int
    ) -> int:
        """How much has been passed on, this piece included."""
        how = self._behaviour
        if how.mode == STARTUP and piece not in (b"N", b"S"):
            return passed
        free = len(piece) if how.mode in (PASS, DELAY, STARTUP) else max(0, how.after - passed)
        await asyncio.sleep(how.delay_s if how.mode == DELAY else 0)
        first = piece[:free]
        to.write(self.rewrite(first) if self.rewrite else first)
        await to.drain()
        rest = piece[free:]
        if rest and how.mode == CUT:
            _reset(to, other)
        elif how.mode == DRIP:
            await self._drip(rest, to)
        return passed + len(first)

    async def _drip(self, rest: bytes, to: asyncio.StreamWriter) -> None:
        for byte in rest:
            to.write(bytes([byte]))
            await to.drain()
            await asyncio.sleep(1)
            if self._behaviour.mode != DRIP:
                return


def _reset(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


@contextmanager
def full_backlog_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel leaves a further SYN unanswered (Linux)."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(8)]
        try:
            for each in waiting:
                each.setblocking(False)
                with suppress(BlockingIOError):
                    each.connect(listener.getsockname())
            yield listener.getsockname()[1]
        finally:
            for each in waiting:
                each.close()


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., Proxy]]:
    """`make_proxy(port, mode=PASS, after=0, delay_s=0)`: a proxy before what listens on that port."""
    made: list[Proxy] = []

    def make(to: int, mode: str = PASS, **how: float) -> Proxy:
        made.append(Proxy(to, mode, **how))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def full_backlog() -> Iterator[int]:
    """A port where connecting neither succeeds nor fails."""
    with full_backlog_port() as port:
        yield port
