"""The lock on the PID file."""

import errno
import fcntl
import os
import platform
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


NO_LOCKS = """
import ctypes, os, platform, struct, sys
from pgdoctor_lib.agent.pidfile import PidFile, holder
from pgdoctor_lib.errors import DaemonError
path, command, error = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
number = {"x86_64": 72, "aarch64": 25}[platform.machine()]  # fcntl
allow, refuse = 0x7FFF0000, 0x00050000 | error
filters = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 24), (0x15, 0, 1, command)]
filters += [(6, 0, 0, refuse), (6, 0, 0, allow)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in filters))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
if libc.prctl(22, 2, struct.pack("HxxxxxxN", len(filters), ctypes.addressof(program)), 0, 0):  # PR_SET_SECCOMP
    sys.exit("no seccomp here")
open_files = os.listdir("/proc/self/fd")
for use in (PidFile.acquire, lambda path: holder(path).__enter__()):
    try:
        print("works" if use(path) else "nobody")
    except DaemonError as why:
        print(str(why).replace(path, "x.pid"))
print(len(os.listdir("/proc/self/fd")) - len(open_files), "left open")
"""
REFUSED = "x.pid cannot be locked: {}; --pid-file sets another place"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64") or sys.platform != "linux", reason="seccomp")
@pytest.mark.parametrize(
    ("command", "error", "told"),
    [
        (fcntl.F_SETLK, errno.ENOLCK, [REFUSED.format("No locks available"), "nobody"]),
        (fcntl.F_SETLK, errno.EACCES, [REFUSED.format("nobody is known to hold it"), "nobody"]),
        (fcntl.F_GETLK, errno.ENOLCK, ["works", "who holds the PID file is not told: No locks available"]),
    ],
)
def test_a_file_system_without_locks(tmp_path: Path, command: int, error: int, told: list[str]) -> None:
    """As NFS is without its lock daemon: here the kernel is told to answer that."""
    (tmp_path / "x.pid").touch(0o600)
    script = [sys.executable, "-c", NO_LOCKS, str(tmp_path / "x.pid"), str(command), str(error)]
    ran = subprocess.run(script, cwd=Path(CHECKOUT[1]).parent, capture_output=True, text=True, timeout=20)
    if ran.stderr == "no seccomp here\n":
        pytest.skip("no seccomp here")
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [*told, f"{told[0] == 'works':d} left open"], "what is held, no more"


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
