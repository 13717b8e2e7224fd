"""A spool whose disk fails, is full or gone, or whose folder is full of nonsense: never fatal, nothing lost."""

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgdoctor_lib.snapshot import new_id
from tests.faults.ledger import Ledger
from tests.faults.scene import Scene, check_ledger, stop
from tests.fix_daemon import ROOT, Cli, Running
from tests.waiting import wait_for

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]
IN_MEMORY = "keeping snapshots in memory"
AGAIN = "the spool takes snapshots again"
PROGRAM = (sys.executable, str(ROOT / "pgdoctor.py"))

# The call on the spool's folder (or anywhere) that fails, with what, from the how manieth to the how manieth.
FAULTS = {
    "no room for a file": ("openat", "ENOSPC", "3..5", True),
    "read-only": ("openat", "EROFS", "3..5", True),
    "an I/O error at fsync": ("fsync", "EIO", "1..3", False),
    "an I/O error at the folder's fsync": ("fsync", "EIO", "1..3", True),
    "an I/O error at rename": ("renameat", "EIO", "1..3", True),
    "quota used up": ("openat", "EDQUOT", "3..5", True),
}


def told(daemon: Running, text: str) -> int:
    return sum(text in line for line in daemon.lines)


def collected(*daemons: Running) -> int:
    """How many snapshots were collected, whatever became of them."""
    return sum(told(daemon, " uploading...") for daemon in daemons)


def given_up(daemon: Running) -> int:
    """How many it says that it gave up for want of room."""
    return sum(int(found) for found in re.findall(r"gave up the oldest (\d+)", daemon.output))


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace on this machine")
@pytest.mark.full
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_disk(scene: Callable[..., Scene], ledger: Ledger, figure: Figure, fault: str) -> None:
    """The endpoint takes nothing meanwhile: what the disk does not take is in memory, and on the disk later."""
    watched = scene(2)
    ledger.mood = "forbids"
    call, error, when, on_folder = FAULTS[fault]
    where = ["-P", str(watched.spool)] if on_folder else []
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", *where, *inject)
    daemon = Cli(watched.cli.home, (*strace, *PROGRAM)).start("daemon")
    daemon.wait_for_line(AGAIN)
    wait_for(lambda: collected(daemon) >= 12 and told(daemon, AGAIN) == told(daemon, IN_MEMORY), f"{daemon!r}")
    end_traced(daemon)
    # Two threads write, and strace counts the calls of each: the disk may recover and fail again.
    assert 1 <= told(daemon, IN_MEMORY) == told(daemon, AGAIN), daemon.output
    lost = given_up(daemon)
    assert not lost or error in ("ENOSPC", "EDQUOT"), "only for want of room the oldest make room"
    assert watched.rejected() == [], "a snapshot that could not be read for a moment was taken for a damaged one"
    assert len(watched.names()) + lost == collected(daemon), daemon.output
    sealed = watched.sealed()
    ledger.mood = "up"
    later = watched.run_dry()
    check_ledger(ledger, sealed)
    assert len(ledger.stored) + lost == collected(daemon, later)
    figure(f"the spool's disk: {fault}", f"told, in memory, on the disk again by itself; {lost} given up, and told so")


def end_traced(daemon: Running) -> None:
    """SIGTERM to what runs under strace."""
    [child] = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    done = daemon.finish()
    assert done.returncode == 0 and daemon.lines[-1] == "Daemon stopped gracefully.", daemon


@contextmanager
def on_a_small_disk(watched: Scene, script: str) -> Iterator[Running]:
    """A daemon whose spool is a file system of its own, of 200 KiB; `script` is run there first."""
    watched.spool.mkdir(mode=0o700)
    begin = f'mount -t tmpfs -o size=200k,mode=0700 none "$0" || exit 77; {script}; exec "$@"'
    command = ("unshare", "-rm", "sh", "-c", begin, str(watched.spool), *PROGRAM)
    daemon = Cli(watched.cli.home, command).start("daemon")
    try:
        wait_for(lambda: "Press Ctrl" in daemon.output or daemon.process.poll() is not None, f"{daemon!r}")
        if daemon.process.poll() is not None and "Press Ctrl" not in daemon.output:
            pytest.skip(f"no file system of one's own here: {daemon.error.strip()}")
        yield daemon
    finally:
        daemon.kill()


