"""A server that says in PostgreSQL's protocol what no PostgreSQL says; a proxy that spoils what a real one says.

Both are plain blocking code on a thread a connection: greenlets, where the process is patched.
"""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

from pgdoctor_lib.collectors.registry import sections
from pgdoctor_lib.postgres.server import Facts, parse_facts
from tests.faults.garble import ODD, flip_bits

PASSWORD = "CANARY.pw~x9"
MODES = ("values", "values", "shape", "messages", "errors", "auth", "copy", "flood", "silence", "mixed")
_VERSIONS = ("16.3", "18.1", "12.0", "9.6.1", "99.99", "x", "", "16\n\x1b[31m", "1" * 5000, "-1", "16.3 (Odd \u202e)")
_BEGIN = [b"x"] * 8 + [b"4711"]
_FACTS = [b"160003", b"16.3", b"UTF8", b"f", b"app", b"u", b"t", b"t", b"f", b"", b"5", b"1795000000.5"]
_FACTS += [b"97", b"5", b"-1", b"-1"]  # connections
_FACTS.append(b'{"pg_stat_statements": ["1.10", "public"]}')
_SECTION = b'1 {"rows": [{"a": 1, "b": "x"}], "total": {"count": 1}, "more": 0}'
_CLOCK = b"1795000000000.5"
_TOP = [
    b"1",
    b'[{"fingerprint":"1","normalized_query":"SELECT 1","calls":1}]',
    b'{"hidden": 0, "recording": true}',
    b'{"rows": [], "total": {"count": 1}, "more": 1}',
    b"1",
    b"",
    b"4711",
    b"0",
]
_OIDS = (16, 17, 18, 20, 23, 25, 114, 700, 1007, 1009, 1043, 1082, 1114, 1184, 1186, 1700, 2249, 3802, 3910, 0, 2**31)
_SQLSTATES = (
    b"57P01",
    b"42501",
    b"22021",
    b"57014",
    b"08006",
    b"00000",
    b"",
    b"\xff\xff",
    b"X" * 3000,
    b"25P02",
    b"53300",
)
_ODD = [each.encode() for each in ODD if each != "\0"]
_VALUES: tuple[bytes | None, ...] = (
    *(None, b"", b"null", b"{", b"}", b"not json", b'{"a": NaN}', b"[" * 100_000, b"9" * 5000, b"-1"),
    *(b"2147483648", b"t"),
    *(b'{"a": "\xff\xfe"}', b'{"a": "\x01"}', b'{"a": 1}}', b'{"a": 1},"sections":{}', b'{"a": "\\ud800"}', b"[1, 2"),
    *(b'{"a": 1e999}', b'{"a": 1, "a": 2}', b"x" * 1_000_000, b"[]", b"{}", b'"text"', b"1", b"{'a': 1}", b'{"a": 1,}'),
    *(b'{"pg_stat_statements": 5}', b'{"pg_stat_statements": ["x", null]}', b'{"hidden": "x"}', b'{"hidden": 1}'),
)  # fmt: skip


def message(kind: bytes, payload: bytes = b"", length: int | None = None) -> bytes:
    """A message with a true length, or with any."""
    return kind + struct.pack("!I", (len(payload) + 4 if length is None else length) & 0xFFFFFFFF) + payload


