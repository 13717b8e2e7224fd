"""The lock on the PID file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgdoctor_lib.agent.pidfile import AlreadyRunning, PidFile, holder
from tests.fix_daemon import CHECKOUT


def test_a_pid_file_replaced_meanwhile(tmp_path: Path) -> None:
    """A lock on a file that the path no longer leads to counts for nothing."""
    path = tmp_path / "x.pid"
    first = _hold(path)
    path.unlink()
    second = _hold(path)
    with holder(str(path)) as found:
        assert found and found.pid == second.pid
        found.signal(signal.SIGTERM)
        assert found.wait(60)
    assert first.poll() is None
    assert second.wait() == -signal.SIGTERM
    first.kill()
    first.wait()


def test_acquire_tells_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    other = _hold(path)
    with pytest.raises(AlreadyRunning, match=rf"^Daemon is already running \(PID: {other.pid}\)$"):
        PidFile.acquire(str(path))
    other.kill()
    other.wait()
    mine = PidFile.acquire(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    mine.withdraw()
    assert not path.exists()


def _hold(path: Path) -> "subprocess.Popen[str]":
    code = (
        "import sys, time; from pgdoctor_lib.agent.pidfile import PidFile;"
        "PidFile.acquire(sys.argv[1]); print(1); time.sleep(99)"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(path)], cwd=Path(CHECKOUT[1]).parent, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "1\n"
    return process
