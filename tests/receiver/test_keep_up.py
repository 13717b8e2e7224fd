"""The receiver's own work on its store goes on, whatever fails."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from pgdoctor_lib.receiver import app
from pgdoctor_lib.receiver.store import StoreError, open_store, upkeep
from pgdoctor_lib.receiver.tally import Tally


@pytest.mark.parametrize(
    ("failing", "other", "error"),
    [
        ("roll_up", "prune", KeyError("x\ny")),
        ("prune", "roll_up", StoreError("damaged")),
        ("roll_up", "prune", TypeError()),
    ],
)
def test_what_fails_ends_neither_the_other_nor_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, other: str, error: Exception
) -> None:
    store, tally, said = open_store(str(tmp_path / "serve.db")), Tally(), list[str]()

    def fails(*_: Any) -> bool:
        raise error

    def write(work: Callable[[Any], Any]) -> Any:
        return work(store)

    monkeypatch.setattr(upkeep, failing, fails)
    monkeypatch.setattr(app, "_ROLL_UP_EVERY_S", 0.01)
    keeping_up: Any = gevent.spawn(app._keep_up, write, time.time, said.append, tally)
    while len(said) < 3 or not tally.upkeep[other]:
        gevent.sleep(0.01)
        assert not keeping_up.dead
    assert (tally.upkeep[failing], {line.count("\n") for line in said}) == (0, {0})
    assert type(error).__name__ in said[0] or "damaged" in said[0]
    monkeypatch.undo()
    keeping_up.kill()
    store.close()


def test_a_clock_that_is_set_back_does_not_hold_it_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, ahead_s, rounds = open_store(str(tmp_path / "serve.db")), [365 * 86_400.0], {"roll_up": 0, "prune": 0}

    def work(name: str) -> Callable[..., bool]:
        def do(*_: Any) -> bool:
            rounds[name] += 1
            if rounds["roll_up"] > 1:
                ahead_s[0] = 0
            return False

        return do

    for name in rounds:
        monkeypatch.setattr(upkeep, name, work(name))
    monkeypatch.setattr(app, "_ROLL_UP_EVERY_S", 0.01)
    monkeypatch.setattr(app, "_PRUNE_EVERY_S", 0.02)
    wall = lambda: time.time() + ahead_s[0]  # noqa: E731
    keeping_up: Any = gevent.spawn(app._keep_up, lambda work: work(store), wall, print, Tally())
    with gevent.Timeout(5):
        while rounds["prune"] < 2:
            gevent.sleep(0.01)
    keeping_up.kill()
    store.close()
