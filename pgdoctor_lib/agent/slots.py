"""Slots of time: what two daemons with the same configuration agree upon without a word. Pure.

Time is cut into slots of one interval, the same ones on every host. A database's snapshot of a slot has an id that is
made of the source and the slot, so the endpoint keeps one, however many daemons collected.
"""

import hashlib
import json
import math
from dataclasses import dataclass

from pgdoctor_lib.config import Target
from pgdoctor_lib.snapshot import RANDOM_BITS, uuid7


@dataclass(frozen=True)
class Slot:
    """One slot of one database. `start` in epoch seconds; `number` grows by one from slot to slot."""

    number: int
    start: float
    snapshot_id: str


class Slots:
    """A database's slots. Those of different databases begin at different moments of the interval."""

    def __init__(self, target: Target) -> None:
        self._interval_s = target.interval_s
        self._phase_s = _digest(target.name) / 2**256 * target.interval_s
        hosts = [(host.host, host.hostaddr, host.port) for host in target.dsn.hosts]
        self._source = [target.name, hosts, target.dsn.dbname, float(target.interval_s)]
        self._last: int | None = None

    def take(self, wall: float) -> Slot:
        """The slot to collect for at `wall` (epoch seconds). None is given twice, whatever the clock does."""
        number = self._number_at(wall)
        if self._last is not None:
            number = max(number, self._last + 1)
        self._last = number
        start = self._start_of(number)
        return Slot(number, start, self._id(number, start))

    def until_next(self, wall: float) -> float:
        """Seconds until the next slot begins, more than none.

        An interval at most, but for a sleeper that woke early, or whose clock was set back a little: it has taken the
        slot that begins next already, and waits for the one after.
        """
        number = self._number_at(wall) + 1
        if number == self._last:
            number += 1
        return max(self._start_of(number) - wall, 0.001)

    def _number_at(self, wall: float) -> int:
        return math.floor((wall - self._phase_s) / self._interval_s)

    def _start_of(self, number: int) -> float:
        return self._phase_s + number * self._interval_s

    def _id(self, number: int, start: float) -> str:
        """As a snapshot's of that moment, with a hash instead of a random number."""
        return uuid7(start, _digest(*self._source, number) >> 256 - RANDOM_BITS)


def _digest(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest(), "big")
