"""The last snapshot of each database that the endpoint took: what the next diagnosis goes on from, after a restart too.

They lie in last/ within the spool's folder: a file that was delivered is moved there, not removed.
"""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from pgdoctor_lib.deliver.folder import Folder, opened
from pgdoctor_lib.deliver.parcel import MAX_PLAIN_BYTES, id_of, unzipped
from pgdoctor_lib.snapshot import new_id

NAME = "last"
_ENDING = ".json.gz"
OLD_S = 30 * 86400.0  # after that long without a newer one the database is gone
_LONGEST = 180  # of a file's name, in bytes


class Last:
    """The folder. All of it is best effort: what cannot be kept is missing, no more."""

    def __init__(self, spool: Folder) -> None:
        self._spool, self._folder = spool, Folder(NAME, spool)
        self._newest: dict[str, str] = {}

    def take(self, file: str, snapshot_id: str, database: str) -> None:
        """`file` of the spool was delivered: keep it in place of that database's last; an older one is removed."""
        if database not in self._newest:
            self._newest[database] = self._there(database)
        if snapshot_id < self._newest[database]:
            self._spool.remove(file)
            return
        self._newest[database] = snapshot_id
        try:
            self._spool.move(file, self._folder, file_name(database))
        except OSError:
            self._spool.remove(file)

    def _there(self, database: str) -> str:
        """The id of what an earlier run left; "" where there is none, or one of a clock that was ahead."""
        try:
            found = id_of(self._folder.read(file_name(database), MAX_PLAIN_BYTES))
        except (OSError, ValueError):
            return ""
        return found if found < new_id() else ""

    def forget_old(self) -> None:
        """Remove those of databases that are gone."""
        forget_old(self._folder)

    def close(self) -> None:
        """Let go of the folder."""
        self._folder.close()


def file_name(database: str) -> str:
    """What the file of a database is called, whatever characters its name has."""
    quoted = quote(database, safe=" +=,@", encoding="utf-8", errors="replace")
    if len(quoted) > _LONGEST or quoted.startswith("."):
        quoted = (
            f"{quoted[: _LONGEST - 70].lstrip('.')}-{hashlib.sha256(database.encode('utf-8', 'replace')).hexdigest()}"
        )
    return f"{quoted}{_ENDING}"


def forget_old(folder: Folder) -> None:
    """Remove the files that nobody has written for long."""
    before = time.time() - OLD_S
    for name, modified in list(folder.times()):
        if modified < before:
            folder.remove(name)


def load(spool_path: str, database: str) -> bytes | None:
    """The JSON of the last snapshot of that database that was delivered; None where there is none."""
    return read(spool_path, file_name(database))


def names(spool_path: str) -> list[str]:
    """The files of all databases, in order; none where there is no spool."""
    try:
        with _opened(spool_path) as folder:
            return sorted(name for name, _, is_ours in folder.files() if is_ours and name.endswith(_ENDING))
    except OSError:
        return []


def read(spool_path: str, file: str) -> bytes | None:
    """The JSON in one of these files; None where it cannot be read."""
    try:
        with _opened(spool_path) as folder:
            return unzipped(folder.read(file, MAX_PLAIN_BYTES))
    except (OSError, ValueError):
        return None


@contextmanager
def _opened(spool_path: str) -> Iterator[Folder]:
    """Of whoever only reads: what is not there is not made."""
    os.stat(os.path.join(spool_path, NAME))
    with opened(spool_path, NAME) as folder:
        yield folder
