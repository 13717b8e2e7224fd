"""HTTP's server alone, with an application of a few lines: who makes room, and what deadlines end."""

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from pgdoctor_lib.receiver import server
from pgdoctor_lib.receiver.server import Server, listen

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"


def _application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """With a query it reads the body first."""
    if environ["QUERY_STRING"]:
        environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def served() -> Iterator[Server]:
    made: Any = Server(listen("127.0.0.1", 0), _application, lambda _: None)  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop(timeout=1)


@pytest.fixture
def connect(served: Server) -> Iterator[Callable[[], Any]]:
    made: list[Any] = []

    def one() -> Any:
        before = len(served._seats)
        made.append(socket.create_connection(("127.0.0.1", served.server_port), timeout=3))
        _wait(lambda: len(served._seats) > before)
        return made[-1]

    yield one
    for each in made:
        each.close()


def _wait(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(5):
        while not condition():
            gevent.sleep(0.01)


def test_whoever_asked_last_makes_room_last(served: Server, connect: Callable[[], Any]) -> None:
    kept, silent = connect(), connect()
    kept.sendall(GET)
    assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
    _wait(lambda: all(handler.idle for _, handler in served._seats.values()))
    assert served._evict(list(served._seats))
    assert silent.recv(1) == b""
    kept.sendall(GET)
    assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_deadline_of_the_whole_does_not_end_what_follows_the_answer(
    connect: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "_EXCHANGE_S", 0.2)
    monkeypatch.setattr(server, "_LINGER_S", 0.5)
    client = connect()
    client.sendall(POST)
    assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    while client.recv(65536):
        pass
    gevent.sleep(0)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("exchange_s", [0.2, 60])
def test_whoever_has_to_leave_is_not_listened_to(
    served: Server, connect: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, exchange_s: float
) -> None:
    """For it was too slow, or had to make room."""
    monkeypatch.setattr(server, "_EXCHANGE_S", exchange_s)
    monkeypatch.setattr(server, "_LINGER_S", 30)
    monkeypatch.setattr(server, "_SLOW_S", 0)
    client = connect()
    client.sendall(POST.replace(b"/ ", b"/?read ", 1))
    if exchange_s > 1:
        [(_, handler)] = served._seats.values()
        _wait(lambda: handler.slow_since is not None)
        assert served._evict(list(served._seats))
    assert client.recv(1) == b""
