"""The files that pages name: each under an address that has its content's hash, so that browsers keep it for good.

Of the page's own ones what is there for who reads the source, indentation and comments, is left out.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "pgdoctor.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.iife.min.js": "text/javascript; charset=utf-8",
    "vendor/uPlot.min.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_LEAN = {
    "style.css": ((rb"/\*.*?\*/", b""), (rb"\s*\n\s*", b"\n"), (rb" ?([{};:,>]) ", rb"\1")),
    "pgdoctor.js": ((rb"\n\s*(//[^\n]*)?", b"\n"), (rb"\n+", b"\n")),
}


@dataclass(frozen=True)
class Asset:
    """`packed`: the same, gzipped."""

    content_type: str
    body: bytes
    packed: bytes


def address(name: str) -> str:
    """Where `style.css`, say, is found."""
    return _addresses()[name]


def drawing(name: str) -> str:
    """An SVG to be put into a page: what all pages have is not asked for on its own."""
    return _read(name).decode("utf-8").strip()


def find(path: str) -> Asset | None:
    """What is at an address."""
    return _assets().get(path)


@cache
def _addresses() -> Mapping[str, str]:
    digests = {name: hashlib.sha256(_lean(name, _read(name))).hexdigest()[:12] for name in _TYPES}
    return {name: f"/static/{digest}/{name.rpartition('/')[2]}" for name, digest in digests.items()}


@cache
def _assets() -> Mapping[str, Asset]:
    bodies = {name: _lean(name, _read(name)) for name in _TYPES}
    return {address(name): Asset(_TYPES[name], body, gzip.compress(body, mtime=0)) for name, body in bodies.items()}


@cache
def _read(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


def _lean(name: str, body: bytes) -> bytes:
    for pattern, instead in _LEAN.get(name, ()):
        body = re.sub(pattern, instead, body, flags=re.DOTALL)
    return body
