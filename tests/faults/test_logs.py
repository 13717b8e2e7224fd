"""The log under faults: a full disk, an output that is closed or that nobody reads, rotation under load, no folder."""

import errno
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
from typing import IO

import pytest

from tests.agent.at_home import CONFIG, check, configure, log, pid
from tests.agent.conftest import here
from tests.fix_daemon import ROOT, Cli
from tests.waiting import wait_for

__all__ = ["here"]
Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]

WRITER = """
import os, signal, sys
from gevent import monkey
monkey.patch_all()
import gevent
from pgdoctor_lib.agent import logfile
from pgdoctor_lib.agent.writer import Writer
from pgdoctor_lib.config import Log

path, lines, max_bytes, keep = sys.argv[1], *map(int, sys.argv[2:])
logfile.put_in_place(path, Log(max_bytes, keep))
gevent.signal_handler(signal.SIGUSR1, logfile.reopen)
writer = Writer()
for number in range(lines):
    writer.write(f"line {number} {'x' * (number % 50)}\\n")
    if number % 10 == 0:
        os.write(2, b"error %d\\n" % number)
        gevent.sleep(0.0005)
    if number % 500 == 0:
        writer.flush(60)
writer.flush(60)
"""


@contextmanager
def writing(path: Path, lines: int, max_bytes: int = 1 << 30, keep: int = 0) -> Iterator["subprocess.Popen[bytes]"]:
    """The daemon's own writer, in a process: so many lines, and every tenth time one past it, on standard error."""
    command = [sys.executable, "-c", WRITER, *map(str, (path, lines, max_bytes, keep))]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def found(path: Path) -> tuple[list[str], list[str]]:
    """All lines in the log and in what was put aside, the oldest file first: from the writer, and past it."""
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda each: -int(each.suffix[1:]))
    text = "".join(each.read_text() for each in [*files, path] if each.exists())
    lines = text.splitlines()
    return [line for line in lines if line.startswith("line")], [line for line in lines if not line.startswith("line")]


def written(lines: int) -> tuple[list[str], list[str]]:
    return (
        [f"line {number} {'x' * (number % 50)}" for number in range(lines)],
        [f"error {number}" for number in range(0, lines, 10)],
    )


def test_putting_aside_under_load_loses_no_line(tmp_path: Path, amount: Amount, figure: Figure) -> None:
    path, lines = tmp_path / "x.log", amount(5000, 120_000)
    with writing(path, lines, max_bytes=4000, keep=100_000) as process:
        assert process.wait(600) == 0
    rotations = len(list(tmp_path.iterdir())) - 1
    assert rotations > lines / 200
    assert found(path) == written(lines), "each line once, whole, in its order, also what went to standard error"
    figure("a log put aside by size loses no line", f"{lines} lines, {rotations} files put aside, 0 lost, 0 torn")


@pytest.mark.parametrize("keep", [0, 100_000], ids=["alone", "beside the built-in one"])
def test_renaming_with_sigusr1_loses_no_line(tmp_path: Path, amount: Amount, figure: Figure, keep: int) -> None:
    path, lines, renamed = tmp_path / "x.log", amount(5000, 120_000), 0
    (tmp_path / "aside").mkdir()
    with writing(path, lines, max_bytes=4000, keep=keep) as process:
        while process.poll() is None:
            time.sleep(0.05)
            if path.exists() and path.stat().st_size:
                renamed += _rename(path, tmp_path / "aside" / f"x.log.{renamed}")
                process.send_signal(signal.SIGUSR1)
        assert process.returncode == 0
    files = [*(tmp_path / "aside").iterdir(), *tmp_path.glob("x.log*")]
    everything = sorted(line for file in files for line in file.read_text().splitlines())
    own, others = written(lines)
    assert everything == sorted([*own, *others])
    beside = " beside the built-in rotation" if keep else ""
    put_aside = len(list(tmp_path.glob("x.log.*")))
    assert renamed > 5 and (put_aside > 5 if keep else put_aside == 0)
    figure(
        f"rename and SIGUSR1{beside} lose no line",
        f"{lines} lines, {renamed} renamed, {put_aside} put aside, 0 lost, 0 torn",
    )


def _rename(path: Path, to: Path) -> int:
    try:
        path.rename(to)
    except FileNotFoundError:  # it is just being put aside
        return 0
    return 1


def test_copytruncate_leaves_whole_lines(tmp_path: Path, amount: Amount, figure: Figure) -> None:
    """What comes between copy and truncation is lost, by its nature; nothing else, and there are no holes."""
    path, lines, copies = tmp_path / "x.log", amount(5000, 60_000), 0
    with writing(path, lines) as process:
        while process.poll() is None:
            time.sleep(0.02)
            if path.exists() and path.stat().st_size:
                shutil.copyfile(path, tmp_path / f"x.log.{copies}")
                os.truncate(path, 0)
                copies += 1
        assert process.returncode == 0
    kept = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    assert "\0" not in "".join(kept)
    own, others = written(lines)
    whole = {*own, *others}
    torn = [line for line in kept if line not in whole]
    assert len(torn) <= 2 * copies, "at most where a copy ends, and where the file begins again"
    missing = len(whole) - len(whole & set(kept))
    assert missing < len(whole) / 2
    figure(
        "copytruncate", f"{copies} copies, {missing} of {len(whole)} lines lost between copy and truncation, no holes"
    )


