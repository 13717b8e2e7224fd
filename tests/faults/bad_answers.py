"""HTTP answers that no endpoint should give."""

import gzip
import random
import zlib
from dataclasses import dataclass

from tests.faults.garble import flip_bits

TOKEN = "CANARY-token-0123456789"
GOOD = b'HTTP/1.1 201 Created\r\nContent-Length: 37\r\nServer: x\r\n\r\n{"id": "abc123", "source_id": "s-17"}'
_ID = b'{"id": "abc123"}'


@dataclass(frozen=True)
class BadAnswer:
    """Pieces, `pause_s` between two; then the connection is "close"d, "reset", "half" closed, or "hold"."""

    pieces: tuple[bytes, ...]
    pause_s: float = 0.0
    end: str = "close"


def make(dice: random.Random) -> BadAnswer:
    """One answer, of a kind by chance."""
    data = dice.choice((_whole, _whole, _whole, _whole, _flipped, _chunked, _noise, _informational))(dice)
    end = dice.choices(("close", "reset", "half", "hold"), (6, 2, 1, 1))[0]
    if dice.random() < 0.15:
        count = dice.randint(1, 20)
        step = len(data) // count + 1
        return BadAnswer(
            tuple(data[at : at + step] for at in range(0, len(data), step)), dice.choice((0, 0.01, 0.2)), end
        )
    return BadAnswer((data,), 0, end)


def cut(at: int, end: str) -> BadAnswer:
    """The good answer, to this byte and no further."""
    return BadAnswer((GOOD[:at],), 0, end)


def _whole(dice: random.Random) -> bytes:
    body = dice.choice(_BODIES)
    head = [_status(dice)]
    length = dice.choices((len(body), None, len(body) + 5, max(0, len(body) - 3)), (7, 1, 1, 1))[0]
    if length is not None:
        head.append(b"Content-Length: %d" % length)
    head += dice.sample(_HEADERS, dice.choice((0, 1, 1, 2, 4)))
    dice.shuffle(rest := head[1:])
    return dice.choice((b"\r\n", b"\r\n", b"\r\n", b"\n")).join([head[0], *rest, b"", b""]) + body


def _status(dice: random.Random) -> bytes:
    code = dice.choice((200, 201, 204, 301, 304, 307, 308, 400, 401, 409, 415, 429, 500, 503, dice.randint(0, 999)))
    odd = (b"", b"1e3", b"-1", b"99999", b"2 00", "２００".encode(), b"\0", TOKEN.encode())
    number = dice.choice(odd) if dice.random() < 0.1 else b"%03d" % code
    version = dice.choice((*[b"HTTP/1.1"] * 8, b"HTTP/1.0", b"HTTP/2", b"HTTP/9.9", b"http/1.1", b"ICY"))
    return b" ".join((version, number, dice.choice(_REASONS)))


def _flipped(dice: random.Random) -> bytes:
    return flip_bits(GOOD, dice, dice.randint(1, 12))