class BadServer:
    """Serves one client after another as chance has it, of a mode."""

    def __init__(self, dice: random.Random, mode: str) -> None:
        self._dice = dice
        self._modes = {mode} if mode != "mixed" else set(dice.sample(MODES[:-1], 3))
        self._how_often = dice.choice((0.05, 0.2, 1.0))

    def serve(self, client: socket.socket) -> None:
        """Until the client has enough, or this server."""
        self._client = client
        code = 0
        while code in (0, 80877103, 80877104):
            (length, code) = struct.unpack("!II", _exactly(client, 8))
            _exactly(client, min(length, 10_000) - 8)
            if code in (80877103, 80877104):
                client.sendall(
                    self._dice.choice((b"N", b"N", b"N", b"S", b"E", b"\0", b"NN")) if self._is("auth") else b"N"
                )
        if code == 80877102:
            return
        self._greet()
        while (kind := _exactly(client, 1)) != b"X":
            payload = _exactly(client, min(struct.unpack("!I", _exactly(client, 4))[0], 10**6) - 4)
            if kind == b"Q":
                self._say(self._answer(payload))

    def _is(self, mode: str) -> bool:
        return mode in self._modes and self._dice.random() < self._how_often

    def _greet(self) -> None:
        dice = self._dice
        if self._is("auth"):
            self._authenticate()
        version = dice.choice(_VERSIONS) if self._is("values") else "16.3"
        encoding = (
            dice.choice(("LATIN1", "SQL_ASCII", "x", "", "MULE_INTERNAL", "\x1b")) if self._is("values") else "UTF8"
        )
        status = {"server_version": version, "server_encoding": "UTF8", "client_encoding": encoding, "DateStyle": "ISO"}
        status |= {"integer_datetimes": "on", "standard_conforming_strings": dice.choice(("on", "on", "off", "x"))}
        said = [message(b"S", f"{key}\0{value}\0".encode()) for key, value in status.items()]
        self._say([message(b"R", struct.pack("!I", 0)), *said, message(b"K", struct.pack("!II", 1, 2)), _ready(b"I")])

    def _authenticate(self) -> None:
        dice = self._dice
        for _ in range(dice.randint(1, 3)):
            kind = dice.choice((0, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 999, 2**32 - 1))
            more = dice.choice(
                (b"", b"salt", b"SCRAM-SHA-256\0\0", b"SCRAM-SHA-256-PLUS\0\0", b"r=x,s=y,i=1", b"v=x", b"\0" * 50)
            )
            more = dice.choice(
                (more, b"r=" + b"x" * 5000 + b",s=QQ==,i=2000000000", b"OAUTHBEARER\0\0", dice.randbytes(20))
            )
            self._client.sendall(message(b"R", struct.pack("!I", kind) + more))
            time.sleep(0.01)

    def _say(self, messages: list[bytes]) -> None:
        dice = self._dice
        for each in messages:
            if self._is("messages"):
                self._client.sendall(self._strange())
            if self._is("silence"):
                _nap(self._client, dice.choice((0.1, 30)))
            if self._is("flood"):
                self._flood()
            self._client.sendall(each)

    def _answer(self, sql: bytes) -> list[bytes]:
        dice = self._dice
        if self._is("errors"):
            return [self._error(), _ready(dice.choice((b"I", b"T", b"E", b"?")))]
        if self._is("copy"):
            payload = dice.choice((b"\0\0\0", b"\0\0\1\0\0", b"", b"\1\xff\xff"))
            data = [message(b"d", b"x" * dice.choice((0, 100)))] * dice.choice((0, 1, 50))
            return [
                message(dice.choice((b"G", b"H", b"W")), payload),
                *data,
                *dice.choice(([], [message(b"c"), _ready(b"T")])),
            ]
        if sql.startswith(b"BEGIN "):
            return [_done(b"BEGIN"), *self._rows([_BEGIN])]
        if sql.startswith((b"COMMIT", b"ROLLBACK")):
            return [_done(b"COMMIT"), _ready(b"I")]
        return self._rows([_row_for(sql)])

    def _rows(self, rows: list[list[bytes]]) -> list[bytes]:
        dice = self._dice
        if self._is("shape"):
            rows = dice.choice(([], rows * 2, [row[:-1] for row in rows], [[*row, b"x"] for row in rows], rows * 500))
        width = len(rows[0]) if rows else 1
        if self._is("shape"):
            width = dice.choice((0, 1, width + 1, 1600, 65535))
        oids = [dice.choice(_OIDS) if self._is("shape") else 25 for _ in range(width)]
        columns = b"".join(b"c\0" + struct.pack("!IhIhih", 0, 0, oid, -1, -1, int(self._is("shape"))) for oid in oids)
        head = message(b"T", struct.pack("!H", width) + columns)
        return [head, *(self._row(row) for row in rows), _done(b"SELECT 1"), _ready(b"T")]

    def _row(self, row: list[bytes]) -> bytes:
        dice = self._dice
        values = [dice.choice((*_VALUES, *_ODD)) if self._is("values") else value for value in row]
        cells = b"".join(b"\xff\xff\xff\xff" if v is None else struct.pack("!I", len(v)) + v for v in values)
        return message(b"D", struct.pack("!H", len(values)) + cells)

    def _error(self) -> bytes:
        dice = self._dice
        hostile = (
            *_ODD,
            b"x" * 100_000,
            b"%s%n",
            b"password=" + PASSWORD.encode(),
            b"\xff\xfe",
            b"a\nDETAIL:  b\n\nc",
            b"",
        )
        fields = {b"S": b"ERROR", b"C": dice.choice(_SQLSTATES), b"M": dice.choice(hostile)}
        for key in dice.sample(b"VDHPpqWsFLRtcdn\1", 5):
            fields[bytes([key])] = dice.choice(hostile)
        for key in dice.sample(sorted(fields), dice.choice((0, 0, 1))):
            del fields[key]
        return message(
            b"E", b"".join(key + value + b"\0" for key, value in fields.items()) + dice.choice((b"\0", b"\0", b""))
        )

    def _strange(self) -> bytes:
        dice = self._dice
        kind = dice.choice(
            (b"A", b"N", b"S", b"D", b"T", b"E", b"Z", b"C", b"R", b"K", b"I", b"t", b"v", b"V", b"1", b"\0", b"\xff")
        )
        payload = dice.choice(
            (b"", b"\0", b"x\0y\0", b"\0\0\0\1a\0b\0", dice.randbytes(dice.randint(1, 60)), b"\xff" * 20)
        )
        length = dice.choice((None, None, None, 0, 3, 4, -1, 2**31 - 1, 2**31, len(payload) + 5, 1_000_000))
        return message(kind, payload, length)

    def _flood(self) -> None:
        dice = self._dice
        each = dice.choice(
            (self._error().replace(b"E", b"N", 1), message(b"S", b"a\0b\0"), message(b"A", b"\0\0\0\1a\0b\0"))
        )
        for _ in range(dice.choice((1, 100, 3000))):
            self._client.sendall(each[:2000] if each[:1] != b"N" else message(b"N", b"SNOTICE\0C00000\0Mx\0\0"))


