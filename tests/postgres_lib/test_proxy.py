"""The proxy itself does what it says, as far as a plain client can tell."""

import socket
import time
from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

from tests.fix_proxy import CUT, DELAY, DRIP, HOLD, PASS, SILENT, STALL, STARTUP, SWALLOW, Proxy
from tests.postgres.server import Server
from tests.waiting import wait_for


def connected(proxy: Proxy, server: Server) -> socket.socket:
    """A raw connection of a client that has sent its startup packet, in plain text."""
    words = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
    raw = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    raw.sendall((len(words) + 4).to_bytes(4, "big") + words)
    server.used = True
    return raw


def exactly(raw: socket.socket, count: int) -> bytes:
    """So many bytes, however they come."""
    received = b""
    while len(received) < count:
        received += raw.recv(count - len(received)) or pytest.fail("it ends")
    return received


@pytest.mark.parametrize("mode", [SILENT, STARTUP, SWALLOW, STALL])
def test_says_nothing(newest_server: Server, make_proxy: Callable[..., Proxy], mode: str) -> None:
    proxy = make_proxy(newest_server.port, mode)
    with connected(proxy, newest_server) as raw:
        raw.settimeout(0.3)
        with pytest.raises(TimeoutError):
            raw.recv(1)
    wait_for(lambda: not proxy.open or mode == STALL, "the client's end was not noticed")


def test_lets_so_many_bytes_through(newest_server: Server, make_proxy: Callable[..., Proxy]) -> None:
    for mode, ends in ((HOLD, TimeoutError), (CUT, ConnectionResetError)):
        proxy = make_proxy(newest_server.port, mode, after=20)
        with connected(proxy, newest_server) as raw:
            assert len(exactly(raw, 20)) == 20
            raw.settimeout(0.3 if mode == HOLD else 30)
            with pytest.raises(ends):
                raw.recv(1)


def test_drips(newest_server: Server, make_proxy: Callable[..., Proxy]) -> None:
    started = time.monotonic()
    with connected(make_proxy(newest_server.port, DRIP, after=1), newest_server) as raw:
        assert exactly(raw, 4)[:1] == b"R"
    assert time.monotonic() - started >= 2


def test_changes_while_it_runs(newest_server: Server, make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy(newest_server.port, SILENT)
    late = connected(proxy, newest_server)
    proxy.does(PASS)
    with late:
        assert late.recv(1) == b"R"
    proxy.does(DELAY, delay_s=0.1)
    with closing(psycopg2.connect(proxy.dsn(newest_server.dsn()))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        proxy.does(CUT)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")


def test_rewrites(newest_server: Server, make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy(newest_server.port)
    proxy.rewrite = lambda piece: piece.replace(b"R", b"?")
    with connected(proxy, newest_server) as raw:
        assert raw.recv(1) == b"?"


def test_a_full_backlog_leaves_a_syn_unanswered(full_backlog: int) -> None:
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", full_backlog), timeout=0.3)
