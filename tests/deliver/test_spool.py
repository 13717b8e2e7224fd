"""The spool on a real file system: order, bounds, hostile folders, crashes, full disks."""

import gzip
import json
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.rejected import MAX_FILES
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.errors import SpoolError
from pgdoctor_lib.snapshot import Sealed, new_id

ROOT = Path(__file__).parents[2]
DAY_S = 86400.0


def parcel(age_s: float = 0.0, size: int = 500, now: float | None = None) -> Parcel:
    """One that takes about `size` bytes on disk."""
    snapshot_id = new_id((time.time() if now is None else now) - age_s)
    noise = random.Random(snapshot_id).randbytes(size).hex()  # of which gzip makes size again
    body = f'{{"snapshot_id":"{snapshot_id}","database":{{"name":"production"}},"noise":"{noise}"}}'.encode()
    return pack(Sealed(snapshot_id, "production", body))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    opened = Spool(str(path), 10**7, 7 * DAY_S)
    yield opened
    opened.close()


def drain(spool: Spool) -> list[str]:
    found = []
    while (each := spool.oldest()) is not None:
        found.append(each.snapshot_id)
        spool.forget(each)
    return found


def names(path: Path) -> list[str]:
    return sorted(name for name in os.listdir(path) if name not in ("rejected", "last", "seldom"))


