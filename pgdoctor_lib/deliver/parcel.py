"""A snapshot packed once: the same bytes on disk and at every attempt."""

import gzip
import json
import re
import zlib
from dataclasses import dataclass, field

from pgdoctor_lib.snapshot import Sealed

MAX_PLAIN_BYTES = 64 * 1024**2
_LEVEL = 5  # a third less time than 6, for half a percent more bytes
_STEP_BYTES = 65536
_NAME_KEY = '"database":{"name":'


@dataclass(frozen=True)
class Parcel:
    """A packed snapshot: its id, its database's name, its JSON document as gzip."""

    snapshot_id: str
    name: str
    data: bytes = field(repr=False)

    def plain(self) -> bytes:
        """The JSON document, for an endpoint that does not take gzip."""
        return gzip.decompress(self.data)


def pack(sealed: Sealed) -> Parcel:
    """Compress a sealed snapshot; no time goes in, so equal snapshots are equal bytes."""
    return Parcel(sealed.snapshot_id, sealed.name, gzip.compress(sealed.body, _LEVEL, mtime=0))


def unpack(snapshot_id: str, data: bytes) -> Parcel:
    """The parcel that `data` was, read back from disk. ValueError says why it is none."""
    head = _checked_head(data).decode("utf-8", "replace")
    if not re.search(rf'"snapshot_id":\s*"{re.escape(snapshot_id)}"', head):
        raise ValueError("not the snapshot that its file name says")
    return Parcel(snapshot_id, _database_name(head), data)


def unzipped(data: bytes) -> bytes:
    """What such bytes hold. ValueError where they are damaged, or hold more than a snapshot may."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, MAX_PLAIN_BYTES + 1)
    except zlib.error:
        raise ValueError("not gzip, or damaged") from None
    if len(plain) > MAX_PLAIN_BYTES:
        raise ValueError("too large")
    if not inflater.eof or inflater.unused_data:
        raise ValueError("cut short, or something follows")
    return plain


def id_of(data: bytes) -> str:
    """The snapshot's id, from the first part of it alone. ValueError where there is none."""
    try:
        head = zlib.decompressobj(wbits=31).decompress(data, _STEP_BYTES)
    except zlib.error:
        raise ValueError("not gzip, or damaged") from None
    match = re.search(rb'"snapshot_id":\s*"([0-9a-f-]{36})"', head)
    if not match:
        raise ValueError("no snapshot's id in it")
    return match[1].decode()


def _checked_head(data: bytes) -> bytes:
    """The first part of the document, after all of it was seen to decompress (its checksum too)."""
    inflater = zlib.decompressobj(wbits=31)
    head, size, rest = b"", 0, data
    try:
        while not inflater.eof:
            piece = inflater.decompress(rest, _STEP_BYTES)
            if not piece and not inflater.eof:
                raise ValueError("cut short")
            head, size, rest = head or piece, size + len(piece), inflater.unconsumed_tail
            if size > MAX_PLAIN_BYTES:
                raise ValueError("too large")
    except zlib.error:
        raise ValueError("not gzip, or damaged") from None
    if inflater.unused_data:
        raise ValueError("something follows the snapshot")
    return head


def _database_name(head: str) -> str:
    """From the text itself: quotes inside JSON strings are escaped, so the key occurs once."""
    at = head.find(_NAME_KEY) + len(_NAME_KEY)
    if at < len(_NAME_KEY) or not head.startswith('"', at):
        raise ValueError("no database's name in it")
    name, _ = json.JSONDecoder().raw_decode(head, at)
    return str(name)
