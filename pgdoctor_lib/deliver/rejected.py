"""Where files go that the endpoint refused, or that hold no parcel: kept for people, and bounded."""

from collections.abc import Iterable

from pgdoctor_lib.deliver.folder import Folder

NAME = "rejected"
MAX_FILES = 1000


class Rejected:
    """The folder rejected/ within the spool's. All of it is best effort: nothing waits for these files."""

    def __init__(self, spool: Folder, max_bytes: int) -> None:
        self._spool, self._folder, self._max_bytes = spool, Folder(NAME, spool), max_bytes

    def take(self, names: Iterable[str]) -> int:
        """Move files of the spool here, the oldest here making room; how many could be moved."""
        moved = 0
        for name in names:
            try:
                self._spool.move(name, self._folder)
            except OSError:
                continue
            moved += 1
        self._trim()
        return moved

    def put(self, name: str, data: bytes) -> None:
        """Write a file here that never was in the spool."""
        try:
            self._folder.write(name, data)
        except OSError:
            return
        self._trim()

    def bound(self, max_bytes: int) -> None:
        """Hold no more than this, from the next file on."""
        self._max_bytes = max_bytes

    def close(self) -> None:
        """Let go of the folder."""
        self._folder.close()

    def _trim(self) -> None:
        held = sorted((name, size) for name, size, _ in self._folder.files())
        count, total = len(held), sum(size for _, size in held)
        for name, size in held:
            if total <= self._max_bytes and count <= MAX_FILES:
                return
            self._folder.remove(name)
            count, total = count - 1, total - size
