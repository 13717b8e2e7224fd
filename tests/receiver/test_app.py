"""The receiver within this process: what waits for whom at the store's two doors, and how it all ends."""

import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DeadlineExceeded
from pgdoctor_lib.receiver import app
from pgdoctor_lib.receiver.place import Token
from pgdoctor_lib.receiver.store import Retention, Store
from pgdoctor_lib.receiver.store.tokens import digest
from pgdoctor_lib.secret import Secret
from tests.receiver.client import TOKEN, Answer, exchange, snapshot

HELD_S = 1.5


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "serve.db")


@pytest.fixture
def receiver(place: str) -> Iterator[app.Receiver]:
    token = Token(Secret(TOKEN), None, new=False)
    made = app.Receiver(app.Door("127.0.0.1", 0, sign_in=True), token, place, Retention(), warn=print)
    yield made
    made.stop(Event())


def _ask(receiver: app.Receiver, method: str, path: str, body: bytes | None, **headers: str) -> Answer:
    """In a thread of its own: the receiver goes on."""
    connection = HTTPConnection(receiver.url.removeprefix("http://").strip("/"), timeout=10)
    answer: Answer = gevent.get_hub().threadpool.apply(exchange, (connection, method, path, body, headers))
    return answer


def _held(clerk: app.Clerk, seconds: float = HELD_S) -> Any:
    def work(_: Store) -> None:
        time.sleep(seconds)

    held: Any = gevent.spawn(clerk, work)
    gevent.sleep(0.05)
    return held


def test_an_upload_and_readiness_wait_for_no_page(receiver: app.Receiver) -> None:
    receiver._writer(lambda store: store.add_token("red", digest("secret"), time.time()))
    page = _held(receiver._reader)
    assert _ask(receiver, "GET", "/readyz", None).status == 200
    assert _ask(receiver, "POST", "/api/snapshots", snapshot().body(), Authorization="Bearer secret").status == 201
    assert _ask(receiver, "GET", "/api/snapshots", None, Authorization="Bearer secret").status == 405
    assert not page.dead
    page.join()


def test_reading_waits_for_no_write(receiver: app.Receiver) -> None:
    receiver._writer(lambda store: store.add_token("red", digest("secret"), time.time()))
    write = _held(receiver._writer)
    assert _ask(receiver, "GET", "/api/databases", None, Authorization="Bearer secret").status == 200
    assert not write.dead
    write.join()


def test_what_nobody_waits_for_any_more_is_counted_to_its_end(place: str) -> None:
    clerk, done = app.Clerk(place, Retention()), list[int]()

    def work(_: Store) -> None:
        time.sleep(0.3)
        done.append(1)

    for _ in range(4):  # more than the thread has room for
        with pytest.raises(DeadlineExceeded), deadline(0.02, "it"):
            clerk(work)
    left = clerk.waiting
    assert left >= 1
    with pytest.raises(ZeroDivisionError):
        clerk(lambda _: 1 / 0)
    assert (len(done), clerk.waiting) == (left, 0)
    clerk.close()


@pytest.mark.parametrize("door", ["_writer", "_reader"])
def test_the_end_does_not_wait_for_long_work(place: str, monkeypatch: pytest.MonkeyPatch, door: str) -> None:
    monkeypatch.setattr(app, "_CLOSE_S", 0.2)
    token = Token(Secret(TOKEN), None, new=False)
    receiver = app.Receiver(app.Door("127.0.0.1", 0, sign_in=False), token, place, Retention(), warn=print)
    work = _held(getattr(receiver, door))
    begun = time.monotonic()
    receiver.stop(Event())
    assert time.monotonic() - begun < 1
    work.join()
