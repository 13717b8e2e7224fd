"""What waits for the endpoint: on disk before it is on the wire, in memory only while the disk fails.

A fresh snapshot goes out in its own cycle. What stays behind is delivered by one greenlet, oldest
first, as soon as any delivery shows that the endpoint takes snapshots again, or a probe does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Endpoint, Spool
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.spool import Spool as Folder
from pgdoctor_lib.deliver.upload import OnRetry, Uploader
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable, SpoolError
from pgdoctor_lib.snapshot import Sealed
from pgdoctor_lib.units import format_duration

if TYPE_CHECKING:
    Job = gevent.Greenlet[..., Parcel]

PROBE_S = 30.0
MEMORY_BYTES = 32 * 1024**2
BAD_IN_A_ROW = 3  # answers of 5xx to different snapshots that end a drain: it is the endpoint, not the snapshot
_NOT_NOW = (0, 429, 503)  # no answer at all, or one that asks for a pause
_LAST_WRITES_S = 5.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Outbox:
    """Keeps, delivers and drains. `note(text, level=…)` tells what is worth a line of its own.

    `changed()` is called when less waits than before.
    """

    def __init__(
        self, endpoint: Endpoint, spool: Spool, clock: Clock, note: Callable[..., None], changed: Callable[[], None]
    ) -> None:
        self._note = note
        self._changed = changed
        self._uploader = Uploader(endpoint, clock)
        self._disk = ThreadPool(2)  # its own: gevent's shared threads may all be waiting for a name server
        self._spool = Folder(spool.path, spool.max_bytes, spool.max_age_s, clock, self._off_the_hub)
        self._max_age_s = spool.max_age_s
        self._memory: dict[str, Parcel] = {}
        self._in_hand: set[str] = set()
        self._writing: set[Job] = set()
        self._works = Event()
        self._disk_works = True
        self._told = (0, 0, 0)

    @property
    def waiting(self) -> int:
        """Snapshots that the endpoint has not taken yet, those at work included."""
        return self._spool.count + len(self._memory)

    def has(self, snapshot_id: str) -> bool:
        """Whether it waits, or is at work, here."""
        return snapshot_id in self._memory or snapshot_id in self._in_hand or self._spool.has(snapshot_id)

    def announce(self) -> None:
        """Say what an earlier run left."""
        if self._spool.count:
            self._note(f"{_snapshots(self._spool.count)} in the spool from before, to be delivered")
        self._tell_losses()

    def keep(self, sealed: Sealed) -> Parcel:
        """Put it on disk; in memory, for as long as the disk does not take it."""
        # In a greenlet of its own: what is written when this cycle is killed is written to its end.
        writing: Job = gevent.spawn(self._keep, sealed)
        self._writing.add(writing)
        writing.link(self._writing.discard)
        try:
            return writing.get()
        except BaseException:
            writing.link_value(self._release_late)
            raise

    def deliver(self, parcel: Parcel, on_retry: OnRetry) -> Receipt:
        """Deliver it, with retries; it leaves the outbox when the endpoint has it, or refuses it for good."""
        with self._custody(parcel):
            receipt = self._uploader.deliver(parcel, on_retry)
        self._works.set()
        return receipt

    def drain_forever(self) -> None:
        """Deliver what stayed behind, whenever a delivery went well, and every 30 s."""
        while True:
            self._works.wait(PROBE_S)
            self._works.clear()
            self._drain()

    def close(self) -> None:
        """Finish what is being written, let go of the connections and of the folder; say what is left."""
        gevent.joinall(list(self._writing), timeout=_LAST_WRITES_S)
        self._rescue()
        if self._memory:
            self._note(f"{_snapshots(len(self._memory))} could be neither delivered nor kept on disk", level="error")
        if self._spool.count:
            self._note(f"{_snapshots(self._spool.count)} kept in the spool for the next start")
        self._uploader.close()
        self._spool.close()

    def _keep(self, sealed: Sealed) -> Parcel:
        parcel = pack(sealed)
        try:
            self._spool.keep(parcel)
        except SpoolError as error:
            self._disk_is(False, f"{error}; keeping snapshots in memory")
            self._remember(parcel)
        else:
            self._disk_is(True, "the spool takes snapshots again")
            self._rescue()
        self._tell_losses()
        return parcel

    def _release_late(self, written: "Job") -> None:
        """The cycle that wanted it kept is gone."""
        if parcel := written.value:
            self._spool.release(parcel)

    @contextmanager
    def _custody(self, parcel: Parcel, held_back: list[Parcel] | None = None) -> Iterator[None]:
        """While it is on the wire, nobody else sends it; afterwards it is gone, set aside, or waits again.

        With `held_back`, a snapshot whose delivery may be tried again is put there instead, still claimed.
        """
        self._in_hand.add(parcel.snapshot_id)
        try:
            yield
        except Refused:
            self._memory.pop(parcel.snapshot_id, None)
            self._spool.reject(parcel)
            raise
        except Retryable:
            if held_back is None:
                self._spool.release(parcel)
            else:
                held_back.append(parcel)
            raise
        except BaseException:
            self._spool.release(parcel)
            raise
        else:
            self._memory.pop(parcel.snapshot_id, None)
            self._spool.forget(parcel)
        finally:
            self._in_hand.discard(parcel.snapshot_id)

    def _drain(self) -> None:
        """One pass over what waits. What alone gets a 5xx is passed over until the next pass."""
        delivered, bad_in_a_row = 0, 0
        held_back: list[Parcel] = []
        try:
            while bad_in_a_row < BAD_IN_A_ROW and (parcel := self._next(held_back)):
                try:
                    delivered += self._send_late(parcel, held_back)
                    bad_in_a_row = 0
                except Retryable as error:
                    if error.status in _NOT_NOW:
                        break
                    bad_in_a_row += 1
        except DeliveryError:
            pass  # the next fresh delivery, or the next probe, says when to go on
        finally:
            for parcel in held_back:
                self._spool.release(parcel)
            if delivered:
                self._note(f"{_snapshots(delivered)} delivered from the spool, {self.waiting} left")
                self._changed()
            self._tell_losses()

    def _send_late(self, parcel: Parcel, held_back: list[Parcel]) -> int:
        """How many were delivered: 1, or 0 of one that the endpoint refuses for good."""
        try:
            with self._custody(parcel, held_back):
                self._uploader.post(parcel)
        except Refused as error:
            self._note(f"a snapshot of {parcel.name} was refused and set aside: {error}", level="error")
            return 0
        return 1

    def _next(self, held_back: list[Parcel]) -> Parcel | None:
        passed_over = self._in_hand | {parcel.snapshot_id for parcel in held_back}
        in_memory = (parcel for key, parcel in self._memory.items() if key not in passed_over)
        return self._spool.oldest() or next(in_memory, None)

    def _remember(self, parcel: Parcel) -> None:
        self._memory[parcel.snapshot_id] = parcel
        while sum(len(each.data) for each in self._memory.values()) > MEMORY_BYTES:
            self._memory.pop(next(iter(self._memory)))
            self._note("no room in memory either: gave up the oldest snapshot", level="error")

    def _rescue(self) -> None:
        """Bring to disk what the disk did not take before."""
        for key, parcel in list(self._memory.items()):
            if key in self._in_hand or key not in self._memory:
                continue
            self._in_hand.add(key)
            try:
                self._spool.keep(parcel)
            except SpoolError:
                return
            finally:
                self._in_hand.discard(key)
            del self._memory[key]
            self._spool.release(parcel)

    def _disk_is(self, works: bool, text: str) -> None:
        """Say once that the disk fails, and once that it works again."""
        if works != self._disk_works:
            self._disk_works = works
            self._note(text, level="info" if works else "error")

    def _tell_losses(self) -> None:
        """Say what the spool gave up, or could not read, since this was last said."""
        spool = self._spool
        before, self._told = self._told, (spool.dropped_for_room, spool.dropped_for_age, spool.set_aside)
        room, age, alien = (now - then for now, then in zip(self._told, before, strict=True))
        if room:
            self._note(f"the spool is full: gave up the oldest {_snapshots(room)}", level="warning")
        if age:
            limit = format_duration(self._max_age_s)
            were = "was" if age == 1 else "were"
            self._note(f"gave up {_snapshots(age)} that {were} not delivered within {limit}", level="warning")
        if alien:
            them = "file" if alien == 1 else "files"
            self._note(f"set aside {alien} damaged or alien {them} of the spool, in rejected/", level="warning")

    def _off_the_hub(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """fsync and friends hold their thread, and would hold the hub's with every greenlet in it."""
        result: _T = self._disk.apply(function, args, kwargs)
        return result


def _snapshots(count: int) -> str:
    return f"{count} snapshot{'s' if count != 1 else ''}"
