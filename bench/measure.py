"""What the kernel and the server counted over some cycles."""

import os
import re
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.cases import ROLE, Place

WARM_UP = 2
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_CALLS = f"SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE userid = '{ROLE}'::regrole"


class Agent(Protocol):
    """One that watches a `Place`, as a process of its own."""

    name: str
    pid: int

    def cycles(self, number: int) -> int:
        """Wait until so many further cycles are over; the bytes that they put on the wire."""


@dataclass(frozen=True)
class Cost:
    """What one cycle of the agent costs.

    MB are 10^6 bytes, kB 10^3. `settled`: after the last cycle. `whole`: the agent kept up with the case's interval,
    and was at rest when the counters were read; otherwise cycles are counted that were not whole.
    """

    case: str
    agent: str
    cycles: int
    agent_cpu_ms: float
    backend_cpu_ms: float
    statements: float
    wire_kb: float
    rss_peak_mb: float
    rss_settled_mb: float
    sessions_held: int
    whole: bool


def measure(place: Place, agent: Agent, cycles: int) -> Cost:
    """Let it warm up, then count over `cycles`."""
    # One session for our own questions: were it to end meanwhile, the postmaster would count its CPU with the others.
    with closing(place.server.connect(place.names[0])) as connection, connection.cursor() as cursor:
        agent.cycles(WARM_UP)
        before = _Reading(place, agent, cursor)
        wire = agent.cycles(cycles)
        after = _Reading(place, agent, cursor)
        return Cost(
            case=place.case.name,
            agent=agent.name,
            cycles=cycles,
            agent_cpu_ms=(after.agent_s - before.agent_s) * 1000 / cycles,
            backend_cpu_ms=(after.backends_s - before.backends_s) * 1000 / cycles,
            statements=(after.statements - before.statements) / cycles,
            wire_kb=wire / 1000 / cycles,
            rss_peak_mb=_memory_mb(agent.pid, "VmHWM"),
            rss_settled_mb=_memory_mb(agent.pid, "VmRSS"),
            sessions_held=after.held,
            whole=after.at_s - before.at_s < (cycles + 0.5) * place.case.interval_s and after.held == before.held,
        )


class _Reading:
    """The counters now."""

    def __init__(self, place: Place, agent: Agent, cursor: Any) -> None:
        cursor.execute(_CALLS)
        self.at_s = time.monotonic()
        self.statements = int(cursor.fetchone()[0])
        self.agent_s = _cpu_s(agent.pid)
        backends = _backends(place)
        self.held = len(backends)
        self.backends_s = _reaped_s(_postmaster(place)) + sum(map(_cpu_s, backends))


def _cpu_s(pid: int) -> float:
    """Of all its threads, those that ended included, in nanoseconds' steps (/proc/PID/stat has 10 ms)."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), as the kernel numbers them


def _reaped_s(postmaster: int) -> float:
    """The CPU of the backends that have ended: they are the postmaster's children."""
    fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS_A_SECOND


def _postmaster(place: Place) -> int:
    return int((place.server.data / "postmaster.pid").read_text().split()[0])


def _backends(place: Place) -> list[int]:
    """The process ids of the agent's sessions."""
    postmaster = _postmaster(place)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    title = f"postgres: {ROLE} ".encode()
    return [int(child) for child in children if title in Path(f"/proc/{child}/cmdline").read_bytes()]


def _memory_mb(pid: int, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found, f"no {name}: is {pid} alive?"
    return int(found[1]) * 1024 / 1e6
