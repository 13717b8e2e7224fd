"""What systemd is told, over a real datagram socket."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgdoctor_lib.agent.notify import Manager
from tests.fix_daemon import ROOT


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(20)
        yield end


def talk(code: str, address: object, **environ: str) -> "subprocess.CompletedProcess[str]":
    script = f"from pgdoctor_lib.agent import notify\nimport os\n{code}\nprint(sorted(os.environ))"
    env = {"NOTIFY_SOCKET": str(address), "PATH": os.environ["PATH"], **environ}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done


def test_messages(manager: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    done = talk("notify.ready(); notify.alive(); notify.reloading(); notify.ready()",
                manager.getsockname(), WATCHDOG_USEC="3000000")  # fmt: skip
    assert [manager.recv(1000) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
    name, _, usec = manager.recv(1000).decode().partition("\nMONOTONIC_USEC=")
    assert name == "RELOADING=1" and before < int(usec) < time.monotonic_ns() // 1000
    assert manager.recv(1000) == b"READY=1"
    assert "NOTIFY_SOCKET" not in done.stdout and "WATCHDOG" not in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0pgdoctor-test-{os.getpid()}")
        end.settimeout(20)
        talk("notify.stopping()", f"@pgdoctor-test-{os.getpid()}")
        assert end.recv(1000) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nobody/there", "relative", "@" + "x" * 500, "/x\udcff", "vsock:2:1"])
def test_nobody_listens(address: str) -> None:
    made = Manager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    made.send("READY=1")
    made.close()
    made.send("READY=1")


def test_a_full_queue_is_not_waited_for(manager: socket.socket) -> None:
    made = Manager({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(2000):  # net.unix.max_dgram_qlen is 512 at most systems
        made.send("WATCHDOG=1")
    made.close()


@pytest.mark.parametrize(
    ("usec", "pid", "every_s"),
    [
        ("90000000", "", 30.0),
        ("90000000", "own", 30.0),
        ("90000000", "parent", None),
        ("90000000", "x", None),
        ("", "", None),
        ("0", "", None),
        ("-5", "", None),
        ("soon", "", None),
    ],
)
def test_who_is_watched(manager: socket.socket, usec: str, pid: str, every_s: float | None) -> None:
    pid = {"own": str(os.getpid()), "parent": str(os.getppid())}.get(pid, pid)
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid, "HOME": "/"}
    made = Manager(environ)
    made.close()
    assert made.alive_every_s == every_s
    assert environ == {"HOME": "/"}
