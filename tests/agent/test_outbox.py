"""What waits for the endpoint: nothing is lost, sent twice at once, or in the way of the rest."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import pytest

from pgdoctor_lib.agent import store
from pgdoctor_lib.agent.outbox import Outbox
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Endpoint as Where
from pgdoctor_lib.config import Spool
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Sealed, new_id
from tests.fix_endpoint import Answer, Endpoint
from tests.waiting import wait_for


class Time:
    """A clock that goes on when somebody sleeps, or by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.clock = Clock(lambda: self.now, time.time, self.forward)

    def forward(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def passed() -> Time:
    return Time()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def open_outbox(endpoint: Endpoint, tmp_path: Path, notes: list[str], passed: Time) -> Callable[..., Outbox]:
    def make(max_bytes: int = 10_000_000, *, shared_ids: bool = False) -> Outbox:
        spool = Spool(str(tmp_path / "spool"), max_bytes, 3600)
        note = lambda text, **_: notes.append(text)  # noqa: E731
        return Outbox(where(endpoint), spool, passed.clock, note, lambda _name: None, shared_ids=shared_ids)

    return make


def where(endpoint: Endpoint, token: str = "tok-outbox-1") -> Where:
    return Where(endpoint.url, token=Secret(token), timeout_s=5)


def sealed(moment: float = 0, size: int = 0) -> Sealed:
    snapshot_id = new_id(time.time() - 100 + moment)
    noise = os.urandom(size).hex().encode()
    body = b'{"snapshot_id":"%s","database":{"name":"app"},"noise":"%s"}' % (snapshot_id.encode(), noise)
    return Sealed(snapshot_id, "app", body)


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in (tmp_path / "spool").glob("*.json.gz"))


def leave(outbox: Outbox, count: int) -> list[str]:
    """Snapshots that stay behind."""
    kept = [outbox.keep(sealed(number)) for number in range(count)]
    for parcel in kept:
        outbox._store.put_back(parcel)
    return [parcel.snapshot_id for parcel in kept]


def drain(outbox: Outbox) -> None:
    outbox._drain.once()


def test_one_that_always_gets_a_500_is_passed_over(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, tmp_path: Path, passed: Time
) -> None:
    outbox = open_outbox()
    ids = leave(outbox, 4)
    endpoint.script([Answer(500)])
    drain(outbox)
    assert [request.headers["Idempotency-Key"] for request in endpoint.requests] == ids
    assert files(tmp_path) == ids[:1]
    drain(outbox)
    assert len(endpoint.requests) == 4, "it waits for a while"
    passed.forward(30)
    drain(outbox)
    assert files(tmp_path) == []
    outbox.close()


@pytest.mark.parametrize(("answer", "requests"), [(503, 1), (429, 1), (401, 1), (500, 3)])
def test_an_endpoint_that_fails_is_left_alone(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, tmp_path: Path, answer: int, requests: int
) -> None:
    outbox = open_outbox()
    ids = leave(outbox, 6)
    endpoint.default = Answer(answer)
    drain(outbox)
    assert len(endpoint.requests) == requests
    assert files(tmp_path) == ids
    outbox.close()


