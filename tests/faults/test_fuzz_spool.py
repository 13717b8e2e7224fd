"""Spools full of what does not belong there: only whole parcels come out, the rest is set aside, nothing waits."""

import gzip
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgdoctor_lib.deliver.parcel import MAX_PLAIN_BYTES, Parcel, pack
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.errors import SpoolError
from pgdoctor_lib.snapshot import Sealed, new_id
from tests.faults.garble import dice, examples, flip_bits, is_line, mutate

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]

HANG_S = 120.0
MANY = 10_000
BOMB = gzip.compress(bytes(MAX_PLAIN_BYTES + 1))
_WORDS = (b"\x1f\x8b", b"\0" * 8, b"\xff" * 4, b"{", b'"snapshot_id":"', gzip.compress(b""), gzip.compress(b"x" * 999))


def parcel(snapshot_id: str, name: str = "production") -> Parcel:
    """A good one."""
    head = {"schema_version": 1, "snapshot_id": snapshot_id, "database": {"name": name, "tags": []}}
    return pack(Sealed(snapshot_id, name, json.dumps(head, separators=(",", ":")).encode()))


class Litter:
    """Puts files into a folder; `good` are the ids of those that are whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.good: set[str] = set()

    def put(self, dice: random.Random) -> None:
        """One file, good or bad, of a kind by chance."""
        snapshot_id = new_id(time.time() - dice.randint(0, 1000))
        dice.choice(_KINDS)(self, dice, self.folder / f"{snapshot_id}.json.gz", snapshot_id)

    def whole(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.write_bytes(parcel(snapshot_id, dice.choice(("a", "é\u202e", 'q"\\', "x" * 100))).data)
        self.good.add(snapshot_id)

    def spoiled(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        data = mutate(parcel(snapshot_id).data, dice, _WORDS)
        path.write_bytes(data)
        if data[:4] + data[8:9] + data[10:] == (good := parcel(snapshot_id).data)[:4] + good[8:9] + good[10:]:
            self.good.add(snapshot_id)  # the time and the system in gzip's header say nothing

    def document(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        """Good gzip; the text in it is spoiled."""
        body = gzip.decompress(parcel(snapshot_id).data)
        spoiled = flip_bits(body, dice, dice.randint(1, 4)) if dice.random() < 0.7 else dice.choice(_TEXTS)
        path.write_bytes(gzip.compress(spoiled))
        if f'"snapshot_id":"{snapshot_id}"'.encode() in spoiled:
            self.maybe(snapshot_id)

    def other_id(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.write_bytes(parcel(new_id()).data)

    def two_members(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.write_bytes(parcel(snapshot_id).data * 2)

    def alien_name(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        names = (
            snapshot_id,
            f"{snapshot_id}.json",
            f"{snapshot_id.upper()}.json.gz",
            "x\ny",
            "é",
            "-rf",
            "..x",
            "a" * 200,
        )
        raw = os.fsencode(str(self.folder / dice.choice(names))) + dice.choice((b"", b"\xff\x1b[31m"))
        Path(os.fsdecode(raw)).write_bytes(parcel(snapshot_id).data)

    def half_written(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.with_name(f".{path.name}").write_bytes(parcel(snapshot_id).data[:20])

    def link(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.symlink_to(dice.choice(("/dev/zero", "/dev/stdin", "/nowhere", str(path), "/etc/passwd")))

    def hard_link(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        outside = self.folder.parent / snapshot_id
        outside.write_bytes(parcel(snapshot_id).data)
        path.hardlink_to(outside)

    def pipe(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        os.mkfifo(path)

    def directory(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.mkdir()
        (path / "x").write_bytes(b"x")

    def other_owner(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.write_bytes(parcel(snapshot_id).data)
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)
        else:
            path.unlink()

    def bomb(self, dice: random.Random, path: Path, snapshot_id: str) -> None:
        path.write_bytes(BOMB)

    def maybe(self, snapshot_id: str) -> None:
        """Whole to all that looks at ids: what the body says beyond that is the endpoint's business."""
        self.good.add(f"?{snapshot_id}")


_TEXTS = (b"", b"{}", b"[" * 100_000, b"\xff\xfe" * 50, b"null", b'{"database":{"name":' + b"[" * 100_000)
_KINDS = (
    *(Litter.whole, Litter.whole, Litter.spoiled, Litter.spoiled, Litter.document, Litter.other_id, Litter.two_members),
    *(Litter.alien_name, Litter.half_written, Litter.link, Litter.hard_link, Litter.pipe, Litter.directory),
    Litter.other_owner,
)


