"""The notices that one channel has not taken yet: on disk, a file each, and in memory what the disk does not take.

As in the spool, the files are the queue, and what waits for the disk is handed to `offload`.
"""

from dataclasses import dataclass

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.deliver.folder import Folder
from pgdoctor_lib.deliver.notices import Notice
from pgdoctor_lib.deliver.spool import Offload

MOST = 500
OLD_S = 7 * 86_400.0
_ENDING = ".notice.json"
_LARGEST_BYTES = 16 * 1024**2


@dataclass
class _Kept:
    """`notice`: None where the file has it, as it was when the daemon started, or is since `Postbox.keep`."""

    file: str
    notice: Notice | None = None

    @property
    def at(self) -> float:
        """Epoch seconds: the file's name begins with it."""
        digits = self.file[:13]
        return int(digits) / 1000 if digits.isdecimal() else 0.0


class Postbox:
    """Keeps `MOST` notices, none older than `OLD_S`; the oldest go first. `given_up`: how many went that way."""

    def __init__(self, folder: Folder, clock: Clock, offload: Offload) -> None:
        self._folder, self._clock, self._offload = folder, clock, offload
        files = offload(lambda: sorted(name for name, _, ours in folder.files() if ours and name.endswith(_ENDING)))
        self._waiting = [_Kept(name) for name in files]
        self._number = 0
        self.given_up = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notice: Notice) -> None:
        """Let it wait, in memory until `keep` has come to it."""
        self._number += 1
        file = f"{self._clock.wall() * 1000:013.0f}-{self._number:06d}{_ENDING}"
        self._waiting.append(_Kept(file, notice))

    def keep(self) -> None:
        """Bring to disk what is in memory alone. OSError where that is not possible: it waits all the same."""
        before = self._clock.wall() - OLD_S
        self._give_up(max(len(self._waiting) - MOST, sum(kept.at < before for kept in self._waiting)))
        for kept in list(self._waiting):
            if kept.notice:
                self._offload(self._folder.write, kept.file, kept.notice.body.encode("utf-8", "replace"))
                kept.notice = None

    def oldest(self) -> Notice | None:
        """The one whose turn it is; None where none waits. OSError where it cannot be read now."""
        while self._waiting:
            kept = self._waiting[0]
            try:
                return kept.notice or self._read(kept.file)
            except (FileNotFoundError, ValueError, KeyError, TypeError):  # nothing that could be sent
                self._give_up(1)
        return None

    def taken(self) -> None:
        """The oldest has arrived, or never will."""
        self._offload(self._folder.remove, self._waiting.pop(0).file)

    def _read(self, file: str) -> Notice:
        data: bytes = self._offload(self._folder.read, file, _LARGEST_BYTES)
        return Notice.of_body(data.decode())

    def _give_up(self, count: int) -> None:
        for _ in range(count):
            self.given_up += 1
            self.taken()
