"""One circuit for the endpoint, whatever the number of databases: who may try, and when. Pure state.

Closed: fresh snapshots are delivered. Open: cycles keep what they have, and only what waits is tried, one at a time,
after pauses that grow. What a single snapshot alone may have brought about opens nothing.
"""

import math
from collections.abc import Callable

from pgdoctor_lib.errors import DeliveryError, Refused, Retryable, Unauthorized

BAD_IN_A_ROW = 3  # different snapshots that get a 5xx one after the other: it is the endpoint, not the snapshot
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
JITTER = 0.25  # the share of a pause that is left to chance, so that many agents do not come back at once
_NOT_NOW = (0, 429, 503)  # no answer at all, or one that asks for a pause


class Held(DeliveryError):
    """Not sent: it is kept, and goes out with what waits."""


class Circuit:
    """Told of each outcome, it tells who may try. `monotonic` in seconds; `dice` gives numbers from 0 to 1."""

    def __init__(self, monotonic: Callable[[], float], dice: Callable[[], float]) -> None:
        self._monotonic, self._dice = monotonic, dice
        self._cause = ""
        self._pauses = 0
        self._next_try = self._asked_until = monotonic()
        self._bad: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is down, as far as is known."""
        return bool(self._cause)

    @property
    def wait_s(self) -> float:
        """Seconds until something that waits may be tried; 0: now."""
        return max(0.0, max(self._next_try, self._asked_until) - self._monotonic())

    def admit(self) -> None:
        """Let a fresh snapshot through. `Held` while the circuit is open: why, and when something is tried next."""
        if self._cause:
            raise Held(f"{self._cause} (kept; next try in {max(1, math.ceil(self.wait_s))} s)")

    def delivered(self) -> None:
        """The endpoint took a snapshot: it is up. A pause that it asked for is kept all the same."""
        self._cause = ""
        self._pauses = 0
        self._bad.clear()
        self._next_try = self._asked_until

    def heed(self, error: Retryable) -> None:
        """What waits is to wait for as long as the endpoint asked for."""
        if error.retry_after_s:
            self._asked_until = self._monotonic() + error.retry_after_s * (1 + JITTER * self._dice())

    def failed(self, snapshot_id: str, error: DeliveryError) -> None:
        """A fresh snapshot's delivery failed, its retries too."""
        if isinstance(error, Refused | Held) or self._cause or not self._counts(snapshot_id, error):
            return
        self._cause = str(error)
        if self.wait_s <= 0:
            self._pause(error)

    def late_failed(self, snapshot_id: str, error: DeliveryError) -> None:
        """A try with what waits failed. It opens nothing: the haste of those may be what the endpoint is tired of."""
        if not isinstance(error, Held) and (self._counts(snapshot_id, error) or self._cause):
            self._pause(error)

    def try_now(self) -> None:
        """There is a reason to think that the next try goes better."""
        self._pauses = 0
        self._next_try = self._asked_until = self._monotonic()

    def _counts(self, snapshot_id: str, error: DeliveryError) -> bool:
        """Whether it tells of the endpoint: at once, or by being one of several in a row."""
        if isinstance(error, Refused) or (isinstance(error, Retryable) and error.status not in _NOT_NOW):
            if len(self._bad) < BAD_IN_A_ROW:
                self._bad.add(snapshot_id)
            return len(self._bad) >= BAD_IN_A_ROW
        return True

    def _pause(self, error: DeliveryError) -> None:
        now = self._monotonic()
        length_s = min(FIRST_PAUSE_S * 2.0 ** min(self._pauses, 10), LONGEST_PAUSE_S)
        self._pauses += 1
        self._next_try = now + length_s * (1 - JITTER * self._dice())
        if isinstance(error, Retryable):
            self.heed(error)


def may_be_the_snapshot(error: DeliveryError) -> bool:
    """Whether another snapshot may fare better: a 5xx of its own, or a firewall's 403 to what it contains."""
    return isinstance(error, Unauthorized) or (isinstance(error, Retryable) and error.status not in _NOT_NOW)
