"""What stayed behind goes out: oldest first, one at a time, never in the way of fresh snapshots."""

from collections.abc import Callable

from gevent.event import Event

from pgdoctor_lib.agent.store import Store
from pgdoctor_lib.agent.way import Way
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.deliver.circuit import Held, may_be_the_snapshot
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.errors import DeliveryError, Refused
from pgdoctor_lib.units import counted

IDLE_S = 30.0
LOOK_S = 5.0  # how often the files of the token and the certificates are looked at while the circuit is open
PACE_S = 0.01  # between two of them
PASSED_OVER_S = 30.0


class Drain:
    """The one greenlet that sends what waits in `store`, by the `way` of the moment; the circuit's probes, too."""

    def __init__(
        self,
        store: Store,
        way: Callable[[], Way],
        clock: Clock,
        note: Callable[..., None],
        arrived: Callable[[str], None],
    ) -> None:
        self._store, self._way, self._clock = store, way, clock
        self._note, self._arrived = note, arrived
        self._after = ""  # the last one passed over
        self._passed_over_at = 0.0
        self._wake = Event()

    def forever(self) -> None:
        """Go on whenever a delivery went well, a pause is over, or 30 s have passed."""
        while True:
            wait_s = self._way().circuit.wait_s
            self._wake.wait(min(wait_s, LOOK_S) if wait_s > 0 else IDLE_S)
            self._wake.clear()
            way = self._way()
            if way.circuit.is_open and way.files_changed():
                way.circuit.try_now()
            self.once()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def once(self) -> None:
        """One pass over what waits. What alone gets a 5xx is passed over for a while."""
        delivered = 0
        try:
            while (way := self._way()).circuit.wait_s <= 0 and (parcel := self._next(way)):
                delivered += self._send(way, parcel)
                self._store.tell_losses()
                self._clock.sleep(PACE_S)
        finally:
            if delivered:
                self._note(f"{counted(delivered, 'snapshot')} delivered from the spool, {self._store.left} left")
            self._store.tell_losses()

    def _next(self, way: Way) -> Parcel | None:
        over = self._clock.monotonic() - self._passed_over_at >= PASSED_OVER_S
        if over and not way.circuit.is_open:
            self._after = ""
        parcel = self._store.oldest(self._after)
        if parcel is None and self._after and way.circuit.is_open:  # each of them was a probe; from the start again
            self._after = ""
            parcel = self._store.oldest()
        return parcel

    def _send(self, way: Way, parcel: Parcel) -> int:
        """How many were delivered: 1 or 0."""
        try:
            with self._store.custody(parcel):
                way.send_late(parcel)
        except Refused as error:
            self._note(f"a snapshot of {parcel.name} was refused and set aside: {error}", level="error")
        except DeliveryError as error:
            if not isinstance(error, Held) and may_be_the_snapshot(error):
                self._pass_over(parcel)
            return 0
        else:
            self._arrived(parcel.name)
            return 1
        return 0

    def _pass_over(self, parcel: Parcel) -> None:
        if not self._after:
            self._passed_over_at = self._clock.monotonic()
        self._after = parcel.snapshot_id
