"""Marks: a label for a moment (a deploy, a migration), with the snapshot that was taken then.

They lie in marks/ within the spool's folder, a folder a database: `index.json` lists them, the oldest first, and beside
it lie their snapshots. The daemon reads the newest label from there.
"""

import gzip
import hashlib
import json
import os
import re
from contextlib import ExitStack

from pgdoctor_lib.deliver.folder import Folder, opened
from pgdoctor_lib.deliver.parcel import MAX_PLAIN_BYTES, unzipped
from pgdoctor_lib.errors import SpoolError, UsageError
from pgdoctor_lib.secret import one_line, printable, redact
from pgdoctor_lib.snapshot import Mark

MOST = 20  # a database
LONGEST = 100  # of a label, characters
_NAME, _INDEX = "marks", "index.json"
_INDEX_BYTES = 1024**2


class Marks:
    """Those of one database. `spool_path`: where the spool is, whoever holds it."""

    def __init__(self, spool_path: str, database: str) -> None:
        self._path, self._database = spool_path, folder_name(database)
        self._index = os.path.join(spool_path, _NAME, self._database, _INDEX)
        self._seen: tuple[int, int] | None = None
        self._newest: Mark | None = None

    def latest(self) -> Mark | None:
        """The newest, for the daemon: the file is read when it has changed. What cannot be read is no mark."""
        try:
            found = os.stat(self._index, follow_symlinks=False)
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._seen:
                self._newest = next(reversed(self.all()), None)
                self._seen = stamp
        except (OSError, SpoolError):
            self._seen, self._newest = None, None
        return self._newest

    def all(self) -> list[Mark]:
        """The oldest first. SpoolError where they cannot be read."""
        if not os.path.exists(self._index):
            return []
        with ExitStack() as stack:
            return self._listed(self._open(stack))

    def keep(self, mark: Mark, body: bytes) -> None:
        """With the snapshot that was taken at it, its JSON; the oldest go. SpoolError where that is not possible."""
        with ExitStack() as stack:
            folder = self._open(stack)
            if not folder.lock():
                raise SpoolError("somebody else is setting a mark of this database", hint="try again")
            try:
                folder.remove(f".{_INDEX}")  # half written by one that was killed
                folder.write(_file(mark), gzip.compress(body, 6, mtime=0))
                marks = sorted({*self._listed(folder), mark}, key=lambda each: each.at)
                folder.write(_INDEX, json.dumps([vars(each) for each in marks[-MOST:]]).encode())
            except OSError as error:
                raise SpoolError(f"the mark cannot be kept: {error.strerror}") from None
            for old in marks[:-MOST]:
                folder.remove(_file(old))

    def snapshot(self, mark: Mark) -> bytes:
        """The JSON that was kept with it. SpoolError where it cannot be read."""
        with ExitStack() as stack:
            try:
                return unzipped(self._open(stack).read(_file(mark), MAX_PLAIN_BYTES))
            except (OSError, ValueError) as error:
                raise SpoolError(f"the snapshot of mark {printable(mark.label)} cannot be read: {error}") from None

    def _open(self, stack: ExitStack) -> Folder:
        try:
            return stack.enter_context(opened(self._path, _NAME, self._database))
        except OSError as error:
            raise SpoolError(f"marks in {one_line(self._path)}: {error.strerror}") from None

    def _listed(self, folder: Folder) -> list[Mark]:
        try:
            return [
                Mark(str(each["label"]), float(each["at"])) for each in json.loads(folder.read(_INDEX, _INDEX_BYTES))
            ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise SpoolError(f"marks in {one_line(self._path)} cannot be read: {one_line(str(error))}") from None


def checked_label(label: str) -> str:
    """A label as it may be kept. UsageError where it is empty, too long, or would not stand on a line."""
    if not label.strip() or len(label) > LONGEST or printable(label) != label:
        raise UsageError(f"a label is 1 to {LONGEST} characters on one line: {one_line(label, 60)}")
    return redact(label.strip())


def folder_name(database: str) -> str:
    """A database's folder: readable, and another one for each name, whatever characters are in it."""
    digest = hashlib.sha256(database.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{re.sub('[^A-Za-z0-9_-]', '_', database)[:40]}-{digest}"


def _file(mark: Mark) -> str:
    return f"{mark.at * 1000:.0f}.json.gz"
