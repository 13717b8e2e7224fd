"""The machine's figures are this machine's, and nothing that hangs holds them up."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import psycopg2
import pytest

from pgdoctor_lib.agent.host import Onlooker, is_local, read
from pgdoctor_lib.collectors.registry import query
from pgdoctor_lib.config.dsn import Dsn, Host
from tests.postgres.server import Database

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
ROOM = ("total_bytes", "free_bytes", "available_bytes")


def _own_addresses() -> list[str]:
    """The address that this machine has towards others, where it is in a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return []
        return [probe.getsockname()[0]]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://u@/app",
        "host=/var/run/postgresql dbname=app",
        "host=@abstract dbname=app",
        "postgres://u@localhost/app",
        "postgres://u@LOCALHOST./app",
        "postgres://u@127.0.0.1/app",
        "postgres://u@127.8.9.1/app",
        "postgres://u@[::1]/app",
        "postgres://u@0.0.0.0/app",
        "host=db1.example.com hostaddr=127.0.0.1",
        f"host={socket.gethostname()}",
        f"host={socket.gethostname().partition('.')[0]}",
        *(f"host={address}" for address in _own_addresses()),
    ],
)
def test_here(dsn: str) -> None:
    [host] = Dsn.parse(dsn, {}).hosts
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        Host("db1.example.com"),
        Host("localhost.example.com"),
        Host("192.0.2.7"),
        Host("2001:db8::7"),
        Host("localhost", "192.0.2.7"),
        Host("", "192.0.2.7"),
        Host("127.0.0.1.example.com"),
    ],
)
def test_elsewhere(host: Host) -> None:
    assert not is_local(host)


def test_load_and_memory() -> None:
    found = read(None, None)
    assert found["cpu_count"] == os.cpu_count()
    assert found["memory_bytes"] >= 64 * 1024**2
    assert min(found["load_1m"], found["load_5m"], found["load_15m"]) >= 0
    assert (found["server_seen"], found["disks"], found["unread"]) == (None, [], [])


@linux
def test_memory_is_what_the_kernel_says() -> None:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {name: int(text.split()[0]) for name, text in lines.items()}
    found = read(None, None)
    assert (found["memory_bytes"], found["swap_bytes"]) == (kib["MemTotal"] * 1024, kib["SwapTotal"] * 1024)
    assert found["memory_available_bytes"] == pytest.approx(kib["MemAvailable"] * 1024, rel=0.3)
    assert found["uptime_s"] == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=60)


def test_folders_on_one_device_are_one_disk(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data/pg_wal").symlink_to(tmp_path / "elsewhere")
    found = read(str(tmp_path / "data"), str(tmp_path / "data/pg_wal"), {"slow": str(tmp_path)})
    [disk] = found["disks"]
    assert (disk["data"], disk["wal"], disk["tablespaces"], found["unread"]) == (True, True, ["slow"], [])
    told = shutil.disk_usage(tmp_path)
    assert disk["total_bytes"] == told.total
    assert disk["available_bytes"] == pytest.approx(told.free, rel=0.2)
    assert disk["available_bytes"] <= disk["free_bytes"] <= disk["total_bytes"]
    assert os.path.ismount(disk["mountpoint"]) and str(tmp_path.resolve()).startswith(disk["mountpoint"])
    df = subprocess.run(["df", "-P", str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert disk["used_percent"] == pytest.approx(float(df.split("%")[0].split()[-1]), abs=2)


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="a second file system is needed")
def test_another_device_is_another_disk(tmp_path: Path) -> None:
    found = read(str(tmp_path), None, {"fast": "/dev/shm", "gone": str(tmp_path / "gone")})
    data, fast = found["disks"]
    assert (data["data"], data["wal"], data["tablespaces"]) == (True, False, [])
    assert (fast["data"], fast["wal"], fast["tablespaces"], fast["mountpoint"]) == (False, False, ["fast"], "/dev/shm")
    assert fast["total_bytes"] == shutil.disk_usage("/dev/shm").total
    assert found["unread"] == ["gone"]


def test_a_full_disk_and_one_without_inodes() -> None:
    sizes = {"full": (1000, 100, 0, 50, 50, 40), "odd": (1000, 1000, 1000, 0, 0, 0), "none": (0, 0, 0, 0, 0, 0)}

    def statvfs(path: str) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, *sizes[kind], 0, 255))

    found = {}
    for kind in sizes:
        [found[kind]] = Onlooker(statvfs).look([("data", "", "/")], None)["disks"]
    assert [found["full"][key] for key in ROOM] == [4096000, 409600, 0]
    assert (found["full"]["used_percent"], found["full"]["inodes_used_percent"]) == (100.0, 0.0)
    assert (found["odd"]["used_percent"], found["odd"]["inodes"], found["odd"]["inodes_used_percent"]) == (
        0,
        None,
        None,
    )
    assert (found["none"]["total_bytes"], found["none"]["used_percent"]) == (0, None)