def test_a_full_disk(scene: Callable[..., Scene], ledger: Ledger, figure: Figure) -> None:
    watched = scene(2)
    with on_a_small_disk(watched, 'dd if=/dev/zero of="$0"/ballast bs=4k 2>/dev/null') as daemon:
        daemon.wait_for_line(rf"no space left on device; {IN_MEMORY}")
        wait_for(lambda: collected(daemon) >= 3, f"{daemon!r}")
        Path(f"/proc/{daemon.pid}/root{watched.spool}/ballast").unlink()
        daemon.wait_for_line(AGAIN)
        stop(daemon)
    assert told(daemon, IN_MEMORY) == told(daemon, AGAIN) == 1
    assert len(ledger.stored) == collected(daemon) == told(daemon, "✓")
    check_ledger(ledger, {})
    figure("the spool's disk is full", "one line, in memory, on the disk again once there is room, 0 lost")


@pytest.mark.full
def test_an_end_while_the_disk_is_full(scene: Callable[..., Scene], ledger: Ledger) -> None:
    """What neither the endpoint nor the disk takes is lost at the end, and that is said."""
    watched = scene(2)
    ledger.mood = "forbids"
    with on_a_small_disk(watched, 'dd if=/dev/zero of="$0"/ballast bs=4k 2>/dev/null') as daemon:
        daemon.wait_for_line(rf"no space left on device; {IN_MEMORY}")
        wait_for(lambda: collected(daemon) >= 3, f"{daemon!r}")
        stop(daemon)
    lost = collected(daemon)
    assert told(daemon, f"{lost} snapshots could be neither delivered nor kept on disk") == 1


@pytest.mark.full
def test_a_disk_that_becomes_read_only(scene: Callable[..., Scene], ledger: Ledger, figure: Figure) -> None:
    watched = scene(2)

    def remount(how: str) -> None:
        inside = ["nsenter", "-t", str(daemon.pid), "-U", "-m", "--preserve-credentials"]
        subprocess.run([*inside, "mount", "-o", f"remount,{how}", str(watched.spool)], check=True)

    with on_a_small_disk(watched, ":") as daemon:
        wait_for(lambda: collected(daemon) >= 2, f"{daemon!r}")
        remount("ro")
        daemon.wait_for_line(rf"read-only file system; {IN_MEMORY}")
        remount("rw")
        daemon.wait_for_line(AGAIN)
        stop(daemon)
    assert told(daemon, IN_MEMORY) == told(daemon, AGAIN) == 1
    assert len(ledger.stored) == collected(daemon)
    figure("the spool's disk becomes read-only", "one line, in memory, on the disk again once it is writable, 0 lost")


def test_a_folder_that_is_removed(scene: Callable[..., Scene], ledger: Ledger) -> None:
    watched = scene(1)
    ledger.mood = "forbids"
    daemon = watched.run_up()
    wait_for(watched.names, f"{daemon!r}")
    wait_for(lambda: _is_removed(watched.spool), "it comes back all the time")
    wait_for(watched.names, f"nothing is kept any more: {daemon!r}")
    stop(daemon)
    assert watched.spool.stat().st_mode & 0o777 == 0o700
    sealed = watched.sealed()
    ledger.mood = "up"
    watched.run_dry()
    check_ledger(ledger, sealed)


