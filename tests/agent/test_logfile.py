"""The log: written, rotated, followed, read from its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgdoctor_lib.agent import logfile, rotation
from pgdoctor_lib.errors import DaemonError
from tests.agent.at_home import CONFIG, check, configure, log, pid
from tests.fix_daemon import CHECKOUT, Cli
from tests.waiting import wait_for


def test_logs(here: Cli) -> None:
    check(here.run("daemon", "logs"), 1, "", r"pgdoctor: there is no log .*\n")
    here.state.mkdir(parents=True)
    log(here).write_text("".join(f"line {number}\n" for number in range(30000)))
    assert here.run("daemon", "logs").stdout.splitlines() == [f"line {number}" for number in range(29950, 30000)]
    assert here.run("daemon", "logs", "-n", "1").stdout == "line 29999\n"
    assert here.run("daemon", "logs", "-n", "0").stdout == ""
    assert len(here.run("daemon", "logs", "-n", "99999").stdout.splitlines()) == 30000
    piped = f"{' '.join(CHECKOUT)} daemon logs -n 30000 | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], env=here.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "line 0\n", "")


def test_logs_follow_across_rotation(here: Cli) -> None:
    """Thirty rotations by renaming, while a writer that is told writes on: nothing is lost."""
    log(here).parent.mkdir(parents=True)
    command = [sys.executable, "-c", _WRITER, str(log(here))]
    with subprocess.Popen(command, cwd=Path(CHECKOUT[1]).parent, stdin=subprocess.PIPE) as writer:
        wait_for(log(here).exists, "the writer did not come up")
        follower = here.start("daemon", "logs", "-f", "-n", "1000000")
        follower.wait_for_line("line 1$")
        for number in range(30):
            log(here).rename(here.state / f"pgdoctor.log.{number}")
            time.sleep(0.02)
            writer.send_signal(signal.SIGUSR1)
            first = wait_for(lambda: log(here).exists() and log(here).read_text().partition("\n")[0], "not reopened")
            follower.wait_for_line(f"{first}$")
    assert writer.returncode == 0
    [last] = [int(line.split()[1]) for line in log(here).read_text().splitlines()[-1:]]
    follower.wait_for_line(rf"line {last}$")
    follower.send(signal.SIGINT)
    done = follower.finish()
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [f"line {number}" for number in range(1, last + 1)]


_WRITER = """
import os, select, signal, sys
from pgdoctor_lib.agent import logfile
from pgdoctor_lib.config import Log
logfile.put_in_place(sys.argv[1], Log())
signal.signal(signal.SIGUSR1, lambda *_: logfile.reopen())
number = 0
while not select.select([0], [], [], 0.002)[0]:
    number += 1
    os.write(1, b"line %d\\n" % number)
