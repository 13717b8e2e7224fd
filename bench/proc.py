"""What the kernel tells of a process, by /proc and its clocks."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_HIGHEST = "VmHWM"


def cpu_s(pid: int) -> float:
    """Of all its threads, those that ended included, in nanoseconds' steps (/proc/PID/stat has 10 ms)."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), as the kernel numbers them


def reaped_s(pid: int) -> float:
    """The CPU of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS_A_SECOND


def children(pid: int, title: str) -> list[int]:
    """Its children whose command line has `title` in it."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if title.encode() in Path(f"/proc/{child}/cmdline").read_bytes()]


def resident_mb(pid: int) -> float:
    """The memory that it holds now, in 10^6 bytes."""
    return _memory_mb(pid, "VmRSS")


def highest_mb(pid: int) -> float:
    """The most that it held since its start, or since `forget_highest`, in 10^6 bytes."""
    return _memory_mb(pid, _HIGHEST)


def forget_highest(pid: int) -> None:
    """From now on `highest_mb` counts anew. Where the kernel refuses, it goes on counting from the start."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory_mb(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found, f"no {name}: is {pid} alive?"
    return int(found[1]) * 1024 / 1e6
