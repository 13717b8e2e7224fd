"""What was delivered last is there for the next diagnosis, of this run or another."""

import gzip
import json
import os
import time
from pathlib import Path

import pytest

from pgdoctor_lib.deliver.last import file_name, load
from pgdoctor_lib.deliver.parcel import Parcel
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.snapshot import new_id

NAMES = ["production", "../../etc/passwd", "a/b", ".hidden", "ünïcode %", "x" * 100, "日" * 63, "", "a\nb"]


def parcel(name: str, number: int, at: float = 1.0) -> Parcel:
    snapshot_id = new_id(at + number)
    head = {"snapshot_id": snapshot_id, "database": {"name": name}, "number": number}
    text = json.dumps(head, separators=(",", ":")).encode()
    return Parcel(snapshot_id, name, gzip.compress(text))


def delivered(spool: Spool, *parcels: Parcel) -> None:
    for each in parcels:
        spool.keep(each)
        spool.forget(each)


@pytest.mark.parametrize("name", NAMES)
def test_any_name(tmp_path: Path, name: str) -> None:
    spool = Spool(str(tmp_path / "spool"), 10**6, 10**9)
    assert load(str(tmp_path / "spool"), name) is None
    delivered(spool, parcel(name, 1), parcel(name, 2), parcel("another", 3))
    told = json.loads(load(str(tmp_path / "spool"), name) or b"{}")
    assert told["number"] == 2
    assert sorted(os.listdir(tmp_path / "spool/last")) == sorted([file_name(name), file_name("another")])
    assert os.stat(tmp_path / "spool/last").st_mode & 0o777 == 0o700
    assert spool.count == 0
    spool.close()
    again = Spool(str(tmp_path / "spool"), 10**6, 10**9)
    assert again.count == 0
    again.close()


def test_one_that_comes_late_is_not_the_last(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 10**6, 10**9)
    early, late = parcel("app", 1), parcel("app", 2)
    spool.keep(early)
    delivered(spool, late)
    spool.forget(early)
    assert json.loads(load(str(tmp_path), "app") or b"{}")["number"] == 2
    spool.close()


def test_one_that_waited_over_a_restart_is_not_the_last(tmp_path: Path) -> None:
    spool, at = Spool(str(tmp_path), 10**6, 10**9), time.time() - 100
    spool.keep(parcel("app", 1, at))
    delivered(spool, parcel("app", 2, at))
    spool.close()
    spool = Spool(str(tmp_path), 10**6, 10**9)
    early = spool.oldest()
    assert early
    spool.forget(early)
    assert json.loads(load(str(tmp_path), "app") or b"{}")["number"] == 2
    assert not list(tmp_path.glob("*.json.gz"))
    delivered(spool, parcel("app", 3, at))
    assert json.loads(load(str(tmp_path), "app") or b"{}")["number"] == 3
    spool.close()


@pytest.mark.parametrize("there", ["damaged", "of a clock that was years ahead"])
def test_what_is_there_and_makes_no_sense_is_replaced(tmp_path: Path, there: str) -> None:
    spool = Spool(str(tmp_path), 10**6, 10**9)
    delivered(spool, parcel("app", 1, at=time.time() + 10**8))
    spool.close()
    if there == "damaged":
        (tmp_path / "last" / file_name("app")).write_bytes(b"\x1f\x8bnot")
    spool = Spool(str(tmp_path), 10**6, 10**9)
    delivered(spool, parcel("app", 2))
    assert json.loads(load(str(tmp_path), "app") or b"{}")["number"] == 2
    spool.close()


def test_those_of_databases_that_are_gone_go_in_time(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 10**6, 10**9)
    delivered(spool, parcel("gone", 1), parcel("app", 2))
    spool.close()
    os.utime(tmp_path / "last" / file_name("gone"), (0, 0))
    Spool(str(tmp_path), 10**6, 10**9).close()
    assert os.listdir(tmp_path / "last") == [file_name("app")]


def test_what_is_damaged_is_missing(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), 10**6, 10**9)
    delivered(spool, parcel("app", 1))
    file = tmp_path / "last" / file_name("app")
    whole = file.read_bytes()
    for damaged in (b"\x1f\x8bnot", whole[:-9], whole[:10] + b"\xff" * 30, whole[:-8] + bytes(8)):
        file.write_bytes(damaged)
        assert load(str(tmp_path), "app") is None
    assert load(str(tmp_path / "missing/too"), "app") is None
    spool.close()
