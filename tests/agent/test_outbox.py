"""What waits for the endpoint: nothing is lost, sent twice at once, or in the way of the rest."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import pytest

from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.clock import SYSTEM
from pgdoctor_lib.config import Endpoint as Where
from pgdoctor_lib.config import Spool
from pgdoctor_lib.errors import DeliveryError, Retryable
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Sealed, new_id
from tests.fix_endpoint import Answer, Endpoint


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def open_outbox(endpoint: Endpoint, tmp_path: Path, notes: list[str]) -> Callable[[], Outbox]:
    def make() -> Outbox:
        where = Where(endpoint.url, token=Secret("tok-outbox-1"), timeout_s=5)
        spool = Spool(str(tmp_path / "spool"), 10_000_000, 3600)
        return Outbox(where, spool, SYSTEM, lambda text, **_: notes.append(text), lambda: None)

    return make


def sealed(moment: float = 0) -> Sealed:
    snapshot_id = new_id(time.time() - 100 + moment)
    return Sealed(snapshot_id, "app", b'{"snapshot_id":"%s","database":{"name":"app"}}' % snapshot_id.encode())


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in (tmp_path / "spool").glob("*.json.gz"))


def leave(outbox: Outbox, count: int) -> list[str]:
    """Snapshots that stay behind."""
    kept = [outbox.keep(sealed(number)) for number in range(count)]
    for parcel in kept:
        outbox._spool.release(parcel)
    return [parcel.snapshot_id for parcel in kept]


def drain(outbox: Outbox) -> None:
    outbox._drain()


def test_one_that_always_gets_a_500_is_passed_over(
    open_outbox: Callable[[], Outbox], endpoint: Endpoint, tmp_path: Path
) -> None:
    outbox = open_outbox()
    ids = leave(outbox, 4)
    endpoint.script([Answer(500)])
    drain(outbox)
    assert [request.headers["Idempotency-Key"] for request in endpoint.requests] == ids
    assert files(tmp_path) == ids[:1], "it waits for the next pass"
    drain(outbox)
    assert files(tmp_path) == []
    outbox.close()


@pytest.mark.parametrize(("answer", "requests"), [(503, 1), (429, 1), (401, 1), (500, 3)])
def test_an_endpoint_that_fails_is_left_alone(
    open_outbox: Callable[[], Outbox], endpoint: Endpoint, tmp_path: Path, answer: int, requests: int
) -> None:
    outbox = open_outbox()
    ids = leave(outbox, 6)
    endpoint.default = Answer(answer)
    drain(outbox)
    assert len(endpoint.requests) == requests
    assert files(tmp_path) == ids
    outbox.close()


def test_one_that_is_refused_is_set_aside(
    open_outbox: Callable[[], Outbox], endpoint: Endpoint, tmp_path: Path, notes: list[str]
) -> None:
    outbox = open_outbox()
    ids = leave(outbox, 3)
    endpoint.script([400, 400])  # gzip, then plain
    drain(outbox)
    assert files(tmp_path) == []
    assert [path.name.split(".")[0] for path in (tmp_path / "spool" / "rejected").iterdir()] == ids[:1]
    assert notes == [
        "a snapshot of app was refused and set aside: 400 Bad Request",
        "2 snapshots delivered from the spool, 0 left",
    ]
    outbox.close()


def test_a_kill_while_it_is_written_loses_nothing(
    open_outbox: Callable[[], Outbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    outbox = open_outbox()
    fsync = os.fsync

    def slow(fd: int) -> None:
        time.sleep(0.5)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    snapshot = sealed()
    cycle = gevent.spawn(outbox.keep, snapshot)
    gevent.sleep(0.2)
    cycle.kill()
    outbox.close()
    assert files(tmp_path) == [snapshot.snapshot_id]
    assert notes == ["1 snapshot kept in the spool for the next start"]


def test_what_the_disk_did_not_take_gets_there_later(
    open_outbox: Callable[[], Outbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    outbox = open_outbox()

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        first = outbox.keep(sealed())
        outbox._spool.release(first)
    assert files(tmp_path) == []
    assert outbox.waiting == 1
    second = outbox.keep(sealed(1))
    assert files(tmp_path) == [first.snapshot_id, second.snapshot_id]
    outbox.close()
    assert notes[1:] == ["the spool takes snapshots again", "2 snapshots kept in the spool for the next start"]
    assert notes[0].endswith("input/output error; keeping snapshots in memory")


def test_in_memory_it_is_still_delivered_and_never_twice_at_once(
    open_outbox: Callable[[], Outbox], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox()

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    parcel = outbox.keep(sealed())
    outbox._in_hand.add(parcel.snapshot_id)  # its own cycle is at it
    drain(outbox)
    assert endpoint.requests == []
    outbox._in_hand.clear()
    drain(outbox)
    assert [request.headers["Idempotency-Key"] for request in endpoint.requests] == [parcel.snapshot_id]
    assert outbox.waiting == 0
    outbox.close()


def test_losses_are_told_once(open_outbox: Callable[[], Outbox], tmp_path: Path, notes: list[str]) -> None:
    outbox = open_outbox()
    leave(outbox, 2)
    outbox.close()
    old = new_id(time.time() - 7200)
    spool = tmp_path / "spool"
    (spool / files(tmp_path)[0]).with_suffix(".json.gz").rename(spool / f"{old}.json.gz")
    damaged = spool / f"{new_id()}.json.gz"
    damaged.write_bytes(b"no gzip")
    del notes[:]
    outbox = open_outbox()
    outbox.announce()
    drain(outbox)
    outbox.close()
    assert notes == [
        "3 snapshots in the spool from before, to be delivered",
        "1 snapshot delivered from the spool, 0 left",
        "gave up 1 snapshot that was not delivered within 3600s",
        "set aside 1 damaged or alien file of the spool, in rejected/",
    ]


def test_a_failed_delivery_leaves_it_where_it_was(
    open_outbox: Callable[[], Outbox], endpoint: Endpoint, tmp_path: Path
) -> None:
    outbox = open_outbox()
    parcel = outbox.keep(sealed())
    endpoint.script([403])
    with pytest.raises(DeliveryError):
        outbox.deliver(parcel, lambda *_: None)
    assert files(tmp_path) == [parcel.snapshot_id]
    endpoint.down()
    drain(outbox)
    assert files(tmp_path) == [parcel.snapshot_id]
    outbox.close()


def test_network_failures_have_no_status() -> None:
    assert Retryable("connection refused").status == 0
