"""Packing: equal bytes, and nothing but a whole parcel comes back from disk."""

import gzip
import random
import time
from dataclasses import replace

import pytest

from pgdoctor_lib.deliver.parcel import MAX_PLAIN_BYTES, Parcel, pack, unpack, unzipped
from pgdoctor_lib.snapshot import Agent, Collected, Sealed, Section, Snapshot, new_id


def snapshot(name: str = "production") -> Snapshot:
    collected = Collected("app", "PostgreSQL 15.18", (Section("activity", '{"a": 1}'),))
    return Snapshot(new_id(), time.time(), 1.0, Agent("1.0.0", 'a"database":{"name":"b', 1), name, (), 60.0, collected)


@pytest.mark.parametrize("name", ["production", 'quo"te\n', "emoji \U0001f418", '"database":{"name":"x"}', "x" * 3000])
def test_a_snapshot_comes_back_whole(name: str) -> None:
    sealed = snapshot(name).seal()
    parcel = pack(sealed)
    assert unpack(parcel.snapshot_id, parcel.data) == parcel == Parcel(sealed.snapshot_id, name, parcel.data)
    assert parcel.plain() == sealed.body


def test_equal_snapshots_are_equal_bytes() -> None:
    sealed = snapshot().seal()
    first = pack(sealed)
    time.sleep(1.1)  # gzip's clock ticks in seconds
    assert pack(sealed).data == first.data


def test_a_large_one_comes_back_too() -> None:
    text = "".join(random.Random(1).choices("abcdefgh ", k=3_000_000))
    big = replace(snapshot(), collected=Collected("app", "PostgreSQL 15.18", (Section("tables", f'"{text}"'),)))
    parcel = pack(big.seal())
    assert unpack(parcel.snapshot_id, parcel.data) == parcel


NO_NAME = ("", "[" * 60_000, '{"a":' * 10_000, "5}}", "null}}", '["a"]}}', '"', '"a', '"\\u12"}}', '"a\nb"}}')


def test_what_is_no_parcel_is_told_so() -> None:
    parcel = pack(snapshot().seal())
    data = parcel.data
    for broken in (
        b"",
        data[:5],
        data[:-1],
        data + b"x",
        data + data,
        b"\0" * 500,
        b"{}",
        gzip.compress(b""),
        gzip.compress(b"{}"),
        *(
            gzip.compress(f'{{"snapshot_id":"{parcel.snapshot_id}","database":{{"name":{rest}'.encode())
            for rest in NO_NAME
        ),
    ):
        with pytest.raises(ValueError, match="."):
            unpack(parcel.snapshot_id, broken)
    with pytest.raises(ValueError, match="not the snapshot"):
        unpack(new_id(), data)
    with pytest.raises(ValueError, match="too large"):
        unpack(parcel.snapshot_id, gzip.compress(b" " * (65 * 1024**2), 1))


@pytest.mark.parametrize("size", [0, 1, 100_000, MAX_PLAIN_BYTES])
def test_what_is_unzipped_comes_back_whole(size: int) -> None:
    data = gzip.compress(b" " * size, 1)
    assert unzipped(data) == b" " * size
    for broken in (b"", data[:-1], data[:-8] + b"wrong" + data[-3:], data + b"x", data + data, b"{}"):
        with pytest.raises(ValueError, match="."):
            unzipped(broken)


def test_what_is_unzipped_is_bounded() -> None:
    with pytest.raises(ValueError, match="too large"):
        unzipped(gzip.compress(b" " * (MAX_PLAIN_BYTES + 1), 1))


def test_mutations_never_surprise() -> None:
    chance = random.Random(7)
    parcel = pack(snapshot().seal())
    for _ in range(1000):
        broken = bytearray(parcel.data)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            found = unpack(parcel.snapshot_id, bytes(broken))
        except ValueError:
            continue
        assert found.plain() == parcel.plain()  # a bit of the header that means nothing


def test_the_body_of_other_sealers_is_read_too() -> None:
    body = b'{ "snapshot_id": "%s" , "database":{"name":"n"}}' % (snapshot_id := new_id()).encode()
    assert unpack(snapshot_id, pack(Sealed(snapshot_id, "n", body)).data).name == "n"