def test_a_log_that_cannot_be_put_aside_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    (tmp_path / "x.log.1").mkdir()
    with writing(path, 2000, max_bytes=4000, keep=3) as process:
        assert process.wait(60) == 0
    (tmp_path / "x.log.1").rmdir()
    lines, others = found(path)
    [complaint] = [line for line in others if not line.startswith("error")]
    assert complaint.startswith("pgdoctor: the log cannot be put aside, it goes on in the old file: ")
    assert (lines, [line for line in others if line != complaint]) == written(2000)
    assert [each.name for each in tmp_path.iterdir()] == ["x.log"]


def next_due(cli: Cli) -> float:
    """When the next cycle is due, as the status file has it: whatever becomes of the lines. 0: none yet."""
    file = cli.runtime / "pgdoctor.pid.json"
    due = re.search(r'"next_due": ([\d.]+)', file.read_text() if file.exists() else "")
    return float(due[1]) if due else 0


def goes_on(cli: Cli) -> None:
    before = wait_for(lambda: next_due(cli), "no cycle")
    wait_for(lambda: next_due(cli) > before + 0.5, "no cycle any more", 60)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k,mode=700", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def _takes(file: IO[bytes], data: bytes) -> bool:
    try:
        return file.write(data) > 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


def test_a_full_log_disk(here: Cli, tiny_disk: Path, figure: Figure) -> None:
    configure(here, CONFIG + "interval: 1\n")
    file = tiny_disk / "x.log"
    file.write_text("x" * 3800 + "\n")  # near the end of a page
    file.chmod(0o600)
    with (tiny_disk / "filler").open("wb", buffering=0) as filler:
        daemon = here.start("daemon", "--pid-file", str(here.runtime / "pgdoctor.pid"), "--log-file", str(file))
        wait_for(lambda: file.exists() and "✗" in file.read_text(), "no cycle")
        while _takes(filler, b"x" * 4096):
            pass
        wait_for(lambda: file.stat().st_size % 4096 == 0, "the disk is never full", 90)
        goes_on(here)
    (tiny_disk / "filler").unlink()
    note = r"\((\d+) lines? (is|are) missing here: No space left on device\)\n\["
    missing = wait_for(lambda: re.search(note, file.read_text()), "not a word of what is missing")
    daemon.send()
    assert daemon.finish().returncode == 0
    assert file.read_text().endswith("\nDaemon stopped gracefully.\n")
    figure(
        "a full log disk ends nothing", f"cycles go on; {missing[1]} lines were missing, and told once there was room"
    )


@pytest.mark.full
def test_a_limit_on_files(here: Cli) -> None:
    """RLIMIT_FSIZE: the log is full, the spool and the status file are small enough."""
    configure(here, CONFIG + "interval: 1\n")
    log(here).parent.mkdir(parents=True, mode=0o700)
    log(here).write_text("x" * 65500 + "\n")
    log(here).chmod(0o600)
    limited = Cli(here.home, ("prlimit", "--fsize=65536", *here.command))
    daemon = limited.start("daemon", "--pid-file", str(here.runtime / "pgdoctor.pid"), "--log-file", str(log(here)))
    wait_for(lambda: log(here).stat().st_size == 65536, "the limit is not reached")
    goes_on(here)
    daemon.send()
    assert daemon.finish().returncode == 0


@pytest.mark.parametrize(
    "output",
    [
        ">/dev/full",
        *(pytest.param(each, marks=pytest.mark.full) for each in (">&-", "2>&- >&-", "| true", "| sleep 1000")),
    ],
)
def test_an_output_that_takes_nothing(here: Cli, output: str, figure: Figure) -> None:
    """Closed, full, without a reader, or with one that never reads."""
    configure(here, CONFIG + "interval: 1\n")
    command = f"{' '.join(here.command)} daemon --pid-file {here.runtime}/pgdoctor.pid {output}"
    shell = subprocess.Popen(["bash", "-c", command], env=here.environment(), cwd=here.cwd, start_new_session=True)
    try:
        goes_on(here)
        check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    figure("an output that takes nothing ends nothing", f"daemon {output}: cycles go on, stop works")


def test_a_log_folder_that_is_removed(here: Cli) -> None:
    configure(here, CONFIG + "interval: 1\n")
    folder = here.home / "logs"
    file = folder / "x.log"
    options = ("--log-file", str(file))
    check(here.run("daemon", "start", *options), 0, r"Daemon started .*\n.*\n")
    shutil.rmtree(folder)
    wait_for(lambda: file.exists() and "✗" in file.read_text(), "no new log")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rename(here.home / "moved")
    folder.write_text("in the way")
    shutil.rmtree(here.home / "moved")
    goes_on(here)
    os.kill(pid(here), signal.SIGUSR1)
    check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    assert folder.read_text() == "in the way"