def test_a_server_here(db: Database) -> None:
    paths = _paths(db)
    found = read(*paths)
    assert (found["server_seen"], found["unread"]) == (True, [])
    [disk] = found["disks"]
    assert (disk["data"], disk["wal"]) == (True, True)


def test_a_server_whose_processes_are_elsewhere(db: Database) -> None:
    """The paths are here, by chance; the process of that number is another."""
    data, wal, tablespaces, _ = _paths(db)
    found = read(data, wal, tablespaces, os.getpid())
    assert (found["server_seen"], found["disks"], found["unread"]) == (False, [], [])
    assert found["cpu_count"] == os.cpu_count()


@linux
def test_a_process_that_does_not_exist() -> None:
    highest = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert read("/", "/", {}, highest + 1)["server_seen"] is False


class Stuck:
    """A file system that does not answer until `release`."""

    def __init__(self) -> None:
        self.asked = 0
        self._answer = threading.Event()
        self.release = self._answer.set

    def __call__(self, path: str) -> os.statvfs_result:
        self.asked += 1
        self._answer.wait()
        return os.statvfs(path)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.release()


def test_a_file_system_that_hangs_is_asked_once_and_holds_nobody_up(stuck: Stuck) -> None:
    onlooker, turns = Onlooker(stuck), []
    ticking = gevent.spawn(lambda: [(turns.append(1), gevent.sleep(0.01)) for _ in range(10)])
    began = time.monotonic()
    first = onlooker.look([("data", "", "/")], None, 0.3)
    assert first == {"server_seen": None, "disks": None, "unread": []}
    assert len(turns) == 10  # others went on
    ticking.join()
    for _ in range(3):
        assert onlooker.look([("data", "", "/")], None, 0.0)["disks"] is None
    assert (stuck.asked, time.monotonic() - began < 60) == (1, True)
    stuck.release()
    [disk] = onlooker.look([("data", "", "/")], None, 20.0)["disks"]
    assert (disk["mountpoint"], stuck.asked) == ("/", 2)


def test_two_servers_at_once_take_turns() -> None:
    onlooker = Onlooker()
    jobs = [gevent.spawn(onlooker.look, [("data", "", "/")], None, 20.0) for _ in range(20)]
    gevent.joinall(jobs)
    assert [job.value["disks"][0]["mountpoint"] for job in jobs] == ["/"] * 20


def test_one_thread_for_all_cycles() -> None:
    threads = set()

    def statvfs(path: str) -> os.statvfs_result:
        threads.add(threading.get_native_id())
        return os.statvfs(path)

    onlooker = Onlooker(statvfs)
    for _ in range(5):
        assert onlooker.look([("data", "", "/")], None, 20.0)["disks"]
        gevent.sleep(0)  # the pool learns that its job is done
    assert len(threads) == 1


def test_a_process_ends_while_a_file_system_hangs() -> None:
    program = (
        "import threading; from pgdoctor_lib.agent.host import Onlooker; never = threading.Event()\n"
        "print(Onlooker(lambda path: never.wait()).look([('data', '', '/')], None, 0.1)['disks'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


def _paths(database: Database) -> tuple[str, str, dict, int]:
    """What the server tells."""
    connection = psycopg2.connect(database.dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query("paths").sql(lambda condition: True))
            [(data, wal, tablespaces, pid)] = cursor.fetchall()
    finally:
        connection.close()
    return data, wal, tablespaces or {}, pid
