"""Places at one server: few sessions at once, and nobody waits behind a database that hangs.

Three lanes, each with places of its own: for cycles that take a moment, a while, or long. A database queues in the
lane that its last cycle was fit for; in the quick one at first, and after its first cycle, which asks for everything. A
cycle that overstays its lane is moved to the next at once, and its place is given on: those who come after it wait for
a quarter of a second at most.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.event import Event

PLACES = 10
ALLOWED_S = (0.25, 6.0, float("inf"))  # the second: longer than a connection is waited for


class _Stay:
    """One cycle, from its asking for a place to its leaving it."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.let_in = Event()
        self.since = 0.0
        self.mover: gevent.Greenlet[[_Stay], None] | None = None


class Places:
    """The places at one server, `count` in all. In each lane it is first come, first served.

    Three full lanes leave some for cycles that have just been moved out of theirs.
    """

    def __init__(self, count: int = PLACES) -> None:
        self.count = count
        self._lanes: dict[str, int] = {}  # where each database queues; not there: it has had no cycle yet
        self._queues: list[deque[_Stay]] = [deque() for _ in ALLOWED_S]
        self._inside: list[set[_Stay]] = [set() for _ in ALLOWED_S]

    @contextmanager
    def place(self, name: str) -> Iterator[None]:
        """Wait for a place, and hold it: at most `count` are held at once."""
        stay = _Stay(self._lanes.get(name, 0))
        self._queues[stay.lane].append(stay)
        self._let_in()
        try:
            stay.let_in.wait()
            yield
        finally:
            if stay.since:
                fit = _fit(time.monotonic() - stay.since)
                self._lanes[name] = fit if name in self._lanes else 0
            self._leave(stay)

    def _let_in(self) -> None:
        for lane, queue in enumerate(self._queues):
            while queue and len(self._inside[lane]) < (self.count + 3) // 4 and self._taken < self.count:
                stay = queue.popleft()
                self._inside[lane].add(stay)
                stay.since = time.monotonic()
                self._watch(stay)
                stay.let_in.set()

    @property
    def _taken(self) -> int:
        return sum(map(len, self._inside))

    def _watch(self, stay: _Stay) -> None:
        """See to it that it is moved when its time in this lane is over."""
        left_s = stay.since + ALLOWED_S[stay.lane] - time.monotonic()
        stay.mover = gevent.spawn_later(max(0.0, left_s), self._move, stay) if stay.lane < len(ALLOWED_S) - 1 else None

    def _move(self, stay: _Stay) -> None:
        self._inside[stay.lane].remove(stay)
        stay.lane += 1
        self._inside[stay.lane].add(stay)
        self._watch(stay)
        self._let_in()

    def _leave(self, stay: _Stay) -> None:
        if stay.since:
            self._inside[stay.lane].remove(stay)
        else:
            self._queues[stay.lane].remove(stay)
        if stay.mover:
            stay.mover.kill(block=False)
        self._let_in()


def _fit(held_s: float) -> int:
    """The lane for a cycle that takes this long."""
    return next(lane for lane, allowed_s in enumerate(ALLOWED_S) if held_s <= allowed_s)