def test_one_that_is_refused_is_set_aside(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, tmp_path: Path, notes: list[str]
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
    open_outbox: Callable[..., Outbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]
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
    open_outbox: Callable[..., Outbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    outbox = open_outbox()

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        first = outbox.keep(sealed())
        outbox._store.put_back(first)
    assert files(tmp_path) == []
    assert outbox.waiting == 1
    second = outbox.keep(sealed(1))
    assert files(tmp_path) == [first.snapshot_id, second.snapshot_id]
    outbox.close()
    assert notes[1:] == ["the spool takes snapshots again", "2 snapshots kept in the spool for the next start"]
    assert notes[0].endswith("input/output error; keeping snapshots in memory")


def test_in_memory_it_is_still_delivered_and_never_twice_at_once(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = open_outbox()

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    parcel = outbox.keep(sealed())
    drain(outbox)
    assert endpoint.requests == [], "its own cycle is at it"
    outbox._store.put_back(parcel)
    drain(outbox)
    assert [request.headers["Idempotency-Key"] for request in endpoint.requests] == [parcel.snapshot_id]
    assert outbox.waiting == 0
    outbox.close()


def test_losses_are_told_once(open_outbox: Callable[..., Outbox], tmp_path: Path, notes: list[str]) -> None:
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
        "gave up 1 snapshot that was not delivered within 3600s",
        "1 snapshot delivered from the spool, 0 left",
        "set aside 1 damaged or alien file of the spool, in rejected/",
    ]


def test_a_failed_delivery_leaves_it_where_it_was(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, tmp_path: Path
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


def failing(outbox: Outbox, moment: float = 0, retries: list[object] | None = None) -> str:
    """What a cycle's line says, whose delivery fails."""
    parcel = outbox.keep(sealed(moment))
    with pytest.raises(DeliveryError) as raised:
        outbox.deliver(parcel, lambda *retry: retries.append(retry) if retries is not None else None)
    return f"upload failed: {raised.value}"


def test_while_the_endpoint_is_down_cycles_keep_theirs_and_one_at_a_time_is_tried(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, passed: Time, notes: list[str]
) -> None:
    outbox = open_outbox()
    endpoint.default = Answer(503)
    retries: list[object] = []
    assert failing(outbox, 0, retries) == "upload failed: 503 Service Unavailable"
    assert [retry[2:] for retry in retries] == [(pause, "503 Service Unavailable") for pause in (1, 2, 4)]  # type: ignore[index]
    told = [failing(outbox, number) for number in range(1, 4)]
    line = r"upload failed: 503 Service Unavailable \(kept; next try in [45] s\)"
    assert all(re.fullmatch(line, each) for each in told)
    assert len(endpoint.requests) == 4, "nothing was sent"
    pauses: list[float] = []
    for _ in range(8):
        pauses.append(outbox._way.circuit.wait_s)
        passed.forward(pauses[-1])
        drain(outbox)
        drain(outbox)
    assert [request.headers["Idempotency-Key"] for request in endpoint.requests[4:]] == files_sent(endpoint)[:1] * 8
    assert all(0.74 * most < pause <= most for pause, most in zip(pauses, (5, 10, 20, 40, 60, 60, 60, 60), strict=True))
    endpoint.default = Answer()
    passed.forward(60)
    drain(outbox)
    taken = [snapshot["snapshot_id"] for snapshot in endpoint.snapshots]
    assert taken == sorted(taken) and len(taken) == 4 and outbox.waiting == 0
    assert notes == ["4 snapshots delivered from the spool, 0 left"]
    assert outbox.deliver(outbox.keep(sealed(9)), lambda *_: None).id == "abc123"
    outbox.close()


def files_sent(endpoint: Endpoint) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in endpoint.requests]


def test_one_snapshot_that_gets_a_500_stops_nobody(open_outbox: Callable[..., Outbox], endpoint: Endpoint) -> None:
    outbox = open_outbox()
    endpoint.script([500] * 4)
    failing(outbox)
    assert outbox.deliver(outbox.keep(sealed(1)), lambda *_: None).id == "abc123"
    endpoint.default = Answer(500)
    told = [failing(outbox, number) for number in (2, 3, 4, 5)]
    assert told[:3] == ["upload failed: 500 Internal Server Error"] * 3
    assert told[3].startswith("upload failed: 500 Internal Server Error (kept; next try in ")
    outbox.close()


def test_a_poisoned_snapshot_does_not_keep_the_circuit_open(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, passed: Time, tmp_path: Path
) -> None:
    outbox = open_outbox()
    ids = leave(outbox, 3)
    endpoint.default = Answer(503)
    failing(outbox, 9)
    endpoint.default = Answer()
    passed.forward(60)
    endpoint.script([500])
    drain(outbox)
    assert files_sent(endpoint)[4:] == ids[:1] and outbox._way.circuit.is_open
    passed.forward(60)
    drain(outbox)
    assert files_sent(endpoint)[5:7] == [ids[1], ids[0]], "another one is the next probe"
    assert not outbox._way.circuit.is_open
    assert files(tmp_path) == []
    outbox.close()


def test_another_token_is_tried_at_once(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, passed: Time, tmp_path: Path, notes: list[str]
) -> None:
    token = tmp_path / "token"
    token.write_text("tok-wrong-1")
    spool = Spool(str(tmp_path / "spool"), 10_000_000, 3600)
    at = Where(endpoint.url, token_file=str(token), timeout_s=5)
    outbox = Outbox(at, spool, passed.clock, lambda text, **_: notes.append(text), lambda _name: None)
    endpoint.default = Answer(401)
    assert failing(outbox) == "upload failed: 401 Unauthorized"
    assert re.fullmatch(r"upload failed: 401 Unauthorized \(kept; next try in [45] s\)", failing(outbox, 1))
    draining = gevent.spawn(outbox.drain_forever)
    gevent.sleep(0)
    assert len(endpoint.requests) == 1
    endpoint.default = Answer()
    token.write_text("tok-right-number-2")
    assert "kept" in failing(outbox, 2)
    gevent.sleep(0)
    wait_for(lambda: gevent.sleep(0.01) or outbox.waiting == 0, "the rest of it went out")
    assert {request.headers["Authorization"] for request in endpoint.requests[1:]} == {"Bearer tok-right-number-2"}
    draining.kill()
    outbox.close()


def test_a_drain_that_gets_a_503_stops_no_cycle(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, passed: Time
) -> None:
    outbox = open_outbox()
    leave(outbox, 3)
    endpoint.script([Answer(429, {"Retry-After": "60"})])
    drain(outbox)
    assert outbox.deliver(outbox.keep(sealed(9)), lambda *_: None).id == "abc123"
    drain(outbox)
    assert len(endpoint.requests) == 2, "the endpoint asked for a minute"
    passed.forward(75)
    drain(outbox)
    assert outbox.waiting == 0
    outbox.close()


def test_a_burst_of_refusals_does_not_empty_the_spool(open_outbox: Callable[..., Outbox], endpoint: Endpoint) -> None:
    outbox = open_outbox()
    leave(outbox, 10)
    endpoint.default = Answer(404)
    drain(outbox)
    assert outbox.waiting == 7, "a wrong route of a proxy costs no more than that"
    outbox.close()


def test_what_is_dropped_is_counted_at_once_and_told_once_a_minute(
    open_outbox: Callable[..., Outbox], passed: Time, notes: list[str]
) -> None:
    outbox = open_outbox(5000)
    for number in range(10):
        outbox._store.put_back(outbox.keep(sealed(number, 1000)))
    dropped = 10 - outbox.waiting
    assert outbox.dropped == dropped >= 5
    assert notes == ["the spool is full: gave up the oldest 1 snapshot"]
    passed.forward(60)
    outbox._store.put_back(outbox.keep(sealed(10, 1000)))
    assert notes[1:] == [f"the spool is full: gave up the oldest {dropped} snapshots"]
    outbox._store.put_back(outbox.keep(sealed(11, 1000)))
    outbox.close()
    assert notes[2] == "the spool is full: gave up the oldest 1 snapshot"
    assert outbox.dropped == dropped + 2


def test_memory_is_bounded_and_its_losses_are_counted(
    open_outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    outbox = open_outbox()

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    monkeypatch.setattr(store, "MEMORY_BYTES", 4000)
    ids = [leave_one(outbox, number, 1000) for number in range(6)]
    assert outbox.dropped == 6 - outbox.waiting >= 3
    assert [outbox.has(each) for each in ids] == [False] * outbox.dropped + [True] * outbox.waiting
    outbox.close()
    told = [note for note in notes if "no room in memory either" in note]
    assert sum(int(note.split("oldest ")[1].split()[0]) for note in told) == outbox.dropped


def leave_one(outbox: Outbox, moment: float, size: int) -> str:
    parcel = outbox.keep(sealed(moment, size))
    outbox._store.put_back(parcel)
    return parcel.snapshot_id


def test_another_endpoint_from_now_on(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, tmp_path: Path, notes: list[str]
) -> None:
    outbox = open_outbox()
    ids = [leave_one(outbox, number, 1000) for number in range(4)]
    endpoint.default = Answer(503)
    failing(outbox, 9)
    other = Endpoint()
    outbox.reconfigure(where(other, "tok-outbox-2"), Spool(str(tmp_path / "elsewhere"), 2500, 3600))
    assert outbox.dropped == 3 and files(tmp_path)[0] == ids[3], "the bounds count at once"
    assert notes == ["spool.path changes at the next restart", "the spool is full: gave up the oldest 3 snapshots"]
    assert outbox.deliver(outbox.keep(sealed(10)), lambda *_: None).id == "abc123"
    drain(outbox)
    assert outbox.waiting == 0 and len(other.snapshots) == 3
    assert {request.headers["Authorization"] for request in other.requests} == {"Bearer tok-outbox-2"}
    assert not (tmp_path / "elsewhere").exists()
    other.down()
    outbox.close()


def test_a_422_under_a_shared_id_is_as_good_as_delivered(
    open_outbox: Callable[..., Outbox], endpoint: Endpoint, tmp_path: Path
) -> None:
    outbox = open_outbox(shared_ids=True)
    endpoint.script([(422, {}, "")])
    parcel = outbox.keep(sealed())
    assert outbox.has(parcel.snapshot_id)
    assert outbox.deliver(parcel, lambda *_: None).id is None
    assert files(tmp_path) == [] and not outbox.has(parcel.snapshot_id)
    assert list((tmp_path / "spool" / "rejected").iterdir()) == []
    outbox.close()
    alone = open_outbox()
    endpoint.script([422])
    with pytest.raises(Refused):
        alone.deliver(alone.keep(sealed()), lambda *_: None)
    alone.close()