def _chunked(dice: random.Random) -> bytes:
    sizes = (
        b"10",
        b"5",
        b"0",
        b"-1",
        b"ffffffffffffffffffff",
        b"xyz",
        b"",
        b"10;ext=1",
        b" 10 ",
        b"0x10",
        b"1" * 70_000,
    )
    chunks = b"".join(dice.choice(sizes) + b"\r\n" + _ID + b"\r\n" for _ in range(dice.randint(0, 4)))
    end = dice.choice((b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"", b"0\r\n" + b"t: x\r\n" * 500))
    encoding = dice.choice((b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked", b"identity"))
    return _status(dice) + b"\r\nTransfer-Encoding: " + encoding + b"\r\n\r\n" + chunks + end


def _noise(dice: random.Random) -> bytes:
    kind = dice.choice(
        (b"", b"\x16\x03\x01\x02\0\x01", b"SSH-2.0-OpenSSH_9.2\r\n", b"<html>", b"N", b"\0" * 5000, b"\r\n\r\n")
    )
    return kind + dice.randbytes(dice.choice((0, 1, 100, 5000)))


def _informational(dice: random.Random) -> bytes:
    status = dice.choice((b"100 Continue", b"102 Processing", b"103 Early Hints", b"101 Switching Protocols", b"199 x"))
    return (b"HTTP/1.1 " + status + b"\r\nX: y\r\n\r\n") * dice.choice((1, 3, 3000)) + GOOD


_REASONS = (
    *(
        b"OK",
        b"OK",
        b"OK",
        b"",
        b"\x1b[31mred",
        b"\xff\xfe",
        b"x" * 60_000,
        "☃".encode(),
        b"\0",
        TOKEN.encode(),
        b"a\rb",
    ),
)
_HEADERS = (
    *(
        b"Retry-After: " + each
        for each in (b"5", b"-1", b"1e9", b"9" * 5000, b"nan", "٣".encode(), b"\x1b[2J", b"0.5", b"")
    ),
    *(
        b"Retry-After: " + each
        for each in (b"Wed, 21 Oct 2099 07:28:00 GMT", b"Wed, 99 Foo 0000 99:99:99", b"Mon", b"\xff")
    ),
    *(
        b"Location: " + each
        for each in (b"/", b"//evil.example/", b"http://evil.example/" + TOKEN.encode(), b"", b"?x=1")
    ),
    *(
        b"Location: " + each
        for each in (b"http://[::1", b"javascript:x", b"/\x1b[31m", b"http://127.0.0.1:99999/", b"\xff\0")
    ),
    *(
        b"Location: " + each
        for each in (b"../" * 500, b"http://u:p@127.0.0.1/", b"/a b\tc", b"/%zz", b"#", b"http://\xe2\x98\x83")
    ),
    *(b"Content-Length: " + each for each in (b"-1", b"1, 2", b"9" * 30, b"abc", b"0", b"+5", b"1_0", b"4294967296")),
    *(b"Content-Encoding: " + each for each in (b"gzip", b"deflate", b"br", b"gzip, gzip", b"GZIP", b"x" * 3000)),
    *(b"Transfer-Encoding: " + each for each in (b"chunked", b"gzip", b"\0")),
    *(b"Connection: " + each for each in (b"close", b"keep-alive", b"upgrade")),
    *(b"Set-Cookie: " + each for each in (b"a=b", b"\xff=\0", b"a=" + b"x" * 9000)),
    *(
        b"no colon here",
        b" folded: x",
        b": empty name",
        b"X" * 70_000 + b": y",
        b"X: " + b"y" * 70_000,
        b"X\0Y: z",
        b"\xff: \xff",
    ),
    *(b"\r\n".join(b"X-%d: y" % number for number in range(count)) for count in (99, 101, 3000)),
    b"Content-Type: text/html; charset=\xff",
    b"WWW-Authenticate: Basic realm=x",
    b"Alt-Svc: h2=evil.example:443",
)
_DEEP = b'{"id":' * 5000 + b"1" + b"}" * 5000
_BODIES = (
    *(_ID, _ID, b"", b"null", b"[]", b'"text"', b"true", b'{"id": 7}', b'{"id": 1e400}', b'{"id": -0}', b'{"id": null}'),  # noqa: E501
    *(b'{"id": ' + b"9" * 5000 + b"}", b'{"id": NaN}', b'{"id": {"id": 1}}', b'{"id": "\\ud800"}', b'{"id": "\\u0000\\u001b[31m"}'),  # noqa: E501
    *(b'{"id": "\x1b[2J\n\n"}', b'{"id": "' + b"x" * 70_000 + b'"}', b'{"id": "' + TOKEN.encode() + b'"}', _DEEP, b"[" * 65_000),  # noqa: E501
    *(b"\xff\xfe{\0}\0", b"\xef\xbb\xbf" + _ID, b"\0" * 1000, b"\xed\xa0\x80", b'{"id":"a","id":"b"}', b"<html>\x1b]0;x\x07"),  # noqa: E501
    *(gzip.compress(_ID), gzip.compress(_ID)[:-9], zlib.compress(_ID), gzip.compress(bytes(20_000_000)), b"\x1f\x8b" * 500),  # noqa: E501
    *(b"x" * 3_000_000, '{"id": "é\u202e\u2028"}'.encode("utf-16"), b'{"source_id": 1, "received_at": [1]}'),
)  # fmt: skip
