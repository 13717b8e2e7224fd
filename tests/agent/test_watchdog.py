"""An event loop that is blocked, in real processes: who says so, and who does not."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fix_daemon import ROOT
from tests.waiting import wait_for

SCRIPT = """
import ctypes, os, sys, time
really_sleep = time.sleep
from gevent import monkey
monkey.patch_all()
import gevent
from pgdoctor_lib.agent.watchdog import Watchdog
from pgdoctor_lib.secret import Secret

def hold_the_loop(password):
    really_sleep(float(sys.argv[2]))

def canary_in_a_name(password):
    hold_the_loop(password)

def hold_the_interpreter():
    ctypes.PyDLL(None).sleep(60)

dog = Watchdog(sys.argv[1], blocked_s=1)
greenlet = dog.start()
gevent.sleep(0.1)
Secret("canary_in_a_name")
"""
BLOCK = "canary_in_a_name('canary-password')\ngevent.sleep(1.5)\n"


@contextmanager
def process(
    code: str, log_format: str = "text", hold_s: float = 3, **environ: str
) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", SCRIPT + code, log_format, str(hold_s)]
    env = {**os.environ, **environ}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


def output(code: str, log_format: str = "text") -> list[str]:
    with process(code, log_format) as one:
        said, complaints = one.communicate(timeout=60)
        assert (one.returncode, complaints) == (0, "")
    return said.splitlines()


def test_a_blocked_loop_is_told_once_with_its_stack() -> None:
    first, *stack, last = output(BLOCK)
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"
    frame = r"hold_the_loop \(<string>:\d+\)"
    assert re.fullmatch(rf"{stamp} internal error: the event loop has been blocked for 1 s by: {frame}", first)
    assert re.fullmatch(f"  {frame}", stack[0])
    assert re.fullmatch(r"  \*\*\* \(<string>:\d+\)", stack[1]), "a secret is masked, wherever it stands"
    assert re.fullmatch(r"  <module> \(<string>:\d+\)", stack[2])
    assert len(stack) == 3
    assert re.fullmatch(rf"{stamp} the event loop goes on, it was blocked for \d+ s", last)
    assert "canary" not in first + last + "".join(stack)


def test_as_json() -> None:
    blocked, unblocked = map(json.loads, output(BLOCK, "json"))
    assert (blocked["event"], blocked["level"], blocked["blocked_s"]) == ("blocked", "error", 1)
    assert blocked["stack"][0].startswith("hold_the_loop (<string>:") and len(blocked["stack"]) == 3
    assert blocked["message"].endswith(f"by: {blocked['stack'][0]}")
    assert (unblocked["event"], unblocked["level"]) == ("unblocked", "warning")
    assert 1 <= unblocked["blocked_s"] <= 30 and unblocked["time"] > blocked["time"]


@pytest.mark.parametrize(
    "code", ["gevent.sleep(2.5)", "dog.stop(); really_sleep(2.5)", "greenlet.kill(); really_sleep(2.5)"]
)
def test_a_loop_that_turns_or_is_no_longer_watched_is_not_blamed(code: str) -> None:
    assert output(code) == []


def test_a_stopped_process_is_not_blamed() -> None:
    with process("print('up', flush=True); gevent.sleep(5); print('done')") as one:
        assert one.stdout and one.stdout.readline() == "up\n"
        for _ in range(2):
            one.send_signal(signal.SIGSTOP)
            time.sleep(2.5)
            one.send_signal(signal.SIGCONT)
            time.sleep(0.3)
        assert one.communicate(timeout=60) == ("done\n", "")


def test_a_standard_output_that_nobody_reads_blocks_the_thread_alone() -> None:
    fill = """
os.set_blocking(1, False)
try:
    while True: os.write(1, b'x' * 4096)
except BlockingIOError:
    os.set_blocking(1, True)
"""
    code = fill + BLOCK + "os.write(2, b'goes on\\n'); dog.stop(); gevent.sleep(0.1); os._exit(7)"
    with process(code) as one:
        assert one.stderr and one.stderr.readline() == "goes on\n"
        assert one.wait(60) == 7


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        yield end


def silent_for(end: socket.socket, seconds: float) -> Callable[[], bool]:
    """Read what came; whether nothing came for so long."""

    def ask() -> bool:
        came = bool(select.select([end], [], [], seconds)[0])
        if came:
            assert end.recv(1000) == b"WATCHDOG=1"
        return not came

    return ask


def test_a_blocked_loop_tells_systemd_nothing(manager: socket.socket) -> None:
    told = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "300000"}
    with process("really_sleep(60)", **told):
        assert select.select([manager], [], [], 60)[0], "not a word"
        wait_for(silent_for(manager, 3), "it goes on telling that it is alive")
    with process("gevent.sleep(60)", **told):
        for _ in range(10):
            assert select.select([manager], [], [], 60)[0], "it does not tell that it is alive"
            manager.recv(1000)


def test_where_not_even_the_thread_runs_the_abort_shows_the_stack() -> None:
    with process("os.write(1, b'up\\n'); hold_the_interpreter()") as one:
        assert one.stdout and one.stdout.readline() == "up\n"
        time.sleep(1)
        one.send_signal(signal.SIGABRT)
        _, stack = one.communicate(timeout=60)
        assert one.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in stack and "in hold_the_interpreter" in stack
    assert "canary" not in stack.replace("canary_in_a_name", "")