def _empty(path: Path) -> tuple[set[str], int]:
    """Open the spool and take all that it hands out: the ids, and how many files were set aside."""
    started = time.monotonic()
    spool = Spool(str(path), 10**9, 1e9)
    try:
        got = []
        while found := spool.oldest():
            assert gzip.decompress(found.data)
            assert found.snapshot_id in found.plain()[:65536].decode("utf-8", "replace")
            got.append(found.snapshot_id)
            spool.forget(found)
        assert got == sorted(got)
        assert spool.count == 0
        return set(got), spool.set_aside
    finally:
        spool.close()
        assert time.monotonic() - started < HANG_S


def test_folders_of_good_and_bad_files(
    tmp_path_factory: pytest.TempPathFactory, amount: Amount, figure: Figure
) -> None:
    tally = {"files": 0, "good": 0, "aside": 0}

    @examples(amount(25, 2500))
    @given(dice(), st.integers(0, 12))
    def one(dice: random.Random, count: int) -> None:
        above = tmp_path_factory.mktemp("litter")
        litter = Litter(above / "spool")
        litter.folder.mkdir(mode=0o700)
        for _ in range(count):
            litter.put(dice)
        got, aside = _empty(litter.folder)
        certain = {each for each in litter.good if not each.startswith("?")}
        assert certain <= got <= {each.removeprefix("?") for each in litter.good}
        for key, value in (("files", count), ("good", len(got)), ("aside", aside)):
            tally[key] += value

    one()
    outcome = f"{tally['good']} whole ones handed out, {tally['aside']} set aside, 0 exceptions, 0 hangs"
    figure("Spool files", f"{tally['files']} tried: {outcome}")


def test_the_file_cut_at_every_byte_and_a_bit_of_each_turned(tmp_path: Path, amount: Amount, figure: Figure) -> None:
    snapshot_id = new_id()
    data = parcel(snapshot_id).data
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    tried = 0
    header = range(4, 10)  # gzip's time, flags and system
    for at in range(0, len(data), amount(7, 1)):
        turned = bytearray(data)
        turned[at] ^= 1 << at % 8
        for bad in (data[:at], bytes(turned), data + data[at:] if at else data + b"\0"):
            (spool / f"{snapshot_id}.json.gz").write_bytes(bad)
            got, aside = _empty(spool)
            assert (got, aside) == (set(), 1) or at in header
            tried += 1
    figure("Spool file cut, spoiled or followed by something at each byte", f"{tried} tried: none taken for whole")


def test_bombs_and_a_file_without_end(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    for _ in range(3):
        (spool / f"{new_id()}.json.gz").write_bytes(BOMB)
    with (spool / f"{new_id()}.json.gz").open("wb") as file:
        file.truncate(10**12)
    assert _empty(spool) == (set(), 4)


def test_ten_thousand_files(tmp_path: Path, amount: Amount, figure: Figure) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    count = amount(300, MANY)
    for number in range(count):
        snapshot_id = new_id()
        (spool / f"{snapshot_id}.json.gz").write_bytes(parcel(snapshot_id).data if number % 2 else b"alien")
    started = time.monotonic()
    got, aside = _empty(spool)
    assert (len(got), aside) == (count // 2, count // 2)
    assert len(os.listdir(spool / "rejected")) <= 1000
    figure(f"A spool of {count} files, half of them alien", f"emptied in {time.monotonic() - started:.1f} s")


@pytest.mark.parametrize("place", ["file", "link", "pipe", "socket folder", "shared", "missing parent", "nul"])
def test_a_place_that_can_be_no_spool(place: str, tmp_path: Path) -> None:
    path = tmp_path / "spool\x1b[31m\nx"
    if place == "file":
        path.write_text("x")
    elif place == "link":
        path.symlink_to("/tmp")
    elif place == "pipe":
        os.mkfifo(path)
    elif place == "shared":
        path.mkdir()
        path.chmod(0o777)
    elif place == "socket folder":
        path = Path("/proc/self/fd")
    elif place == "missing parent":
        path = Path("/proc/nowhere/x")
    else:
        path = tmp_path / ("y" * 300)
    with pytest.raises(SpoolError) as raised:
        Spool(str(path), 10**9, 1e9)
    assert is_line(str(raised.value))
