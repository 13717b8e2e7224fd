"""The way to the endpoint: its connections, its circuit, and a bounded number of places on it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from gevent.lock import BoundedSemaphore

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.circuit import Circuit, Held
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.deliver.upload import DICE, OnRetry, Uploader, with_retries
from pgdoctor_lib.errors import DeliveryError, Retryable

MAX_AT_ONCE = 8


class Way:
    """One endpoint, as it is configured: at most `MAX_AT_ONCE` exchanges at once, of all databases."""

    def __init__(self, endpoint: Endpoint, clock: Clock, *, shared_ids: bool) -> None:
        self.circuit = Circuit(clock.monotonic, DICE)
        self._clock = clock
        self._places = BoundedSemaphore(MAX_AT_ONCE)
        self._retrying: set[str] = set()
        self._is_closed = False
        self._patience_s = endpoint.timeout_s
        self._uploader = Uploader(endpoint, clock, shared_ids=shared_ids)

    @property
    def has_room(self) -> bool:
        """Whether one more goes out at once, and is no more of what fares badly."""
        return not (self._places.locked() or self._retrying or self.circuit.is_open)

    def send(self, parcel: Parcel, on_retry: OnRetry) -> Receipt:
        """Deliver a fresh snapshot, with retries. `Held` where that is no use now, or nobody gets a place."""
        self.circuit.admit()
        attempts = itertools.count()

        def attempt() -> Receipt:
            with self._place():
                if next(attempts) == 0:
                    self.circuit.admit()  # again: it may have waited for its place
                try:
                    return self._uploader.post(parcel)
                except Retryable as error:
                    self._retrying.add(parcel.snapshot_id)
                    self.circuit.heed(error)
                    raise

        try:
            receipt = with_retries(attempt, on_retry, self._clock)
        except DeliveryError as error:
            self.circuit.failed(parcel.snapshot_id, error)
            raise
        finally:
            self._retrying.discard(parcel.snapshot_id)
        self.circuit.delivered()
        return receipt

    def send_late(self, parcel: Parcel) -> None:
        """Try once to deliver one that waits."""
        try:
            with self._place():
                self._uploader.post(parcel)
        except DeliveryError as error:
            self.circuit.late_failed(parcel.snapshot_id, error)
            raise
        self.circuit.delivered()

    def files_changed(self) -> bool:
        """Whether there is another token or certificate than at the last exchange."""
        return self._uploader.files_changed()

    def close(self) -> None:
        """Close the connections that are kept alive. An exchange at work goes on to its end; there is no other."""
        self._is_closed = True
        self._uploader.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=self._patience_s):
            raise Held(f"no turn within {self._patience_s:g} s: the endpoint is slow (kept; next try later)")
        if self._is_closed:
            self._places.release()
            raise Held("the endpoint changed (kept, for the new one)")
        try:
            yield
        finally:
            self._places.release()
