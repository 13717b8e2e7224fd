"""Where snapshots are until the endpoint has them: on disk, and in memory only while the disk fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import gevent

from pgdoctor_lib.agent.losses import Counts, Losses
from pgdoctor_lib.agent.marks import Marks
from pgdoctor_lib.agent.threads import Threads
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Spool
from pgdoctor_lib.deliver import seldom
from pgdoctor_lib.deliver.last import load
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.spool import Spool as Folder
from pgdoctor_lib.errors import Refused, SpoolError
from pgdoctor_lib.snapshot import Mark, Sealed, Snapshot
from pgdoctor_lib.units import counted

if TYPE_CHECKING:
    Job = gevent.Greenlet[..., Parcel]

MEMORY_BYTES = 32 * 1024**2
_LAST_WRITES_S = 5.0


class Store:
    """Keeps snapshots, hands each to one at a time, and counts those that it gives up."""

    def __init__(self, spool: Spool, clock: Clock, note: Callable[..., None]) -> None:
        self._note = note
        self._off_the_hub = Threads(2)  # its own: gevent's shared threads may all be waiting for a name server
        self._folder = Folder(spool.path, spool.max_bytes, spool.max_age_s, clock, self._off_the_hub)
        self._path, self._max_age_s = spool.path, spool.max_age_s
        seldom.forget_old(spool.path)
        self._marks: dict[str, Marks] = {}
        self._memory: dict[str, Parcel] = {}
        self._in_hand: set[str] = set()
        self._writing: set[Job] = set()
        self._disk_works = True
        self._dropped_for_memory = 0
        self._losses = Losses(note, clock.monotonic)

    def last(self, name: str) -> bytes | None:
        """The JSON of the last snapshot of that database that the endpoint took, of whatever run."""
        return self._off_the_hub(load, self._path, name)

    def latest_mark(self, name: str) -> Mark | None:
        """The newest mark of that database (`pgdoctor mark`)."""
        if name not in self._marks:
            self._marks[name] = Marks(self._path, name)
        return self._off_the_hub(self._marks[name].latest)

    @property
    def on_disk(self) -> int:
        """Snapshots in the spool, those at work included."""
        return self._folder.count

    @property
    def waiting(self) -> int:
        """Snapshots on disk and in memory, those at work included."""
        return self._folder.count + len(self._memory)

    @property
    def left(self) -> int:
        """Snapshots on disk and in memory that are not at work."""
        return self._folder.unclaimed + sum(key not in self._in_hand for key in self._memory)

    @property
    def dropped(self) -> int:
        """Snapshots given up since the start."""
        return self._counts().dropped

    def has(self, snapshot_id: str) -> bool:
        """Whether it is here, at work or not."""
        return snapshot_id in self._memory or self._folder.has(snapshot_id)

    def keep(self, sealed: Sealed) -> Parcel:
        """Put it on disk; in memory, for as long as the disk does not take it. It is in the caller's hands."""
        # In a greenlet of its own: what is written when this cycle is killed is written to its end.
        writing: Job = gevent.spawn(self._keep, sealed)
        self._writing.add(writing)
        writing.link(self._writing.discard)
        try:
            return writing.get()
        except BaseException:
            writing.link_value(self._put_back_late)
            raise

    def remember(self, snapshot: Snapshot) -> None:
        """Keep those of its sections that the next snapshots do not bring: see deliver/seldom.py."""
        told = {section.name: section.json for section in snapshot.collected.sections}
        kept = {name: seldom.Kept(snapshot.collected_at, told[name]) for name in seldom.SECTIONS & told.keys()}
        if kept:
            with suppress(MemoryError):
                self._off_the_hub(seldom.keep, self._path, snapshot.name, kept)

    def oldest(self, after: str = "") -> Parcel | None:
        """The oldest that nobody has in hand, now in the caller's; what is on disk first. `after`: newer than that."""
        if parcel := self._folder.oldest(after):
            return parcel
        for key, parcel in self._memory.items():
            if key > after and key not in self._in_hand:
                self._in_hand.add(key)
                return parcel
        return None

    def put_back(self, parcel: Parcel) -> None:
        """Let it wait, at its place in the order."""
        self._in_hand.discard(parcel.snapshot_id)
        self._folder.release(parcel)

    @contextmanager
    def custody(self, parcel: Parcel) -> Iterator[None]:
        """While it is on the wire; afterwards it is gone, set aside where it was `Refused`, or waits again."""
        try:
            yield
        except Refused:
            self._memory.pop(parcel.snapshot_id, None)
            self._folder.reject(parcel)
            raise
        except BaseException:
            self._folder.release(parcel)
            raise
        else:
            self._memory.pop(parcel.snapshot_id, None)
            self._folder.forget(parcel)
        finally:
            self._in_hand.discard(parcel.snapshot_id)

    def bound(self, max_bytes: int, max_age_s: float) -> None:
        """Other bounds of the spool, in force from now on."""
        self._max_age_s = max_age_s
        self._folder.bound(max_bytes, max_age_s)
        self.tell_losses()

    def tell_losses(self, *, last: bool = False) -> None:
        """Say what was given up, or could not be read, since this was last said; once a minute at most."""
        self._losses.tell(self._counts(), self._max_age_s, last=last)

    def close(self) -> None:
        """Finish what is being written, let go of the folder; say what is left, and what was lost."""
        gevent.joinall(list(self._writing), timeout=_LAST_WRITES_S)
        self._in_hand.clear()  # whoever had one was ended before
        gevent.spawn(self._rescue).join(timeout=_LAST_WRITES_S)
        self.tell_losses(last=True)
        if self._memory:
            self._note(
                f"{counted(len(self._memory), 'snapshot')} could be neither delivered nor kept on disk", level="error"
            )
        if self._folder.count:
            self._note(f"{counted(self._folder.count, 'snapshot')} kept in the spool for the next start")
        self._folder.close()

    def _keep(self, sealed: Sealed) -> Parcel:
        parcel = pack(sealed)
        try:
            self._folder.keep(parcel)
        except SpoolError as error:
            self._disk_is(False, f"{error}; keeping snapshots in memory")
            self._remember(parcel)
        else:
            self._disk_is(True, "the spool takes snapshots again")
            self._rescue()
        self.tell_losses()
        return parcel

    def _put_back_late(self, written: "Job") -> None:
        """The cycle that wanted it kept is gone."""
        if parcel := written.value:
            self.put_back(parcel)

    def _remember(self, parcel: Parcel) -> None:
        self._in_hand.add(parcel.snapshot_id)
        self._memory[parcel.snapshot_id] = parcel
        size = sum(len(each.data) for each in self._memory.values())
        for key, each in list(self._memory.items()):
            if size <= MEMORY_BYTES:
                return
            if key not in self._in_hand:
                size -= len(each.data)
                del self._memory[key]
                self._dropped_for_memory += 1

    def _rescue(self) -> None:
        """Bring to disk what the disk did not take before."""
        for key, parcel in list(self._memory.items()):
            if key in self._in_hand or key not in self._memory:
                continue
            self._in_hand.add(key)
            try:
                self._folder.keep(parcel)
            except SpoolError:
                return
            finally:
                self._in_hand.discard(key)
            self._memory.pop(key, None)
            self._folder.release(parcel)

    def _disk_is(self, works: bool, text: str) -> None:
        """Say once that the disk fails, and once that it works again."""
        if works != self._disk_works:
            self._disk_works = works
            self._note(text, level="info" if works else "error")

    def _counts(self) -> Counts:
        folder = self._folder
        return Counts(folder.dropped_for_room, folder.dropped_for_age, self._dropped_for_memory, folder.set_aside)
