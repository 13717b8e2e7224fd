"""Places at a server: few at once, and a cycle that hangs holds up nobody."""

import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event

from pgdoctor_lib.agent import places
from pgdoctor_lib.agent.places import PLACES, Places
from pgdoctor_lib.agent.watch import Shared
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn

PLACES_A_LANE = 3  # of ten


class Crowd:
    """Cycles of many databases at one server. `inside`: who has a place; `entered`: who came in, in order."""

    def __init__(self) -> None:
        self.places = Places()
        self.inside: set[str] = set()
        self.entered: list[str] = []
        self.most = 0

    def cycle(self, name: str, takes: Event | float) -> None:
        with self.places.place(name):
            self.inside.add(name)
            self.entered.append(name)
            self.most = max(self.most, len(self.inside))
            try:
                takes.wait() if isinstance(takes, Event) else gevent.sleep(takes)
            finally:
                self.inside.discard(name)

    def have_begun(self, names: list[str]) -> None:
        """Their first cycles, which count for nothing, are over."""
        gevent.joinall(self.spawn(names, 0.0), raise_error=True)

    def spawn(self, names: list[str], takes: Event | float) -> "list[gevent.Greenlet[..., None]]":
        return [gevent.spawn(self.cycle, name, takes) for name in names]


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Crowd:
    monkeypatch.setattr(places, "ALLOWED_S", (0.05, 0.3, float("inf")))
    return Crowd()


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(60):
        while not condition():
            gevent.sleep(0.005)


def names(count: int, word: str = "db") -> list[str]:
    return [f"{word}{number}" for number in range(count)]


def test_first_come_first_served_and_few_at_once(crowd: Crowd) -> None:
    gevent.joinall(crowd.spawn(names(40), 0.0), raise_error=True)
    assert crowd.entered == names(40)
    assert crowd.most == PLACES_A_LANE


def test_cycles_that_hang_hold_up_nobody(crowd: Crowd) -> None:
    never = Event()
    hung = crowd.spawn(names(8, "hung"), never)
    gevent.joinall(crowd.spawn(["well"], 0.0), timeout=60, raise_error=True)
    assert crowd.entered[-1] == "well" and len(crowd.inside) == 8
    gevent.killall(hung)


def test_what_hung_before_queues_apart(crowd: Crowd) -> None:
    never = Event()
    crowd.have_begun(names(30, "hung"))
    gevent.joinall(crowd.spawn(names(30, "hung"), 0.4))
    hung = crowd.spawn(names(30, "hung"), never)
    for _ in range(20):
        gevent.joinall(crowd.spawn(["well"], 0.0), timeout=60, raise_error=True)
    assert crowd.entered.count("well") == 20
    assert len(crowd.inside) == PLACES_A_LANE
    never.set()
    gevent.joinall(hung, timeout=60, raise_error=True)
    assert all(crowd.entered.count(name) == 3 for name in names(30, "hung"))


def test_what_takes_a_while_does_not_wait_for_what_hangs(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "ALLOWED_S", (0.05, 1.5, float("inf")))
    crowd.have_begun([*names(8, "hung"), *names(8, "slow")])
    gevent.joinall([*crowd.spawn(names(8, "hung"), 1.6), *crowd.spawn(names(8, "slow"), 0.1)])
    never = Event()
    hung = crowd.spawn(names(8, "hung"), never)
    gevent.joinall(crowd.spawn(names(8, "slow"), 0.1), timeout=60, raise_error=True)
    assert crowd.inside == set(names(PLACES_A_LANE, "hung"))
    gevent.killall(hung)


def test_never_more_than_so_many_in_all(crowd: Crowd) -> None:
    never = Event()
    hung = crowd.spawn(names(100), never)
    until(lambda: len(crowd.inside) == PLACES)
    gevent.sleep(0.2)
    assert crowd.most == PLACES
    never.set()
    gevent.joinall(hung, timeout=60, raise_error=True)
    assert sorted(crowd.entered) == sorted(names(100))


def test_a_quick_cycle_brings_it_back_to_the_quick(crowd: Crowd) -> None:
    never = Event()
    crowd.have_begun(names(PLACES_A_LANE + 1, "hung"))
    gevent.joinall(crowd.spawn(names(PLACES_A_LANE + 1, "hung"), 0.4))
    hung = crowd.spawn(names(PLACES_A_LANE, "hung"), never)
    until(lambda: len(crowd.inside) == PLACES_A_LANE)
    last = f"hung{PLACES_A_LANE}"
    waiting = crowd.spawn([last], 0.0)
    gevent.sleep(0.2)
    assert last not in crowd.inside and crowd.entered.count(last) == 2
    gevent.killall(hung[:1])
    gevent.joinall(waiting, timeout=60, raise_error=True)
    hung += crowd.spawn(names(1, "hung"), never)  # the place is taken again, and the last needs it no more
    gevent.joinall(crowd.spawn([last], 0.0), timeout=60, raise_error=True)
    gevent.killall(hung)


def test_who_is_killed_leaves_the_queue_and_the_place(crowd: Crowd) -> None:
    never = Event()
    inside = crowd.spawn(names(PLACES), never)
    until(lambda: len(crowd.inside) == PLACES)
    waiting = crowd.spawn(["gone"], 0.0)
    gevent.sleep(0)
    gevent.killall(waiting)
    gevent.killall(inside)
    gevent.joinall(crowd.spawn(names(20, "next"), 0.0), timeout=60, raise_error=True)
    assert "gone" not in crowd.entered and crowd.entered[-20:] == names(20, "next")


def test_an_error_leaves_the_place(crowd: Crowd) -> None:
    for _ in range(PLACES + 1):
        with pytest.raises(ValueError, match="broken"), crowd.places.place("db"):
            raise ValueError("broken")


def test_the_real_lengths() -> None:
    crowd, never = Crowd(), Event()
    hung = crowd.spawn(names(4), never)
    started = time.monotonic()
    gevent.joinall(crowd.spawn(["well"], 0.0), timeout=60, raise_error=True)
    assert 0.2 < time.monotonic() - started < 60
    gevent.killall(hung)


def test_a_server_that_nobody_is_at_any_more_is_forgotten() -> None:
    nothing: Any = None
    shared = Shared(SYSTEM, nothing, nothing, lambda: None, lambda _: None)
    here, there = (Target(name, Dsn.parse(f"host={name}", {}), 60.0, 20) for name in ("here", "there"))
    kept, gone = shared.server_of(here), shared.server_of(there)
    shared.forget_others([here])
    assert shared.server_of(here) is kept
    assert shared.server_of(there) is not gone
