"""The real daemon with an event loop that is blocked, under a stand-in for systemd: its notification socket."""

import json
import re
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent.at_home import CONFIG, check, configure
from tests.agent.conftest import here
from tests.fix_daemon import Cli, Running
from tests.waiting import wait_for

__all__ = ["here"]
Figure = Callable[[str, str], None]
# Python runs it before the program: two signals that block the event loop's thread, one of them with the
# interpreter's lock held.
BLOCKER = """
import ctypes, signal
from time import sleep
def block_the_loop(*_):
    sleep(SECONDS)
def hold_the_interpreter(*_):
    ctypes.PyDLL(None).sleep(SECONDS)
signal.signal(signal.SIGUSR2, block_the_loop)
signal.signal(signal.SIGURG, hold_the_interpreter)
"""


class Systemd:
    """The end of the socket that the manager would read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def told(self, timeout_s: float = 30) -> str:
        """The next message, "" where none comes."""
        if not select.select([self.socket], [], [], timeout_s)[0]:
            return ""
        return self.socket.recv(1000).decode()

    def told_but_alive(self) -> str:
        """The next message that says more than that it is alive."""
        return wait_for(lambda: (self.told() or "nothing").replace("WATCHDOG=1", ""), "nothing but signs of life")


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path / "notify")
    yield made
    made.socket.close()


def start(cli: Cli, seconds: float, *options: str, **environ: str) -> Running:
    blocker = cli.home / "blocker"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text(BLOCKER.replace("SECONDS", str(seconds)))
    configure(cli, CONFIG + "interval: 1\n")
    daemon = cli.start("daemon", *options, env={"PYTHONPATH": str(blocker), **environ})
    daemon.wait_for_line("✗|cycle")
    return daemon


def watched(systemd: Systemd, usec: int = 600_000) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": str(usec)}


def test_what_systemd_is_told(here: Cli, systemd: Systemd) -> None:
    pid_file = ("--pid-file", str(here.runtime / "pgdoctor.pid"))
    daemon = start(here, 0, *pid_file, **watched(systemd))
    assert systemd.told_but_alive().startswith("READY=1")
    assert [systemd.told() for _ in range(3)] == ["WATCHDOG=1"] * 3
    check(here.run("daemon", "reload"), 0, r"Daemon reloaded .*\n")
    assert systemd.told_but_alive().startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert systemd.told_but_alive().startswith("READY=1")
    (here.cwd / "pgdoctor.yaml").write_text("nonsense")
    daemon.send(signal.SIGHUP)
    assert systemd.told_but_alive().startswith("RELOADING=1\n")
    assert systemd.told_but_alive().startswith("READY=1"), "a reload that failed is over, too"
    daemon.send()
    assert systemd.told_but_alive() == "STOPPING=1"
    assert daemon.finish().returncode == 0


@pytest.mark.parametrize("how", ["block_the_loop", "hold_the_interpreter"])
def test_a_stuck_daemon_goes_silent_and_dies_of_the_abort(
    here: Cli, systemd: Systemd, how: str, figure: Figure
) -> None:
    """What follows is systemd's part: WatchdogSec without a word, SIGABRT, a new start."""
    daemon = start(here, 600, **watched(systemd))
    assert systemd.told()
    daemon.send(signal.SIGUSR2 if how == "block_the_loop" else signal.SIGURG)
    wait_for(lambda: not systemd.told(3), "it goes on telling that it is alive", 60)
    daemon.send(signal.SIGABRT)
    done = daemon.finish()
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr and f"in {how}" in done.stderr
    assert "not-a-real-token" not in done.stderr and "canary" not in done.stderr
    figure("a stuck event loop goes silent; SIGABRT shows its stack", how)


@pytest.mark.full
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_blocks_the_loop_is_told(here: Cli, log_format: str, figure: Figure) -> None:
    daemon = start(here, 40, "--log-format", log_format)
    began = time.monotonic()
    daemon.send(signal.SIGUSR2)
    daemon.wait_for_line("the event loop has been blocked for 30 s by: block_the_loop", 60)
    after_s = time.monotonic() - began
    daemon.wait_for_line("the event loop goes on, it was blocked for", 60)
    cycles = len([line for line in daemon.lines if "✗" in line or '"cycle"' in line])
    wait_for(lambda: len([line for line in daemon.lines if "✗" in line or '"cycle"' in line]) > cycles, "no cycle")
    daemon.send()
    done = daemon.finish()
    assert done.returncode == 0 and done.stdout.count("has been blocked") == 1
    if log_format == "json":
        [blocked] = [each for each in map(json.loads, daemon.lines) if each["event"] == "blocked"]
        assert blocked["blocked_s"] == 30 and "block_the_loop" in blocked["stack"][0]
    else:
        assert re.search(r"by: block_the_loop \(.*\)\n  block_the_loop \(.*\)\n  \w+ \(", done.stdout)
    assert not re.search("canary|not-a-real-token", done.stdout + done.stderr)
    figure(
        f"a blocked event loop is told, with its stack ({log_format})", f"after {after_s:.1f} s, once; then it goes on"
    )


@pytest.mark.full
def test_a_daemon_that_was_stopped_is_not_blamed(here: Cli, figure: Figure) -> None:
    daemon = start(here, 0)
    daemon.send(signal.SIGSTOP)
    time.sleep(40)
    daemon.send(signal.SIGCONT)
    time.sleep(5)
    daemon.send()
    done = daemon.finish()
    assert (done.returncode, done.stderr) == (0, "") and "event loop" not in done.stdout
    figure("a stopped process is not blamed", "SIGSTOP for 40 s: not a word")
