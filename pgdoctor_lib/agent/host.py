"""The agent's own machine, told with the servers that run on it: load, memory, and room where their files lie.

| key | what |
|---|---|
| `server_seen` | whether the server's checkpointer is among this machine's processes. `false`: the server is behind a \
container, a tunnel or a pooler, and may be on another machine; `null`: it cannot be told |
| `load_1m`, `load_5m`, `load_15m`, `cpu_count` | load averages, and processors |
| `memory_bytes`, `memory_available_bytes`, `swap_bytes`, `swap_free_bytes` | all memory, what programs can still get \
of it, and swap; all but the first on Linux, else `null` |
| `uptime_s` | seconds since the machine started (Linux, else `null`) |
| `disks` | a device each, those of the data directory first; empty where `server_seen` is `false` or the paths are \
not here; `null` while a file system does not answer |
| `unread` | of `data`, `wal` and the tablespaces' names: those whose folders the agent may not reach, or that are not \
here |

| of `disks` | what |
|---|---|
| `mountpoint` | where the device is mounted |
| `data`, `wal`, `tablespaces` | whether it holds the data directory and the WAL, and which tablespaces |
| `total_bytes`, `free_bytes`, `available_bytes` | room, what is free, and what is free for others than root |
| `used_percent` | of what others than root can have, as `df` counts |
| `inodes`, `inodes_free`, `inodes_used_percent` | the same of files; `null` for a file system that has no such limit |

A file system on a dead server holds whoever asks for it, for ever: a thread of its own asks, one at a time, and while
it is held nobody asks again.
"""

import _socket
import functools
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Mapping

from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from pgdoctor_lib.agent.proc import sizes
from pgdoctor_lib.config.dsn import Host

Figures = dict[str, object]
DEADLINE_S = 2.0
_MEMORY = {
    "memory_bytes": "MemTotal",
    "memory_available_bytes": "MemAvailable",
    "swap_bytes": "SwapTotal",
    "swap_free_bytes": "SwapFree",
}


def is_local(host: Host) -> bool:
    """Whether that is on this machine, as far as its name or address tells: no name is looked up.

    What is told of it is proven by `read`: behind 127.0.0.1 there may be a tunnel.
    """
    if host.is_socket:
        return True
    try:
        return _is_own(ipaddress.ip_address(host.hostaddr or host.host))
    except ValueError:
        name, own = host.host.rstrip(".").casefold(), socket.gethostname().casefold()
        return name in ("localhost", own, own.partition(".")[0]) or name.endswith(".localhost")


def read(
    data_directory: str | None,
    wal_directory: str | None,
    tablespaces: Mapping[str, str] | None = None,
    checkpointer_pid: int | None = None,
) -> Figures:
    """The machine's figures, and the disks under these paths, which the server told (`paths.sql`).

    `tablespaces`: name → location. It takes `DEADLINE_S` at most, and usually well under a millisecond.
    """
    paths = {"data": data_directory, "wal": wal_directory}
    places = [(kind, "", path) for kind, path in paths.items() if path]
    places += [("tablespace", name, path) for name, path in (tablespaces or {}).items()]
    load = os.getloadavg()
    return {
        "load_1m": round(load[0], 2),
        "load_5m": round(load[1], 2),
        "load_15m": round(load[2], 2),
        "cpu_count": os.cpu_count(),
        **_memory(),
        "uptime_s": round(time.clock_gettime(time.CLOCK_BOOTTIME)) if hasattr(time, "CLOCK_BOOTTIME") else None,
        **_onlooker().look(places, checkpointer_pid),
    }


Place = tuple[str, str, str]  # "data", "wal" or "tablespace", its name, its path


class Onlooker:
    """Asks file systems in a thread. `statvfs`: how one is asked."""

    def __init__(self, statvfs: Callable[[str], os.statvfs_result] = os.statvfs) -> None:
        self._statvfs = statvfs
        self._pool: ThreadPool | None = None
        self._job: AsyncResult[Figures] | None = None

    def look(self, places: list[Place], pid: int | None, deadline_s: float = DEADLINE_S) -> Figures:
        """`server_seen`, `disks` and `unread`."""
        until = time.monotonic() + deadline_s
        held: Figures = {"server_seen": None, "disks": None, "unread": []}
        while self._job and not self._job.ready():  # another server's, or one that hangs
            self._job.wait(max(0.0, until - time.monotonic()))
            if time.monotonic() >= until:
                return held
        try:
            if self._pool is None:  # one that has nothing to do is false
                self._pool = ThreadPool(1)
            self._job = job = self._pool.spawn(self._look, places, pid)
        except RuntimeError:  # no thread can be started
            return held
        job.wait(max(0.0, until - time.monotonic()))
        return (job.get() if job.ready() else None) or held

    def _look(self, places: list[Place], pid: int | None) -> Figures:
        seen = _is_here(pid)
        disks: dict[int, Figures] = {}
        unread = []
        for kind, name, path in places if seen is not False else ():
            try:
                self._add(disks, kind, name, os.path.realpath(path))
            except OSError:
                unread.append(name or kind)
        return {"server_seen": seen, "disks": list(disks.values()), "unread": unread}

    def _add(self, disks: dict[int, Figures], kind: str, name: str, path: str) -> None:
        device = os.stat(path).st_dev
        if device not in disks:
            mark = {"mountpoint": _mountpoint(path, device), "data": False, "wal": False, "tablespaces": []}
            disks[device] = {**mark, **_room(self._statvfs(path))}
        names = disks[device]["tablespaces"]
        if kind == "tablespace" and isinstance(names, list):
            names.append(name)
        else:
            disks[device][kind] = True


@functools.cache
def _onlooker() -> Onlooker:
    return Onlooker()


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """An address of this machine is reached from that address itself; nothing is sent."""
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        probe = _socket.socket(family, socket.SOCK_DGRAM)  # of the plain kind: gevent's would look the address up
    except OSError:
        return False
    try:
        probe.connect((str(address), 9))
        return ipaddress.ip_address(probe.getsockname()[0]) == address
    except (OSError, ValueError):
        return False
    finally:
        probe.close()


def _is_here(pid: int | None) -> bool | None:
    """Whether the process `pid` of this machine is a checkpointer; None where processes are hidden, or not in /proc."""
    if pid is None:
        return None
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"checkpointer" in file.read(1024)
    except FileNotFoundError:
        return False if os.path.isdir("/proc/1") else None
    except OSError:
        return None


def _mountpoint(path: str, device: int) -> str:
    while (above := os.path.dirname(path)) != path and os.stat(above).st_dev == device:
        path = above
    return path


def _room(told: os.statvfs_result) -> Figures:
    inodes = told.f_files or None
    return {
        "total_bytes": told.f_blocks * told.f_frsize,
        "free_bytes": told.f_bfree * told.f_frsize,
        "available_bytes": told.f_bavail * told.f_frsize,
        "used_percent": _used_percent(told.f_blocks, told.f_bfree, told.f_bavail),
        "inodes": inodes,
        "inodes_free": told.f_favail if inodes else None,
        "inodes_used_percent": _used_percent(told.f_files, told.f_ffree, told.f_favail),
    }


def _used_percent(total: int, free: int, available: int) -> float | None:
    used = total - free
    return round(100 * used / (used + available), 1) if used + available else None


def _memory() -> Figures:
    lines = sizes("/proc/meminfo")
    return {key: lines.get(name) for key, name in _MEMORY.items()} if lines else _memory_elsewhere()


def _memory_elsewhere() -> Figures:
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        whole = 0
    return {**dict.fromkeys(_MEMORY), "memory_bytes": whole if whole > 0 else None}
