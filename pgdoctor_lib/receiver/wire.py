"""HTTP's plain middle: a request's body read within bounds, a response with the headers that every answer has."""

import gzip
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Protocol

from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DeadlineExceeded

_CHUNK = 65536
_LEAST_PACKED_BYTES, _MOST_PACKED_BYTES = 4096, 1024**2  # it takes 10 ms, in which nothing else runs
_LEVEL = 4
_MOST_DEPTH = 50
_NEVER = re.compile(r"q\s*=\s*0(?:\.0*)?", re.ASCII)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'"
)
SAFETY = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


class Readable(Protocol):
    """What WSGI gives as `wsgi.input`."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        ...


class Rejected(Exception):
    """A request that is answered with `status` and one sentence. `headers` go with it."""

    def __init__(self, status: int, message: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = tuple(headers)


@dataclass(frozen=True)
class Response:
    """A status, a body with its type, and headers besides `SAFETY`."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def status_line(self) -> str:
        """As WSGI wants it: "404 Not Found"."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    def all_headers(self) -> list[tuple[str, str]]:
        """What goes over the wire."""
        own = [("Content-Type", self.content_type), ("Content-Length", str(len(self.body))), *self.headers]
        names = {name for name, _ in own}
        return own + [(name, value) for name, value in SAFETY if name not in names]

    def negotiated(self, is_gzip: bool) -> "Response":
        """The same, gzipped where that is wanted and worth it; where it might be, it says so to caches."""
        if not _LEAST_PACKED_BYTES <= len(self.body) <= _MOST_PACKED_BYTES or "Vary" in dict(self.headers):
            return self
        headers = (*self.headers, ("Vary", "Accept-Encoding"))
        if not is_gzip:
            return replace(self, headers=headers)
        packed = gzip.compress(self.body, _LEVEL)
        return replace(self, body=packed, headers=(*headers, ("Content-Encoding", "gzip")))


def json_response(status: int, value: object, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """JSON that is inert even where a browser takes it for HTML, whatever a snapshot has put into it."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        text = json.dumps(_plain(value, _MOST_DEPTH), separators=(",", ":"))
    text = text.replace("<", "\\u003c")
    return Response(status, text.encode("ascii"), "application/json", tuple(headers))


def html_response(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """A page."""
    return Response(status, text.encode("utf-8", "replace"), "text/html; charset=utf-8", tuple(headers))


def text_response(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """One line of plain text."""
    return Response(status, f"{text}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8", tuple(headers))


def takes_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding lets an answer be gzipped."""
    told = {}
    for each in accepted.lower().split(","):
        coding, _, quality = each.partition(";")
        told[coding.strip()] = not _NEVER.fullmatch(quality.strip())
    return told.get("gzip", told.get("*", False))


def _plain(value: object, depth: int) -> object:
    """Without what JSON has no word for (1e999 is read as infinity), and not too deep."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(each, depth - 1) for key, each in value.items()} if depth else None
    if isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value] if depth else None
    return value


def read_body(environ: Mapping[str, Any], limit: int, seconds: float) -> bytes:
    """The request's body: at most `limit` bytes, within `seconds`, however slowly it drips."""
    declared = environ.get("CONTENT_LENGTH")
    if declared is None and "HTTP_TRANSFER_ENCODING" not in environ:
        raise Rejected(411, "a body with Content-Length is needed")
    if declared is not None and int(declared) > limit:
        raise Rejected(413, f"the body is over {limit} bytes")
    try:
        with deadline(seconds, "the body"):
            return _read(environ["wsgi.input"], limit)
    except DeadlineExceeded:
        raise Rejected(408, f"the body took longer than {seconds:g} s", [("Connection", "close")]) from None
    except (OSError, ValueError):
        raise Rejected(400, "the body ended early, or was badly chunked", [("Connection", "close")]) from None


def _read(source: Readable, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := source.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise Rejected(413, f"the body is over {limit} bytes", [("Connection", "close")])
        chunks.append(chunk)
    return b"".join(chunks)
