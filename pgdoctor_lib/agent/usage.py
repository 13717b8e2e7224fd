"""What this process itself takes, for the snapshot: 0.1 to 0.3 ms to tell.

| key | what |
|---|---|
| `rss_bytes`, `max_rss_bytes` | memory that it holds now (Linux, else `null`), and at most since its start |
| `cpu_s` | processor time since its start, user and system |
| `open_files` | open descriptors; `null` where that cannot be told |
| `uptime_s` | seconds since its start |
"""

import os
import resource
import sys
import time
from functools import lru_cache

from pgdoctor_lib.agent.proc import sizes

Usage = dict[str, int | float | None]
_BEGAN = time.monotonic()


def usage() -> Usage:
    """The figures of now."""
    rss, most = _memory()
    return {
        "rss_bytes": rss,
        "max_rss_bytes": most,
        "cpu_s": round(time.process_time(), 3),
        "open_files": _open_files(),
        "uptime_s": round(time.monotonic() - _BEGAN, 1),
    }


def lately() -> Usage:
    """The same for all who ask within the same half second: with a hundred databases they are many."""
    return _in(int(time.monotonic() * 2))


@lru_cache(1)
def _in(_half_second: int) -> Usage:
    return usage()


def _memory() -> tuple[int | None, int]:
    """Not getrusage() where there is /proc: its maximum counts what the process was before exec()."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    told = sizes("/proc/self/status")
    return told.get("VmRSS"), told.get("VmHWM", most)


def _open_files() -> int | None:
    """By the folder's size, which Linux tells from 6.2 on: to list a thousand descriptors takes 1 ms."""
    for count in (_folder_size, _listed):
        try:
            if number := count():
                return number
        except OSError:
            continue
    return None


def _folder_size() -> int:
    return os.stat("/proc/self/fd").st_size if sys.platform == "linux" else 0


def _listed() -> int:
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return len(os.listdir(folder)) - 1  # the one that lists is open, too
