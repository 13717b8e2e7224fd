"""The log: written, rotated, followed, read from its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgdoctor_lib.agent import logfile
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
logfile.put_in_place(sys.argv[1])
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