def _is_removed(folder: Path) -> bool:
    """The daemon may write there in the same moment."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@pytest.mark.full
def test_a_file_that_cannot_be_removed(scene: Callable[..., Scene], ledger: Ledger, figure: Figure) -> None:
    """It stays, is sent again by the next run under its key, and is stored once."""
    watched = scene(1)
    trace = ["-P", str(watched.spool), "-e", "trace=unlinkat", "-e", "inject=unlinkat:error=EIO"]
    command = ("strace", "-f", "-qq", "-o", "/dev/null", *trace, *PROGRAM)
    daemon = Cli(watched.cli.home, command).start("daemon")
    wait_for(lambda: len(ledger.stored) >= 3, f"{daemon!r}")
    end_traced(daemon)
    sealed = watched.sealed()
    assert len(sealed) >= 3
    watched.run_dry()
    assert watched.names() == []
    check_ledger(ledger, sealed)
    assert ledger.again >= 3
    figure("delivered files cannot be removed", f"{len(sealed)} sent again by the next run, 0 stored twice")


def test_nonsense_in_the_folder(scene: Callable[..., Scene], ledger: Ledger, tmp_path: Path, figure: Figure) -> None:
    watched = scene(1)
    ledger.mood = "forbids"
    daemon = watched.run_up()
    wait_for(watched.names, f"{daemon!r}")
    stop(daemon)
    sealed = watched.sealed()
    victim = tmp_path / "victim"
    victim.write_text("not yours")
    nonsense = plant(watched.spool, victim)
    (watched.spool / "README").write_text("somebody's")
    (watched.spool / f".{new_id()}.json.gz").write_bytes(b"half")
    ledger.mood = "up"
    daemon = watched.run_up()
    wait_for(lambda: watched.names() == ["README"], f"{watched.names()} {daemon!r}")
    peak_kb = int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text())[0])
    stop(daemon)
    check_ledger(ledger, sealed)
    assert sorted(f"{name}.json.gz" for name in nonsense) == watched.rejected()
    assert victim.read_text() == "not yours"
    assert peak_kb < 200_000, "the bomb went off"
    counted = sum(int(found) for found in re.findall(r"set aside (\d+) damaged", daemon.output))
    assert counted == len(nonsense)
    figure(
        "nonsense in the spool", f"{len(nonsense)} kinds at once: set aside, told, the snapshots among them delivered"
    )


def plant(spool: Path, victim: Path) -> list[str]:
    """A file of each kind that looks like a snapshot by its name; the ids."""
    ids = [new_id(time.time() - 60 + number) for number in range(11)]
    paths = iter([spool / f"{each}.json.gz" for each in ids])
    next(paths).write_bytes(b"")
    next(paths).write_bytes(b"no gzip at all")
    next(paths).write_bytes(gzip.compress(b'{"snapshot_id":"another","database":{"name":"x"}}'))
    next(paths).write_bytes(gzip.compress(b"{" + os.urandom(5000))[:3000])
    next(paths).write_bytes(gzip.compress(b'{"snapshot_id":"' + b"0" * 200_000_000))
    next(paths).write_bytes(gzip.compress(b"[" * 100_000))
    next(paths).symlink_to(victim)
    os.link(victim, next(paths))
    os.mkfifo(next(paths))
    next(paths).mkdir()
    foreign = next(paths)
    foreign.write_bytes(gzip.compress(b"{}"))
    if os.geteuid() == 0:
        os.chown(foreign, 65534, 65534)
    return ids


def test_two_daemons_on_one_spool(scene: Callable[..., Scene], ledger: Ledger) -> None:
    watched = scene(1)
    first = watched.run_up()
    second = watched.cli.run("daemon")
    assert second.returncode == 1, second
    assert second.stderr == f"pgdoctor: spool {watched.spool}: another pgdoctor uses it\n"
    assert second.stdout == ""
    before = len(ledger.stored)
    wait_for(lambda: len(ledger.stored) > before, f"{first!r}")
    stop(first)
    check_ledger(ledger, {})
