import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.receiver.client import TOKEN, Client, everything, head, snapshot, status_of
from tests.waiting import wait_for

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: -1",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1_0",
        "Content-Length: +5",
        "Content-Length: five",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "no colon here",
        "\r\n".join(f"X-{number}: x" for number in range(200)),
        "X: " + "x" * 70_000,
    ],
)
def test_heads_that_leave_doubt_are_refused(shared: Client, lines: str) -> None:
    answer = shared.raw(head(extra=lines) + b"GET /api/databases HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.1") == 1
    assert shared.running.errors == []


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1\r\n\r\n",
        b"GET / FTP\r\n\r\n",
        b"G" * 10_000,
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\x00: \x00\r\n\r\n",
        b"\x00" * 500,
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)
def test_200_odd_requests_leave_it_serving(shared: Client, request_: bytes) -> None:
    for _ in range(20):
        with shared.connect() as connection, suppress(ConnectionError):
            connection.sendall(request_)
            connection.shutdown(socket.SHUT_WR)
            everything(connection)
    assert shared.get("/healthz").status == 200
    assert shared.post(snapshot().body()).status == 201
    assert shared.running.errors == []


@pytest.mark.parametrize("size", [b"zz", b"-5", b"f" * 17, b"5;" + b"x" * 9000, b"5\n"])
def test_bad_chunks(shared: Client, size: bytes) -> None:
    answer = shared.raw(head(extra="Transfer-Encoding: chunked") + size + b"\r\nhello\r\n0\r\n\r\n" + GET)
    assert status_of(answer) == 400
    assert answer.count(b"HTTP/1.1") == 1


def test_a_dripped_head_is_cut_off(receiver: Client) -> None:
    begun = time.monotonic()
    with receiver.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        connection.settimeout(0.2)
        answer = b""
        while not answer:
            with suppress(TimeoutError):
                connection.sendall(b"X: x\r\n")
                answer = connection.recv(65536)
            assert time.monotonic() - begun < 60
    assert status_of(answer) == 408
    assert time.monotonic() - begun > 4


def test_500_half_open_heads_lock_nobody_out(receiver: Client) -> None:
    with ExitStack() as held:
        for _ in range(500):
            connection = held.enter_context(receiver.connect())
            connection.sendall(b"POST /api/snapshots HTTP/1.1\r\nX-Slow: ")
        begun = time.monotonic()
        assert receiver.post(snapshot().body()).status == 201
        assert receiver.get("/").status == 200
        assert time.monotonic() - begun < 20
    assert receiver.running.errors == []


def test_connections_are_bounded_and_let_go(receiver: Client) -> None:
    with ExitStack() as held:
        for _ in range(300):
            held.enter_context(receiver.connect())
        assert receiver.get("/healthz").status == 200
        wait_for(lambda: _connections(receiver) <= 200, "there are no more than that", 3)
    wait_for(lambda: _connections(receiver) == 0, "connections that were closed are let go")


def test_250_bodies_that_never_come_lock_nobody_out(receiver: Client) -> None:
    with ExitStack() as held:
        for _ in range(250):
            held.enter_context(receiver.connect()).sendall(head("1000000") + b"{")
        wait_for(lambda: receiver.get("/healthz").status == 200, "no room for anybody else", 20)
        assert receiver.post(snapshot().body()).status == 201
        assert _connections(receiver) > 150  # others are within their time, and go on


def _connections(receiver: Client) -> int:
    with open(f"/proc/{receiver.running.pid}/net/tcp", encoding="ascii") as file:
        return sum(line.split()[1].endswith(f":{receiver.port:04X}") and line.split()[3] == "01" for line in file)


def test_who_has_no_token_does_not_get_to_send(shared: Client) -> None:
    wrong = head("8000000").replace(TOKEN.encode(), b"wrong")
    begun = time.monotonic()
    with shared.connect() as connection:
        connection.sendall(wrong)
        assert status_of(everything(connection)) == 401
    assert time.monotonic() - begun < 5


def test_a_wrong_token_is_told_even_with_a_body_on_its_way(shared: Client) -> None:
    for _ in range(20):
        assert shared.post_plain(b"x" * 500_000, Authorization="Bearer wrong").status == 401


def test_a_connection_is_kept_between_requests(shared: Client) -> None:
    with shared.connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            answer = b""
            while b"ok\n" not in answer:
                answer += connection.recv(65536)
            assert status_of(answer) == 200
