"""The spool: parcels that the endpoint has not taken yet, oldest first.

The files are the queue. In memory there is only what a listing of the folder would tell (ids and
sizes) and which parcels are claimed, that is, in somebody's hands. All of that is touched by one
thread; what waits for the disk is handed to `offload`, and touches nothing of it.
"""

import bisect
import errno
import math
import re
import threading
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from pgdoctor_lib.clock import SYSTEM, Clock
from pgdoctor_lib.deliver.folder import Folder
from pgdoctor_lib.deliver.last import Last
from pgdoctor_lib.deliver.parcel import MAX_PLAIN_BYTES, Parcel, unpack
from pgdoctor_lib.deliver.rejected import Rejected
from pgdoctor_lib.errors import SpoolError
from pgdoctor_lib.secret import one_line

_REJECTED_SHARE = 4  # rejected/ may hold a quarter of max_bytes, beside them
_ENDING = ".json.gz"
_FILE = re.compile(r"(\.?)([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\.json\.gz")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_FILE_OF_OURS = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Offload(Protocol):
    """Runs a function where blocking does no harm, and returns what it returned; it never fails to begin for want of a
    thread.
    """

    def __call__(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What `function` returned."""
        ...


def _here(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    return function(*args, **kwargs)


class Spool:
    """Keeps at most `max_bytes` of parcels, none older than `max_age_s`; the oldest go first.

    One process at a time holds a folder. A parcel that `keep` or `oldest` handed over is claimed:
    nobody else gets it, and it is not dropped, until `forget`, `release` or `reject`.
    """

    def __init__(
        self, path: str, max_bytes: int, max_age_s: float, clock: Clock = SYSTEM, offload: Offload = _here
    ) -> None:
        self._path, self._max_bytes, self._max_age_s = path, max_bytes, max_age_s
        self._clock, self._offload = clock, offload
        self._waiting: list[tuple[str, int]] = []  # sorted: ids are ordered by time
        self._claimed: dict[str, int] = {}
        self._bytes = 0
        self.dropped_for_room = 0
        """Parcels given up so far because newer ones needed their room."""
        self.dropped_for_age = 0
        """Parcels given up so far because they were too old."""
        self.set_aside = 0
        """Files moved to rejected/ so far because they hold no parcel."""
        self._opening = threading.Lock()
        self._folder, self._rejected, self._last = self._open()

    @property
    def count(self) -> int:
        """Parcels in the spool, claimed ones included."""
        return len(self._waiting) + len(self._claimed)

    @property
    def unclaimed(self) -> int:
        """Parcels in the spool that nobody has in hand."""
        return len(self._waiting)

    def keep(self, parcel: Parcel) -> None:
        """Put it on disk, claimed. SpoolError where that is not possible: the caller still has it."""
        self._claimed[parcel.snapshot_id] = len(parcel.data)
        self._bytes += len(parcel.data)
        try:
            self._expire()
            error = self._reserve() or self._write(parcel)
        except SpoolError:
            self._unclaim(parcel)
            raise
        except MemoryError:  # not even to hand it over: nothing was written
            self._unclaim(parcel)
            raise SpoolError(f"spool {one_line(self._path)}: out of memory") from None
        except BaseException:  # thrown into the wait for the disk: the file may be there or not
            self.release(parcel)
            raise
        if error:
            self._unclaim(parcel)
            raise SpoolError(f"spool {one_line(self._path)}: {_words(error)}")

    def has(self, snapshot_id: str) -> bool:
        """Whether it is here, claimed or not."""
        place = bisect.bisect_left(self._waiting, (snapshot_id, -1))
        waits = place < len(self._waiting) and self._waiting[place][0] == snapshot_id
        return waits or snapshot_id in self._claimed

    def bound(self, max_bytes: int, max_age_s: float) -> None:
        """Other bounds, in force from now on."""
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._rejected.bound(max_bytes // _REJECTED_SHARE)
        self._expire()
        self._reserve()

    def oldest(self, after: str = "") -> Parcel | None:
        """The oldest parcel that is not claimed, now claimed; None where there is none. `after`: newer than this id.

        A file that holds no parcel is moved to rejected/ and passed over; one that cannot be read now waits on.
        """
        self._expire()
        while (place := bisect.bisect_left(self._waiting, (after, math.inf))) < len(self._waiting):
            snapshot_id, size = self._waiting.pop(place)
            self._claimed[snapshot_id] = size
            try:
                parcel = self._offload(_read, self._folder, self._rejected, snapshot_id)
            except BaseException:
                self._put_back(snapshot_id)
                raise
            if isinstance(parcel, Parcel):
                return parcel
            if parcel is None:
                self._put_back(snapshot_id)
                after = snapshot_id
                continue
            self._bytes -= self._claimed.pop(snapshot_id)
            self.set_aside += parcel
        return None

    def forget(self, parcel: Parcel) -> None:
        """It was delivered: it waits no more (see last.py). One that was never kept is nothing to remove."""
        if self._unclaim(parcel):
            self._offload(self._last.take, parcel.snapshot_id + _ENDING, parcel.snapshot_id, parcel.name)

    def release(self, parcel: Parcel) -> None:
        """It was not delivered: let it wait, at its place in the order."""
        self._put_back(parcel.snapshot_id)

    def reject(self, parcel: Parcel) -> None:
        """It will never be taken: move it to rejected/, which is bounded too."""
        kept = self._unclaim(parcel)
        self._offload(_reject, self._rejected, parcel, kept)

    def close(self) -> None:
        """Let another process have the folder."""
        self._last.close()
        self._rejected.close()
        self._folder.close()

    def _open(self) -> tuple[Folder, Rejected, Last]:
        opened = self._offload(_open, self._path, self._max_bytes // _REJECTED_SHARE)
        if isinstance(opened, OSError):
            raise SpoolError(f"spool {one_line(self._path)}: {_words(opened)}")
        folder, rejected, last, found, alien = opened
        self._waiting = sorted(entry for entry in found if entry[0] not in self._claimed)
        self._bytes = sum(size for _, size in self._waiting) + sum(self._claimed.values())
        self.set_aside += alien
        return folder, rejected, last

    def _reserve(self) -> OSError | None:
        """Room for what is claimed, within the bound; nothing is dropped where that cannot be."""
        if sum(self._claimed.values()) > self._max_bytes:
            return OSError("more than it may hold")
        while self._bytes > self._max_bytes and self._waiting:  # seen anew after each: others make room, too
            self.dropped_for_room += 1
            self._drop_oldest()
        return None

    def _write(self, parcel: Parcel) -> OSError | None:
        folder = self._folder
        error = self._offload(_write, folder, parcel)
        if error is None:
            return None
        if error.errno in _DISK_FULL and self._waiting:
            self._free(len(parcel.data))
        elif error.errno == errno.ENOENT:  # somebody removed the folder
            self._open_anew(folder)
        else:
            return error
        return self._offload(_write, self._folder, parcel)

    def _open_anew(self, gone: Folder) -> None:
        """Make the folder again; once, whoever else found out that it is `gone`."""
        with self._opening:
            if self._folder is gone:
                self._folder, self._rejected, self._last = self._open()

    def _free(self, wanted: int) -> None:
        """Drop the oldest until `wanted` bytes of the disk are given back, or nothing is left to drop."""
        while wanted > 0 and self._waiting:
            self.dropped_for_room += 1
            wanted -= self._drop_oldest()

    def _expire(self) -> None:
        before = self._clock.wall() - self._max_age_s
        while self._waiting and _epoch(self._waiting[0][0]) < before:
            self.dropped_for_age += 1
            self._drop_oldest()

    def _drop_oldest(self) -> int:
        """Its bytes. They no longer count before the file goes, while which others may drop, too."""
        snapshot_id, size = self._waiting.pop(0)
        self._bytes -= size
        self._offload(self._folder.remove, snapshot_id + _ENDING)
        return size

    def _put_back(self, snapshot_id: str) -> None:
        size = self._claimed.pop(snapshot_id, None)
        if size is not None:
            bisect.insort(self._waiting, (snapshot_id, size))

    def _unclaim(self, parcel: Parcel) -> bool:
        """Whether it was claimed; it no longer counts."""
        size = self._claimed.pop(parcel.snapshot_id, None)
        self._bytes -= size or 0
        return size is not None


# What runs off the hub. Errors are returned, since a thread pool would print them before passing them on, and
# without their traceback, whose frames hold the folder and the parcel.


def _open(path: str, max_rejected_bytes: int) -> tuple[Folder, Rejected, Last, list[tuple[str, int]], int] | OSError:
    """The folder, rejected/, last/, ids and sizes of what waits, and how many files were set aside."""
    try:
        folder = Folder(path)
    except OSError as error:
        return error.with_traceback(None)
    try:
        if not folder.lock():
            raise BlockingIOError("another pgdoctor uses it")
        rejected = Rejected(folder, max_rejected_bytes)
        last = Last(folder)
        last.forget_old()
        return folder, rejected, last, *_sweep(folder, rejected)
    except OSError as error:
        folder.close()
        return error.with_traceback(None)


def _sweep(folder: Folder, rejected: Rejected) -> tuple[list[tuple[str, int]], int]:
    """List what waits; remove what a crash left half written. What was never ours is not touched."""
    found: list[tuple[str, int]] = []
    alien: list[str] = []
    for name, size, ours in list(folder.files()):
        match = _FILE.fullmatch(name)
        if match and match[1]:
            folder.remove(name)
        elif match and ours:
            found.append((match[2], size))
        elif match:
            alien.append(name)
    return found, rejected.take(alien)


def _write(folder: Folder, parcel: Parcel) -> OSError | None:
    try:
        folder.write(parcel.snapshot_id + _ENDING, parcel.data)
    except OSError as error:
        return error.with_traceback(None)
    return None


def _read(folder: Folder, rejected: Rejected, snapshot_id: str) -> Parcel | int | None:
    """The parcel; or how many files were set aside for there being none (0: the file has gone); None: not now."""
    name = snapshot_id + _ENDING
    try:
        return unpack(snapshot_id, folder.read(name, MAX_PLAIN_BYTES))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_FILE_OF_OURS:
            return None  # the disk's fault, or too many files are open: the file may be good
        return rejected.take([name])


def _reject(rejected: Rejected, parcel: Parcel, kept: bool) -> None:
    name = parcel.snapshot_id + _ENDING
    if kept:
        rejected.take([name])
    else:
        rejected.put(name, parcel.data)


def _epoch(snapshot_id: str) -> float:
    """When the snapshot was taken: a version 7 UUID begins with it."""
    return int(snapshot_id[:8] + snapshot_id[9:13], 16) / 1000


def _words(error: OSError) -> str:
    told = error.strerror or str(error)
    return one_line(told[:1].lower() + told[1:])