"""


def test_logs_follow_a_truncated_log(here: Cli) -> None:
    log(here).parent.mkdir(parents=True)
    log(here).write_text("one\ntwo\n")
    follower = here.start("daemon", "logs", "-f", "-n", "1")
    follower.wait_for_line("two")
    os.truncate(log(here), 0)
    time.sleep(0.5)
    with log(here).open("a") as file:
        file.write("three\n")
    follower.wait_for_line("three")
    assert follower.lines == ["two", "three"]


def test_sigusr1_reopens_the_daemons_log(here: Cli) -> None:
    configure(here, CONFIG + "interval: 1\n")
    here.run("daemon", "start")
    rotated = log(here).with_suffix(".1")
    log(here).rename(rotated)
    os.kill(pid(here), signal.SIGUSR1)
    wait_for(lambda: log(here).exists() and log(here).read_text(), "nothing in the new log")
    size = rotated.stat().st_size
    here.run("daemon", "stop")
    assert log(here).read_text().endswith("Daemon stopped gracefully.\n")
    assert rotated.stat().st_size == size


def test_reopening_that_fails_keeps_the_old_log(here: Cli) -> None:
    here.run("daemon", "start")
    rotated = log(here).with_suffix(".1")
    log(here).rename(rotated)
    log(here).mkdir()
    os.kill(pid(here), signal.SIGUSR1)
    wait_for(lambda: "the log stays where it was" in rotated.read_text(), "not a word")
    check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    assert rotated.read_text().endswith("Daemon stopped gracefully.\n")


@pytest.mark.parametrize(
    "text", ["", "\n", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "x" * 70000 + "\ny\n", "a\n" * 40000]
)
@pytest.mark.parametrize("lines", [0, 1, 2, 3, 40000])
def test_the_tail(tmp_path: Path, text: str, lines: int) -> None:
    path = tmp_path / "x.log"
    path.write_text(text)
    wanted = "".join(text.splitlines(keepends=True)[-lines:] if lines else [])
    assert b"".join(logfile.read(str(path), lines, follow=False)).decode() == wanted


def test_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert logfile.last_line(str(path)) == ""
    path.write_text("before\nTraceback\nKeyError: 1\n\n")
    assert logfile.last_line(str(path)) == "KeyError: 1"
    assert logfile.last_line(str(path), since=path.stat().st_size) == ""


def test_a_log_of_another_kind_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("fifo", "link", "."):
        with pytest.raises(DaemonError):
            logfile.open_log(str(tmp_path / name))
    assert not (tmp_path / "nowhere").exists()


def begin(path: Path, *kept: str) -> None:
    path.write_text("now")
    for number, text in enumerate(kept, 1):
        numbered(path, number).write_text(text)


def numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def shown(path: Path) -> dict[str, str]:
    return {each.name.removeprefix(path.name): each.read_text() for each in path.parent.iterdir()}


def rotate(path: Path, keep: int) -> None:
    fd = rotation.rotate(str(path), keep)
    os.write(fd, b"new")
    os.close(fd)


@pytest.mark.parametrize(
    ("kept", "keep", "left"),
    [
        ([], 1, {"": "new", ".1": "now"}),
        (["a"], 1, {"": "new", ".1": "now"}),
        (["a", "b"], 3, {"": "new", ".1": "now", ".2": "a", ".3": "b"}),
        (["a", "b", "c"], 3, {"": "new", ".1": "now", ".2": "a", ".3": "b"}),
        (["a", "b", "c", "d"], 2, {"": "new", ".1": "now", ".2": "a"}),
    ],
)
def test_putting_aside(tmp_path: Path, kept: list[str], keep: int, left: dict[str, str]) -> None:
    begin(tmp_path / "x.log", *kept)
    rotate(tmp_path / "x.log", keep)
    assert shown(tmp_path / "x.log") == left
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600


def test_a_free_number_ends_the_row(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    begin(path, "a", "b", "c")
    numbered(path, 2).unlink()
    path.with_name("x.log.new").write_text("left by a crash")
    rotate(path, 3)
    assert shown(path) == {"": "new", ".1": "now", ".2": "a", ".3": "c"}


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "second name", "new is a link", "another user's"])
def test_what_is_no_file_of_ours_is_neither_moved_nor_replaced(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "x.log", tmp_path / "other"
    begin(path, "a")
    other.write_text("other")
    in_the_way = numbered(path, 2)
    if kind == "link":
        in_the_way.symlink_to(other)
    elif kind == "folder":
        in_the_way.mkdir()
    elif kind == "fifo":
        os.mkfifo(in_the_way)
    elif kind == "second name":
        in_the_way.hardlink_to(other)
    elif kind == "new is a link":
        path.with_name("x.log.new").symlink_to(other)
    elif os.geteuid() == 0:
        in_the_way.write_text("theirs")
        os.chown(in_the_way, 65534, 65534)
    else:
        pytest.skip("only root can give files away")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(DaemonError):
        rotation.rotate(str(path), 5)
    assert sorted(os.listdir(tmp_path)) == before
    assert (path.read_text(), numbered(path, 1).read_text(), other.read_text()) == ("now", "a", "other")


def test_a_log_by_size(here: Cli) -> None:
    """The real daemon, with a log that is full already when it starts."""
    log(here).parent.mkdir(parents=True, mode=0o700)
    log(here).write_text("old\n" * 20000)
    log(here).chmod(0o600)
    configure(here, CONFIG + "log: {max_size: 64KiB, keep: 2}\n")
    here.run("daemon", "start")
    first = numbered(log(here), 1)
    wait_for(first.exists, "not put aside")
    check(here.run("daemon", "stop"), 0, r"Daemon stopped .*\n")
    assert set(first.read_text().splitlines()) == {"old"}
    lines = log(here).read_text().splitlines()
    assert lines[0].startswith("Loaded config") and lines[-1] == "Daemon stopped gracefully."
    assert log(here).stat().st_mode & 0o777 == 0o600


def test_logs_follow_across_built_in_rotations(here: Cli) -> None:
    """Many within one look of the follower: it reads one file after the other."""
    log(here).parent.mkdir(parents=True)
    log(here).write_text("line 0\n")
    follower = here.start("daemon", "logs", "-f", "-n", "1000000")
    follower.wait_for_line("line 0$")
    for number in range(1, 41):
        fd = rotation.rotate(str(log(here)), 50)
        os.write(fd, b"line %d\n" % number)
        os.close(fd)
    follower.wait_for_line("line 40$")
    assert follower.lines == [f"line {number}" for number in range(41)]
