"""What waits for the endpoint: on disk before it is on the wire, in memory only while the disk fails.

A fresh snapshot goes out at the end of its cycle, as long as the endpoint takes any: one circuit (deliver/circuit.py)
knows that for all databases. What stays behind is delivered by one greenlet (drain.py), oldest first, which also finds
out when the endpoint is back. store.py keeps the snapshots, way.py is the way to the endpoint.
"""

from collections.abc import Callable

from pgdoctor_lib.agent.drain import Drain
from pgdoctor_lib.agent.store import Store
from pgdoctor_lib.agent.way import Way
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Endpoint, Spool
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.deliver.upload import OnRetry
from pgdoctor_lib.errors import DeliveryError
from pgdoctor_lib.snapshot import Mark, Sealed, Snapshot
from pgdoctor_lib.units import counted


class Outbox:
    """Keeps, delivers and drains. `note(text, level=…)` tells what is worth a line of its own.

    `arrived(name)` is called when the endpoint took one of this database that had waited.
    `shared_ids`: other agents send the same snapshots' ids.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        spool: Spool,
        clock: Clock,
        note: Callable[..., None],
        arrived: Callable[[str], None],
        *,
        shared_ids: bool = False,
    ) -> None:
        self._endpoint, self._path, self._shared_ids = endpoint, spool.path, shared_ids
        self._clock, self._note = clock, note
        self._way = self._way_to(endpoint)
        self._store = Store(spool, clock, note)
        self._drain = Drain(self._store, lambda: self._way, clock, note, arrived)

    @property
    def waiting(self) -> int:
        """Snapshots that the endpoint has not taken yet, those at work included."""
        return self._store.waiting

    @property
    def dropped(self) -> int:
        """Snapshots given up since the start: no room on disk or in memory, or too old."""
        return self._store.dropped

    @property
    def has_room(self) -> bool:
        """Whether `deliver` would go out at once, as far as is known."""
        return self._way.has_room

    def last(self, name: str) -> bytes | None:
        """The JSON of the last snapshot of that database that the endpoint took, of whatever run."""
        return self._store.last(name)

    def latest_mark(self, name: str) -> Mark | None:
        """The newest mark of that database (`pgdoctor mark`)."""
        return self._store.latest_mark(name)

    def has(self, snapshot_id: str) -> bool:
        """Whether it is here, waiting or at work."""
        return self._store.has(snapshot_id)

    def announce(self) -> None:
        """Say what an earlier run left; it is delivered as soon as `drain_forever` runs."""
        if self._store.on_disk:
            self._drain.wake()
            self._note(f"{counted(self._store.on_disk, 'snapshot')} in the spool from before, to be delivered")
        self._store.tell_losses()

    def keep(self, sealed: Sealed) -> Parcel:
        """Put it on disk; in memory, for as long as the disk does not take it. `deliver` comes next."""
        return self._store.keep(sealed)

    def remember(self, snapshot: Snapshot) -> None:
        """Keep those of its sections that the next ones do not bring, for `diff`."""
        self._store.remember(snapshot)

    def deliver(self, parcel: Parcel, on_retry: OnRetry) -> Receipt:
        """Deliver it, with retries; it leaves the outbox when the endpoint has it, or refuses it for good.

        `Held`, at once, while the endpoint is known to be down: it waits with the others.
        """
        try:
            with self._store.custody(parcel):
                receipt = self._way.send(parcel, on_retry)
        except DeliveryError:
            if self._way.circuit.is_open:
                self._drain.wake()  # it may sleep for longer than the circuit's pause
            raise
        self._drain.wake()
        return receipt

    def leave(self, parcel: Parcel) -> None:
        """Let it wait with the others, which are delivered as soon as the endpoint takes them."""
        self._store.put_back(parcel)
        self._drain.wake()

    def drain_forever(self) -> None:
        """Deliver what stayed behind, for as long as this greenlet lives."""
        self._drain.forever()

    def reconfigure(self, endpoint: Endpoint, spool: Spool) -> None:
        """Another endpoint, token or certificate, and other bounds; an exchange at work goes on to its end."""
        if spool.path != self._path:
            self._note("spool.path changes at the next restart", level="warning")
        if endpoint != self._endpoint:
            before, self._way, self._endpoint = self._way, self._way_to(endpoint), endpoint
            before.close()
        elif self._way.circuit.is_open:
            self._way.circuit.try_now()
        self._drain.wake()
        self._store.bound(spool.max_bytes, spool.max_age_s)

    def close(self) -> None:
        """Finish what is being written, let go of the connections and of the folder; say what is left."""
        self._store.close()
        self._way.close()

    def _way_to(self, endpoint: Endpoint) -> Way:
        return Way(endpoint, self._clock, shared_ids=self._shared_ids)
