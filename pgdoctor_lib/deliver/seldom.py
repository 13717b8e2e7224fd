"""Of each database the sections that few snapshots bring, as they last were: the last snapshot may lack them.

They lie in seldom/ within the spool's folder, a file a database. `pgdoctor diff` compares with them.
All of it is best effort: what cannot be kept, or read, is missing, no more.
"""

import gzip
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pgdoctor_lib.deliver import last
from pgdoctor_lib.deliver.folder import Folder, opened
from pgdoctor_lib.deliver.parcel import MAX_PLAIN_BYTES, unzipped

SECTIONS = frozenset(("settings", "extensions", "schema", "database_sizes", "table_sizes"))
_NAME = "seldom"
_SENSELESS = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Kept:
    """A section: its JSON text; `taken_at`: epoch seconds."""

    taken_at: float
    json: str


def keep(spool_path: str, database: str, sections: Mapping[str, Kept]) -> None:
    """In place of what is there of these sections."""
    file = last.file_name(database)
    with suppress(OSError), opened(spool_path, _NAME) as folder:
        kept = {name: vars(each) for name, each in {**_read(folder, file), **sections}.items()}
        folder.remove(f".{file}")  # half written by one that was killed
        folder.write(file, gzip.compress(json.dumps(kept).encode(), 1, mtime=0))


def load(spool_path: str, database: str) -> dict[str, Kept]:
    """What is there of a database, by the section's name."""
    with suppress(OSError), _there(spool_path) as folder:
        return _read(folder, last.file_name(database))
    return {}


def forget_old(spool_path: str) -> None:
    """Remove those of databases that are gone."""
    with suppress(OSError), _there(spool_path) as folder:
        last.forget_old(folder)


@contextmanager
def _there(spool_path: str) -> Iterator[Folder]:
    """Of whoever keeps nothing: where there is no folder, none is made."""
    os.stat(os.path.join(spool_path, _NAME))
    with opened(spool_path, _NAME) as folder:
        yield folder


def _read(folder: Folder, file: str) -> dict[str, Kept]:
    try:
        found = json.loads(unzipped(folder.read(file, MAX_PLAIN_BYTES)))
        return {name: Kept(float(each["taken_at"]), str(each["json"])) for name, each in found.items()}
    except (OSError, *_SENSELESS):
        return {}
