"""A thousand hostile requests, and slow ones beside them: the receiver goes on serving, in the memory that it had."""

import gzip
import random
import re
import socket
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import Client, everything, head, snapshot


def garbage(dice: random.Random, body: bytes) -> bytes:
    return dice.randbytes(dice.randrange(1, 20_000))


def mutated(dice: random.Random, body: bytes) -> bytes:
    """A good upload, with some of its bytes changed, lost or doubled."""
    request = bytearray(head(str(len(body)), "Content-Encoding: gzip") + body)
    for _ in range(dice.randrange(1, 10)):
        at = dice.randrange(len(request))
        request[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(request)


def cut(dice: random.Random, body: bytes) -> bytes:
    request = head(str(len(body)), "Content-Encoding: gzip") + body
    return request[: dice.randrange(len(request))]


@cache
def bomb_body() -> bytes:
    """A megabyte or so that becomes a gigabyte."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b"[" * 2**20) for _ in range(1024)) + packer.flush()


def bomb(dice: random.Random, body: bytes) -> bytes:
    return head(str(len(bomb_body())), "Content-Encoding: gzip") + bomb_body()


def chunked(dice: random.Random, body: bytes) -> bytes:
    sizes = [b"%x" % dice.randrange(1, 2000), b"-1", b"ffffffffffffffff", b"0x10", b"5;" + b"x" * 5000, b"", b"\xff"]
    chunks = b"".join(dice.choice(sizes) + b"\r\n" + dice.randbytes(dice.randrange(100)) + b"\r\n" for _ in range(20))
    return head(extra="Transfer-Encoding: chunked") + chunks


def traversal(dice: random.Random, body: bytes) -> bytes:
    step = dice.choice([b"../", b"..%2f", b"%2e%2e/", b"..\\", b"....//", b"%00/", b"..;/", b"\xc0\xae\xc0\xae/"])
    prefix = dice.choice([b"/", b"/databases/", b"/api/snapshots/", b"/api/databases/", b"/style.css/"])
    return b"GET " + prefix + step * dice.randrange(1, 40) + b"etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n"


def heads(dice: random.Random, body: bytes) -> bytes:
    lines = [
        b"X-%d: " % number + dice.randbytes(dice.randrange(300)).hex().encode() for number in range(dice.randrange(400))
    ]
    return (
        b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        + b"\r\n".join(lines)
        + b"\r\nX: "
        + b"y" * dice.randrange(100_000)
        + b"\r\n\r\n"
    )


def foreign(dice: random.Random, body: bytes) -> bytes:
    host = dice.choice([b"evil.example", b"localhost.evil.example", b"127.0.0.1@evil", b"", b"localhost\r\nHost: evil"])
    return b"GET /api/databases HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


def lying(dice: random.Random, body: bytes) -> bytes:
    """A length that is not the body's."""
    length = dice.choice(["-1", "1e9", "99999999999999999999", "0", "7", "1000000", " 5 5", "+3"])
    extra = dice.choice(["", "Transfer-Encoding: chunked", "Content-Length: 3", "Expect: 100-continue"])
    return head(length, extra) + body


def documents(dice: random.Random, body: bytes) -> bytes:
    """JSON that is none, or is too deep, or has wrong types."""
    odd = [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 100_000,
        b"\xff\xfe{}",
        b"{}",
        b"null",
        b'{"schema_version":1e999}',
        b'"\\ud800"',
    ]
    sent = dice.choice([*odd, gzip.decompress(body).replace(b"1", dice.choice([b"null", b"[]", b'"x"', b"-1e400"]))])
    return head(str(len(sent))) + sent


KINDS = (garbage, mutated, cut, bomb, chunked, traversal, heads, foreign, lying, documents)


@pytest.mark.long
def test_a_thousand_hostile_requests(
    cli: Cli, amount: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    receiver = Client(cli)
    count, dice, body = amount(1000, 20_000), random.Random(4), gzip.compress(snapshot().body())
    assert receiver.post(snapshot("before").body()).status == 201
    with ExitStack() as held:
        for _ in range(150):  # who never end their heads, or drip them: the receiver cuts them off meanwhile
            held.enter_context(receiver.connect()).sendall(b"POST /api/snapshots HTTP/1.1\r\nX-Slow: ")
        before, begun, slowest = memory(receiver), time.monotonic(), 0.0
        for number in range(count):
            send(receiver, KINDS[number % len(KINDS)](dice, body))
            if number % 100 == 99:
                asked = time.monotonic()
                assert receiver.post(snapshot("during").body()).status == 201
                assert receiver.get("/").status == 200
                slowest = max(slowest, time.monotonic() - asked)
    took, grown = time.monotonic() - begun, memory(receiver) - before
    assert receiver.running.process.poll() is None
    assert "Traceback" not in receiver.running.error
    names = [each["name"] for each in receiver.get("/api/databases").json["databases"]]
    assert {"before", "during"} <= set(names)
    assert slowest < 20
    assert grown < 64 * 2**20
    told = f"{count:,} of {len(KINDS)} kinds in {took:.0f} s beside 150 slow ones: serving, +{grown / 2**20:.0f} MiB"
    figure("hostile requests", f"{told}, a good upload and the page within {slowest * 1000:.0f} ms")


def send(receiver: Client, request: bytes) -> bytes:
    """What comes back; where nothing does within two seconds, the line is dropped."""
    with suppress(OSError), receiver.connect() as connection:
        connection.settimeout(2)
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return everything(connection)
    return b""


def memory(receiver: Client) -> int:
    """What it has in memory now, in bytes."""
    status = Path(f"/proc/{receiver.running.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
