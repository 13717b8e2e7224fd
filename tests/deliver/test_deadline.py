"""Endpoints that take their time, met as the product meets them: patched by gevent."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deliver.raw import Handler, plain_answer, raw_server, read_request

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1.0
BLOCKED_S = 20  # what does not stop holds the event loop up for longer than a busy machine does


def deliver(url: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """What patched.py tells; nothing but it is printed."""
    command = [sys.executable, str(ROOT / "tests/deliver/patched.py"), url, str(timeout_s)]
    ran = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def drip(data: bytes) -> Handler:
    """Each byte in time for a timeout that begins anew with every read."""

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    return serve


def flood(head: bytes, piece: bytes) -> Handler:
    """As fast as it goes, without an end: there is always something to read."""

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return serve


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), id="continue"),
        pytest.param(flood(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 60_000 + b"\r\n"), id="headers"),
        pytest.param(flood(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536), id="line"),
        pytest.param(flood(CHUNKED + b"0\r\n", b"X: y\r\n" * 10_000), id="trailers"),
        pytest.param(flood(CHUNKED, (b"1;" + b"x" * 60_000 + b"\r\na\r\n") * 4), id="extensions"),
    ],
)
def test_what_never_ends_ends_early_and_holds_up_nobody(endless: Handler) -> None:
    with raw_server(endless) as url:
        told = deliver(url, 30)  # it is not the deadline that ends it
    assert set(told["outcomes"]) <= {"Retryable: not an HTTP answer", "Retryable: answer too long"}
    assert told["gap_s"] < BLOCKED_S
    assert told["leaked"] <= 0


def say_nothing(connection: socket.socket, number: int) -> None:
    """Take the request and never answer."""
    read_request(connection)
    connection.recv(1)


def take_nothing(connection: socket.socket, number: int) -> None:
    """Never read the request."""
    time.sleep(3)


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n" + b"X-Header: drips\r\n" * 100), id="head"),
        pytest.param(drip(plain_answer(b" " * 10_000)), id="body"),
        pytest.param(drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), id="continue"),
        pytest.param(say_nothing, id="silence"),
        pytest.param(take_nothing, id="unread"),
    ],
)
def test_the_total_deadline_cuts_it(slow: Handler) -> None:
    with raw_server(slow) as url:
        told = deliver(url)
    assert told["outcomes"] == ["Retryable: timed out after 1 s"] * 5
    assert told["took_s"] >= TIMEOUT_S
    assert told["gap_s"] < BLOCKED_S
    assert told["leaked"] <= 0


def test_a_loop_of_slow_redirects_has_one_deadline() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        while read_request(connection)[0]:
            time.sleep(0.4)
            connection.sendall(plain_answer(b"", "307 Temporary Redirect", "Location: /again\r\n"))

    with raw_server(serve) as url:
        told = deliver(url)
    assert told["outcomes"] == ["Retryable: timed out after 1 s"] * 5


def test_patched_delivery_works() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        while read_request(connection)[0]:
            connection.sendall(plain_answer())

    with raw_server(serve) as url:
        told = deliver(url)
    assert told["outcomes"] == ["abc123"] * 5
    assert told["leaked"] <= 0