def test_files_and_folders_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        spool = Spool(str(path), 10**7, 7 * DAY_S)
        spool.keep(kept := parcel())
    finally:
        os.umask(before)
    assert names(path) == [f"{kept.snapshot_id}.json.gz"]
    assert stat.S_IMODE((path / names(path)[0]).stat().st_mode) == 0o600
    for folder in (path.parent, path, path / "rejected"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    spool.close()


def test_the_oldest_comes_first_and_equal(spool: Spool, path: Path) -> None:
    parcels = [parcel(age_s) for age_s in (50, 10, 99, 20)]
    for each in parcels:
        spool.keep(each)
        spool.release(each)
    assert (spool.count, spool._bytes) == (4, sum(len(each.data) for each in parcels))
    first = spool.oldest()
    assert first == parcels[2]
    spool.release(parcels[2])
    assert drain(spool) == [each.snapshot_id for each in sorted(parcels, key=lambda each: each.snapshot_id)]
    assert (spool.count, spool._bytes, names(path)) == (0, 0, [])


def test_what_is_claimed_is_nobody_elses(spool: Spool) -> None:
    spool.keep(mine := parcel(9))
    assert spool.oldest() is None
    spool.keep(other := parcel(1))
    spool.release(other)
    assert spool.oldest() == other
    assert spool.oldest() is None
    spool.release(mine)
    assert spool.oldest() == mine


def test_it_outlives_the_process(path: Path) -> None:
    spool = Spool(str(path), 10**7, 7 * DAY_S)
    parcels = [parcel(age_s) for age_s in (3, 2, 1)]
    for each in parcels:
        spool.keep(each)
    spool.forget(parcels[1])
    spool.close()
    again = Spool(str(path), 10**7, 7 * DAY_S)
    assert again.count == 2
    assert [again.oldest(), again.oldest(), again.oldest()] == [parcels[0], parcels[2], None]
    again.close()


def test_forgetting_or_releasing_what_was_never_kept_is_nothing(spool: Spool) -> None:
    spool.forget(parcel())
    spool.release(parcel())
    assert (spool.count, spool._bytes, spool.oldest()) == (0, 0, None)


def test_the_bound_holds_and_the_oldest_goes(path: Path) -> None:
    parcels = [parcel(100 - n, 10_000) for n in range(30)]
    spool = Spool(str(path), 100_000, 7 * DAY_S)
    for each in parcels:
        spool.keep(each)
        spool.release(each)
        assert sum((path / name).stat().st_size for name in names(path)) == spool._bytes <= 100_000
    assert spool.dropped_for_room == 30 - spool.count > 15
    assert drain(spool) == [each.snapshot_id for each in parcels[spool.dropped_for_room :]]
    spool.close()


def test_what_can_never_fit_drops_nothing(path: Path) -> None:
    spool = Spool(str(path), 20_000, 7 * DAY_S)
    spool.keep(small := parcel(1))
    spool.release(small)
    with pytest.raises(SpoolError, match="more than it may hold"):
        spool.keep(parcel(0, 30_000))
    assert (spool.count, spool.dropped_for_room, spool.oldest()) == (1, 0, small)
    spool.close()


def test_what_is_claimed_is_not_dropped_for_room(path: Path) -> None:
    spool = Spool(str(path), 25_000, 7 * DAY_S)
    held = [parcel(9, 10_000), parcel(8, 10_000)]
    for each in held:
        spool.keep(each)
    with pytest.raises(SpoolError, match="more than it may hold"):
        spool.keep(parcel(0, 10_000))
    assert (spool.count, spool.dropped_for_room) == (2, 0)
    spool.close()


def test_the_too_old_go(path: Path) -> None:
    now = [1_700_000_000.0]
    spool = Spool(str(path), 10**7, 7 * DAY_S, Clock(wall=lambda: now[0]))
    for age_s in (6 * DAY_S, 2 * DAY_S):
        spool.keep(each := parcel(age_s, now=now[0]))
        spool.release(each)
    now[0] += 2 * DAY_S
    assert spool.oldest() == each
    assert (spool.dropped_for_age, spool.dropped_for_room, spool.count, len(names(path))) == (1, 0, 1, 1)
    spool.close()


def test_the_refused_are_set_aside_and_bounded(path: Path) -> None:
    spool = Spool(str(path), 200_000, 7 * DAY_S)
    refused = [parcel(100 - n, 10_000) for n in range(10)]
    for each in refused:
        spool.keep(each)
        spool.reject(each)
        assert sum(file.stat().st_size for file in (path / "rejected").iterdir()) <= 50_000
    assert (spool.count, spool._bytes, names(path)) == (0, 0, [])
    assert (path / "rejected" / f"{refused[-1].snapshot_id}.json.gz").read_bytes() == refused[-1].data
    spool.reject(never_kept := parcel())
    assert (path / "rejected" / f"{never_kept.snapshot_id}.json.gz").read_bytes() == never_kept.data
    spool.close()


def test_rejected_is_bounded_in_number_too(path: Path) -> None:
    (path / "rejected").mkdir(parents=True, mode=0o700)
    for n in range(MAX_FILES + 50):
        (path / "rejected" / f"{n:05}").touch()
    path.chmod(0o700)
    spool = Spool(str(path), 10**7, 7 * DAY_S)
    spool.reject(parcel())
    assert len(os.listdir(path / "rejected")) == MAX_FILES
    spool.close()


def test_a_hostile_folder_is_never_fatal(path: Path, tmp_path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    good = parcel(1)
    ids = iter([parcel(100 - n).snapshot_id for n in range(20)])
    file = (path / f"{each}.json.gz" for each in ids).__next__
    (path / f"{good.snapshot_id}.json.gz").write_bytes(good.data)
    file().write_bytes(b"")
    file().write_bytes(good.data[:-9])
    file().write_bytes(good.data)  # not the snapshot that its name says
    file().write_bytes(random.Random(3).randbytes(5000))
    secret = tmp_path / "secret"
    secret.write_bytes(good.data)
    file().symlink_to(secret)
    file().symlink_to(tmp_path / "nowhere")
    os.link(secret, file())
    os.mkfifo(file())
    file().mkdir()
    (path / "notes.txt").write_text("somebody's own")
    (path / ".hidden").write_text("somebody's own")
    (path / f".{next(ids)}.json.gz").write_bytes(b"half writ")
    spool = Spool(str(path), 10**7, 7 * DAY_S)
    assert spool.set_aside == 5
    assert spool.oldest() == good
    assert spool.oldest() is None
    assert (spool.set_aside, spool.count, spool._bytes) == (9, 1, len(good.data))
    assert names(path) == sorted([f"{good.snapshot_id}.json.gz", "notes.txt", ".hidden"])
    assert secret.read_bytes() == good.data
    spool.close()


def nested(chance: random.Random, depth: int = 0) -> object:
    """Random JSON."""
    kinds = [None, chance.random(), chance.getrandbits(80), chance.choice(("", "name", "\ud800", "a\n" * 9))]
    if depth > 4 or chance.random() < 0.3:
        return chance.choice(kinds)
    if chance.random() < 0.5:
        return [nested(chance, depth + 1) for _ in range(chance.randrange(4))]
    keys = chance.sample(("snapshot_id", "database", "name", "sections"), chance.randrange(4))
    return {key: nested(chance, depth + 1) for key in keys}


def spoilt(chance: random.Random, good: Parcel, other: Parcel) -> bytes:
    """A file under `good`'s name with something wrong in it, or nearly."""
    way, data, plain = chance.randrange(6), bytearray(good.data), bytearray(good.plain())
    if way == 0:
        return other.data
    if way == 1:
        return bytes(data[: chance.randrange(len(data))])
    if way == 2:
        document = {"snapshot_id": good.snapshot_id, "database": {"name": nested(chance)}, "x": nested(chance)}
        return gzip.compress(json.dumps(document, separators=(",", ":")).encode())
    if way == 3:
        at = chance.randrange(plain.index(b"noise"))
        plain[at:at] = chance.choice((b"[", b"{", b'"', b"\\", b'{"a":')) * chance.choice((1, 20_000))
    else:
        spoiling = data if way == 4 else plain
        for _ in range(chance.randint(1, 6)):
            spoiling[chance.randrange(min(len(spoiling), 120))] = chance.randrange(256)
    return bytes(data) if way == 4 else gzip.compress(plain)


def test_whatever_a_file_holds_it_is_a_parcel_or_set_aside(path: Path) -> None:
    chance = random.Random(5)
    path.mkdir(parents=True, mode=0o700)
    good = [parcel(1000 - n, 100) for n in range(500)]
    deep = f'{{"snapshot_id":"{good[0].snapshot_id}","database":{{"name":{"[" * 60_000}'
    for each in good:
        (path / f"{each.snapshot_id}.json.gz").write_bytes(spoilt(chance, each, good[7]))
    (path / f"{good[0].snapshot_id}.json.gz").write_bytes(gzip.compress(deep.encode()))
    spool = Spool(str(path), 10**8, 7 * DAY_S)
    assert spool.count == 500
    found = drain(spool)
    assert len(found) + spool.set_aside == 500
    assert 10 < len(found) < 490
    assert len(os.listdir(path / "rejected")) == spool.set_aside
    assert (spool.count, names(path)) == (0, [])
    spool.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_other_peoples_files_and_folders_are_not_taken(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    theirs = parcel()
    file = path / f"{theirs.snapshot_id}.json.gz"
    file.write_bytes(theirs.data)
    os.chown(file, 65534, 65534)
    spool = Spool(str(path), 10**7, 7 * DAY_S)
    assert (spool.oldest(), spool.set_aside) == (None, 1)
    spool.close()
    os.chown(path, 65534, 65534)
    with pytest.raises(SpoolError, match="it belongs to another user"):
        Spool(str(path), 10**7, 7 * DAY_S)


def test_folders_that_cannot_be_trusted_are_refused(path: Path, tmp_path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    path.chmod(0o770)
    with pytest.raises(SpoolError, match="other users can write to it"):
        Spool(str(path), 10**7, 7 * DAY_S)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "file").touch()
    for wrong in ("link", "file", "file/below"):
        with pytest.raises(SpoolError, match=f"spool .*{wrong}: not a directory|too many levels"):
            Spool(str(tmp_path / wrong), 10**7, 7 * DAY_S)


def test_a_link_put_in_the_way_of_a_write_is_not_followed(spool: Spool, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("untouched")
    each = parcel()
    (path / f".{each.snapshot_id}.json.gz").symlink_to(target)
    with pytest.raises(SpoolError, match="file exists"):
        spool.keep(each)
    (path / f"{each.snapshot_id}.json.gz").symlink_to(target)
    (path / f".{each.snapshot_id}.json.gz").unlink()
    spool.keep(each)
    assert target.read_text() == "untouched"
    assert not (path / f"{each.snapshot_id}.json.gz").is_symlink()


def test_one_process_at_a_time(spool: Spool, path: Path) -> None:
    with pytest.raises(SpoolError, match="another pgdoctor uses it"):
        Spool(str(path), 10**7, 7 * DAY_S)


def test_a_folder_that_was_removed_is_made_again(spool: Spool, path: Path) -> None:
    spool.keep(lost := parcel(9))
    spool.release(lost)
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    shutil.rmtree(path)
    spool.keep(kept := parcel())
    assert names(path) == [f"{kept.snapshot_id}.json.gz"]
    spool.release(kept)
    assert (spool.oldest(), spool.oldest(), spool.set_aside) == (kept, None, 0)
    assert (spool.count, spool._bytes) == (1, len(kept.data))
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_file_that_has_gone_is_passed_over(spool: Spool, path: Path) -> None:
    for age_s in (2, 1):
        spool.keep(each := parcel(age_s))
        spool.release(each)
    (path / names(path)[0]).unlink()
    assert (spool.oldest(), spool.set_aside) == (each, 0)


def test_a_file_that_cannot_be_read_now_waits_on(spool: Spool, path: Path) -> None:
    """All descriptors are taken: the files are as good as before."""
    kept = [parcel() for _ in range(3)]
    for each in kept:
        spool.keep(each)
        spool.release(each)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        assert spool.oldest() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert spool.set_aside == 0 and spool.count == 3
    assert drain(spool) == sorted(each.snapshot_id for each in kept)


def test_a_file_that_does_not_fit_leaves_nothing_behind(spool: Spool, path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    spool.keep(small := parcel(5))
    spool.release(small)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(SpoolError, match="file too large"):
            spool.keep(parcel(0, 50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (names(path), spool.count, spool.dropped_for_room) == ([f"{small.snapshot_id}.json.gz"], 1, 0)


FULL_DISK = """
import os, sys
from tests.deliver.test_spool import drain, names, parcel
from pathlib import Path
from typing import Any
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.errors import SpoolError
path = Path(sys.argv[1]) / "spool"
spool = Spool(str(path), 10**9, 1e9)
parcels = [parcel(1000 - n, 30_000) for n in range(40)]
for each in parcels:
    spool.keep(each)
    spool.release(each)
assert 0 < spool.dropped_for_room < 40, spool.dropped_for_room
assert len(names(path)) == spool.count
assert drain(spool) == [each.snapshot_id for each in parcels[spool.dropped_for_room:]]
with open(path.parent / "ballast", "wb", 0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
try:
    spool.keep(parcel(0, 30_000))
except SpoolError as error:
    assert "no space left on device" in str(error), error
else:
    raise AssertionError
assert (names(path), spool.count, spool._bytes) == ([], 0, 0), names(path)
print("fine")
"""


def test_a_full_disk_keeps_the_newest(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=400k none "$0" || exit 77; exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", script, str(tmp_path), sys.executable, "-c", FULL_DISK, str(tmp_path)]
    if not shutil.which("unshare"):
        pytest.skip("no unshare on this machine")
    ran = subprocess.run(
        command, env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    if ran.returncode == 77 or "unshare" in ran.stderr:
        pytest.skip(f"no file system of one's own here: {ran.stderr.strip()}")
    assert ran.stdout == "fine\n", ran.stderr


KEEPER = [sys.executable, str(ROOT / "tests/deliver/keeper.py")]


def killed_keeper(path: Path, lines: int, after_s: float) -> list[list[str]]:
    """What it had told, word by word, when it was killed: that many lines, and what came for `after_s` more."""
    command = [*KEEPER, str(path), "100000"]
    with subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "open\n"
        told = [process.stdout.readline() for _ in range(lines)]
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read().split("\n")[:-1]  # the last may be half a line
    return [line.split() for line in told]


def test_killed_at_any_moment_nothing_promised_is_lost(path: Path) -> None:
    chance = random.Random(11)
    told = [words for n in range(25) for words in killed_keeper(path, n % 6, chance.uniform(0, 0.01))]
    kept = {snapshot_id for word, snapshot_id in told if word == "kept"}
    delivered = {snapshot_id for word, snapshot_id in told if word == "delivered"}
    spool = Spool(str(path), 10**9, 1e9)
    assert not [name for name in names(path) if name.startswith(".")]
    found = drain(spool)
    spool.close()
    assert len(kept) > 30
    assert kept - delivered <= set(found)
    assert found == sorted(found)
    assert spool.set_aside == 0


def test_it_is_on_the_disk_before_it_is_said_to_be(path: Path, tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("no strace on this machine")
    log = tmp_path / "calls"
    calls = "trace=write,fsync,rename,renameat,renameat2"
    command = ["strace", "-e", calls, "-o", str(log), *KEEPER, str(path), "1"]
    ran = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    if ran.returncode:
        pytest.skip(f"strace may not trace here: {ran.stderr.strip()}")
    lines = log.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if '"open\\n"' in line) + 1
    order = [line.split("(")[0].removesuffix("at2").removesuffix("at") for line in lines[first : first + 4]]
    assert order == ["write", "fsync", "rename", "fsync"]
    assert '"kept' in lines[first + 4]


def test_29000_files_are_no_trouble(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    for n in range(29_000):
        (path / f"{new_id(time.time() - n)}.json.gz").touch()
    started = time.monotonic()
    spool = Spool(str(path), 10**9, 7 * DAY_S)
    assert spool.count == 29_000
    spool.keep(parcel())
    assert time.monotonic() - started < 60
    spool.close()


PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent, sys, threading
from pathlib import Path
from typing import Any
from tests.deliver.test_spool import names, parcel
from pgdoctor_lib.deliver.spool import Spool
from pgdoctor_lib.errors import SpoolError
pool = gevent.get_hub().threadpool
spool = Spool(sys.argv[1], 300_000, 1e9, offload=lambda function, *args: pool.apply(function, args))
def work(number):
    for n in range(20):
        each = parcel(number, 5000)
        spool.keep(each)
        gevent.sleep(0)
        if n % 3 == 0:
            spool.release(each)
        elif n % 3 == 1:
            spool.reject(each)
        else:
            spool.forget(each)
        older = spool.oldest()
        if older and n % 2:
            spool.forget(older)
        elif older:
            spool.release(older)
        assert spool._bytes <= 300_000
jobs = [gevent.spawn(work, number) for number in range(20)]
gevent.joinall(jobs, raise_error=True)
files = names(Path(sys.argv[1]))
assert len(files) == spool.count, (len(files), spool.count)
assert sum((Path(sys.argv[1]) / name).stat().st_size for name in files) == spool._bytes
try:
    spool.keep(parcel(0, 400_000))
except SpoolError as error:
    print(error.message.split(": ")[1])
"""


def test_many_greenlets_over_a_thread_pool_agree(path: Path) -> None:
    command = [sys.executable, "-c", PATCHED, str(path)]
    ran = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("more than it may hold\n", "")


FULL = """
from gevent import monkey
monkey.patch_all()
import gevent, sys
from pathlib import Path
from typing import Any
from tests.deliver.test_spool import names, parcel
from pgdoctor_lib.deliver.spool import Spool
pool = gevent.get_hub().threadpool
spool = Spool(sys.argv[1], 105_000, 1e9, offload=lambda function, *args: pool.apply(function, args))
for n in range(100):
    spool.keep(small := parcel(1000 - n, 1000))
    spool.release(small)
gevent.joinall([gevent.spawn(spool.keep, parcel(n, 10_000)) for n in range(5)], raise_error=True)
left = sum((Path(sys.argv[1]) / name).stat().st_size for name in names(Path(sys.argv[1])))
print(len(small.data), left)
"""


def test_greenlets_that_keep_at_once_drop_no_more_than_they_need(path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(path)]
    ran = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    small, left = map(int, ran.stdout.split())
    assert 105_000 - 2 * small < left <= 105_000


def test_what_interrupts_a_write_leaves_the_parcel_waiting(path: Path) -> None:
    class Interrupt(BaseException):
        """As a deadline or the end of a greenlet comes: thrown into the wait."""

    thrown = threading.Event()

    def offload(function, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        told = function(*args, **kwargs)
        if thrown.is_set():
            raise Interrupt
        return told

    spool = Spool(str(path), 10**7, 7 * DAY_S, offload=offload)
    each = parcel()
    thrown.set()
    with pytest.raises(Interrupt):
        spool.keep(each)
    with pytest.raises(Interrupt):
        spool.oldest()
    thrown.clear()
    assert (spool.oldest(), spool.count) == (each, 1)
    spool.close()


def test_what_there_was_no_memory_to_write_is_not_taken_for_kept(path: Path) -> None:
    broken = False

    def offload(function: Any, *args: Any, **kwargs: Any) -> Any:
        if broken:
            raise MemoryError
        return function(*args, **kwargs)

    spool = Spool(str(path), 10**6, 3600, offload=offload)
    broken = True
    with pytest.raises(SpoolError, match="out of memory"):
        spool.keep(parcel())
    assert spool.count == 0
    spool.close()
