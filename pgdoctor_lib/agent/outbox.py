"""What waits for the endpoint: on disk before it is on the wire, in memory only where the disk fails.

A fresh snapshot goes out in its own cycle. What stays behind is delivered by one greenlet, oldest
first, as soon as any delivery shows that the endpoint takes snapshots again, or a probe does.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent
from gevent.event import Event

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Endpoint, Spool
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.spool import Spool as Folder
from pgdoctor_lib.deliver.upload import OnRetry, Uploader
from pgdoctor_lib.errors import DeliveryError, Refused, SpoolError
from pgdoctor_lib.snapshot import Sealed

PROBE_S = 30.0
MEMORY_BYTES = 32 * 1024**2

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Outbox:
    """Keeps, delivers and drains. `note(text, level=…)` tells what is worth a line of its own."""

    def __init__(self, endpoint: Endpoint, spool: Spool, clock: Clock, note: Callable[..., None]) -> None:
        self._clock = clock
        self._note = note
        self._uploader = Uploader(endpoint, clock)
        self._spool = Folder(spool.path, spool.max_bytes, spool.max_age_s, clock, _off_the_hub)
        self._memory: dict[str, Parcel] = {}
        self._works = Event()
        self._kept_on_disk = True
        if self._spool.count:
            note(f"{_snapshots(self._spool.count)} in the spool from before, to be delivered")

    @property
    def waiting(self) -> int:
        """Snapshots that the endpoint has not taken yet, those at work included."""
        return self._spool.count + len(self._memory)

    def keep(self, sealed: Sealed) -> Parcel:
        """Put it on disk; in memory, for as long as the disk does not take it."""
        parcel = pack(sealed)
        dropped = self._spool.dropped
        try:
            self._spool.keep(parcel)
        except SpoolError as error:
            self._disk(f"{error}; keeping snapshots in memory", works=False)
            self._remember(parcel)
        else:
            self._disk("the spool takes snapshots again", works=True)
        if self._spool.dropped > dropped:
            self._note(
                f"spool is full: gave up the oldest {_snapshots(self._spool.dropped - dropped)}", level="warning"
            )
        return parcel

    def deliver(self, parcel: Parcel, on_retry: OnRetry) -> Receipt:
        """Deliver it, with retries; it leaves the outbox when the endpoint has it, or refuses it for good."""
        try:
            receipt = self._uploader.deliver(parcel, on_retry)
        except Refused:
            self._refuse(parcel)
            raise
        except BaseException:
            self._spool.release(parcel)
            raise
        self._forget(parcel)
        self._works.set()
        return receipt

    def drain_forever(self) -> None:
        """Deliver what stayed behind, whenever a delivery went well, and every 30 s."""
        while True:
            self._works.wait(PROBE_S)
            self._works.clear()
            self._drain()

    def close(self) -> None:
        """Let go of the connections and of the folder; say what is left."""
        if self._memory:
            self._note(f"{_snapshots(len(self._memory))} could be neither delivered nor kept on disk", level="error")
        if self._spool.count:
            self._note(f"{_snapshots(self._spool.count)} kept in the spool for the next start")
        self._uploader.close()
        self._spool.close()

    def _drain(self) -> None:
        delivered = 0
        try:
            while parcel := self._spool.oldest() or self._oldest_in_memory():
                self._send_late(parcel)
                delivered += 1
        except DeliveryError:
            pass  # the next fresh delivery, or the next probe, says when to go on
        finally:
            if delivered:
                self._note(f"{_snapshots(delivered)} delivered from the spool, {self.waiting} left")

    def _send_late(self, parcel: Parcel) -> None:
        try:
            self._uploader.post(parcel)
        except Refused as error:
            self._refuse(parcel)
            self._note(f"a snapshot of {parcel.name} was refused and set aside: {error}", level="error")
        except BaseException:
            self._spool.release(parcel)
            raise
        else:
            self._forget(parcel)

    def _oldest_in_memory(self) -> Parcel | None:
        return next(iter(self._memory.values()), None)

    def _remember(self, parcel: Parcel) -> None:
        self._memory[parcel.snapshot_id] = parcel
        while sum(len(each.data) for each in self._memory.values()) > MEMORY_BYTES:
            self._memory.pop(next(iter(self._memory)))
            self._note("no room in memory either: gave up the oldest snapshot", level="error")

    def _forget(self, parcel: Parcel) -> None:
        self._memory.pop(parcel.snapshot_id, None)
        self._spool.forget(parcel)

    def _refuse(self, parcel: Parcel) -> None:
        self._memory.pop(parcel.snapshot_id, None)
        self._spool.reject(parcel)

    def _disk(self, text: str, *, works: bool) -> None:
        """Say once that the disk fails, and once that it works again."""
        if works != self._kept_on_disk:
            self._kept_on_disk = works
            self._note(text, level="info" if works else "error")


def _off_the_hub(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """fsync and friends hold the thread, and with it every greenlet: they run in a thread of their own."""
    result: _T = gevent.get_hub().threadpool.apply(function, args, kwargs)
    return result


def _snapshots(count: int) -> str:
    return f"{count} snapshot{'s' if count != 1 else ''}"