class Spoiler:
    """Between a client and a real server: spoils what the server says from a byte by chance on."""

    def __init__(self, to: tuple[str, int], dice: random.Random, how: str, at: int) -> None:
        self._to, self._dice, self._how, self._at = to, dice, how, at

    def serve(self, client: socket.socket) -> None:
        """Until one of them ends."""
        self._client = client
        with socket.create_connection(self._to) as server:
            up = threading.Thread(target=_pass_on, args=(client, server), daemon=True)
            up.start()
            self._passed = 0
            _pump(server, client, self._spoil)
            _end(client, server)
            up.join()

    def _spoil(self, piece: bytes) -> bytes | None:
        """What is passed on; None to end it here."""
        dice, begin = self._dice, max(0, self._at - self._passed)
        self._passed += len(piece)
        if begin >= len(piece):
            return piece
        good, rest = piece[:begin], piece[begin:]
        if self._how in ("close", "reset"):
            self._rest = good
            return None
        self._at = self._passed + dice.choice((10, 1000, 10**9))
        if self._how == "bits":
            return good + flip_bits(rest[:200], dice, dice.randint(1, 4)) + rest[200:]
        size = dice.randint(1, 50)
        if self._how == "double":
            return good + rest[:size] + rest
        if self._how == "drop":
            return good + rest[size:]
        if self._how == "noise":
            return good + dice.randbytes(size) + rest[size:]
        _nap(self._client, dice.choice((0.05, 0.3, 30)))
        return piece


HOWS = ("bits", "bits", "bits", "double", "drop", "noise", "delay")


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port where every connection is served so, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_: list[socket.socket] = []

    def one(client: socket.socket) -> None:
        client.settimeout(30)
        with client, contextlib.suppress(OSError, EOFError, ValueError):
            serve(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                open_.append(listener.accept()[0])
                threading.Thread(target=one, args=(open_[-1],), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        _end(listener, *open_)
        listener.close()
        acceptor.join()


def healthy_facts() -> Facts:
    """What the fake server is taken for."""
    return parse_facts(tuple(each.decode() for each in _FACTS))


def _row_for(sql: bytes) -> list[bytes]:
    """What a healthy server would say, about."""
    if b"pgdoctor:facts" in sql:
        return list(_FACTS)
    sql = sql.rpartition(b"pg_catalog.pg_backend_pid(); ")[2]
    if sql.startswith(b"SELECT /* pgdoctor:session"):
        return _BEGIN
    if sql.startswith(b"SELECT /* pgdoctor:top_queries"):
        return [_CLOCK, *_TOP, _CLOCK]
    if sql.startswith(b"SELECT /* pgdoctor:") and not sql.startswith(b"SELECT /* pgdoctor:cycle"):
        return [_CLOCK, _SECTION, _CLOCK, b"false"]
    quick = sum(not part.every_s for part in sections(healthy_facts(), "masked"))
    return [_CLOCK, _CLOCK, *[_SECTION, _CLOCK] * quick, b"false"]


def _ready(state: bytes) -> bytes:
    return message(b"Z", state)


def _done(tag: bytes) -> bytes:
    return message(b"C", tag + b"\0")


def _exactly(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        if not (piece := source.recv(count - len(found))):
            raise EOFError
        found += piece
    return found


def _nap(client: socket.socket, seconds: float) -> None:
    """Wait, but not for a client that has gone."""
    with contextlib.suppress(OSError, ValueError):
        select.select([client], [], [], seconds)


def _pass_on(client: socket.socket, server: socket.socket) -> None:
    _pump(client, server, lambda piece: piece)
    _end(server)


def _pump(source: socket.socket, to: socket.socket, change: Callable[[bytes], bytes | None]) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            if (changed := change(piece)) is None:
                return
            to.sendall(changed)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
