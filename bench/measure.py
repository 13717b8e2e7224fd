"""What the kernel and the servers counted over some cycles."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bench import proc
from bench.cases import ROLE, Place
from pgdoctor_lib.agent.diagnosis import LEDGER as CHECKS
from pgdoctor_lib.collectors.recorder import NAME as RECORDER
from pgdoctor_lib.collectors.registry import CADENCES_S, PLANNING, query
from tests.postgres.server import Server

WARM_UP = 4  # the first two ask for everything, the third plans in the session that is kept, the next is as all others
_CALLS = f"SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements(false) WHERE userid = '{ROLE}'::regrole"


@dataclass(frozen=True)
class First:
    """The first snapshot: seconds from the process' start to its arrival.

    Milliseconds of the server's time for all sections, each when it was first asked for, and for those that are asked
    for hourly, or less often.
    """

    after_s: float
    backend_ms: float
    hourly_ms: float


def first(after_s: float, sections_ms: dict[str, float]) -> First:
    """Of what each section took."""
    of_server = {name: ms for name, ms in sections_ms.items() if name != CHECKS}
    of_files = of_server.keys() - {RECORDER, PLANNING}
    hourly = [name for name in of_files if _every_s(name) >= CADENCES_S["hourly"]]
    return First(after_s, sum(of_server.values()), sum(sections_ms[name] for name in hourly))


class Agent(Protocol):
    """One that watches a `Place`, as a process of its own. `start_peak_mb`: the most that it held before any cycle."""

    name: str
    pid: int
    start_peak_mb: float

    def cycles(self, number: int) -> int:
        """Wait until so many further cycles are over; the bytes that they put on the wire."""

    def first(self) -> First | None:
        """Its first snapshot, once a cycle is over; None where it has no such thing, or several databases."""

    def troubles(self) -> list[str]:
        """The lines in which it told so far that something failed: on a busy machine a few may."""


@dataclass(frozen=True)
class Cost:
    """What one cycle of the agent costs.

    MB are 10^6 bytes, kB 10^3. `settled`: after the last cycle; `peak`: since the process' start; `cycles_peak`: the
    same without what came before the first cycle. `whole`: the agent kept up with the case's interval, and was at rest
    when the counters were read; otherwise cycles are counted that were not whole. `troubles`: what it told to fail.
    """

    case: str
    agent: str
    cycles: int
    agent_cpu_ms: float
    backend_cpu_ms: float
    statements: float
    wire_kb: float
    rss_peak_mb: float
    rss_cycles_peak_mb: float
    rss_settled_mb: float
    sessions_held: int
    first: First | None
    whole: bool
    troubles: list[str]


def measure(place: Place, agent: Agent, cycles: int) -> Cost:
    """Let it warm up, then count over `cycles`."""
    with _asking(place) as cursors:
        agent.cycles(WARM_UP)
        before = _Reading(place, agent, cursors)
        wire = agent.cycles(cycles)
        after = _Reading(place, agent, cursors)
    cycles_peak_mb = proc.highest_mb(agent.pid)
    return Cost(
        case=place.case.name,
        agent=agent.name,
        cycles=cycles,
        agent_cpu_ms=(after.agent_s - before.agent_s) * 1000 / cycles,
        backend_cpu_ms=(after.backends_s - before.backends_s) * 1000 / cycles,
        statements=(after.statements - before.statements) / cycles,
        wire_kb=wire / 1000 / cycles,
        rss_peak_mb=max(agent.start_peak_mb, cycles_peak_mb),
        rss_cycles_peak_mb=cycles_peak_mb,
        rss_settled_mb=after.settled_mb,
        sessions_held=after.held,
        first=agent.first(),
        whole=after.at_s - before.at_s < (cycles + 0.5) * place.case.interval_s and after.held == before.held,
        troubles=agent.troubles(),
    )


@contextmanager
def _asking(place: Place) -> Iterator[list[Any]]:
    """A session a server for our own questions.

    Were it to end between two readings, the postmaster would count its CPU with the others.
    """
    connections = [server.connect(place.names[0]) for server in place.servers]
    try:
        yield [connection.cursor() for connection in connections]
    finally:
        for connection in connections:
            connection.close()


class _Reading:
    """The counters now."""

    def __init__(self, place: Place, agent: Agent, cursors: list[Any]) -> None:
        self.statements = 0
        for cursor in cursors:
            cursor.execute(_CALLS)
            self.statements += int(cursor.fetchone()[0])
        self.at_s = time.monotonic()
        self.agent_s = proc.cpu_s(agent.pid)
        self.settled_mb = proc.resident_mb(agent.pid)
        postmasters = [_postmaster(server) for server in place.servers]
        backends = [child for each in postmasters for child in proc.children(each, f"postgres: {ROLE} ")]
        self.held = len(backends)
        self.backends_s = sum(map(proc.reaped_s, postmasters)) + sum(map(proc.cpu_s, backends))


def _postmaster(server: Server) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def _every_s(section: str) -> float:
    return CADENCES_S[query(section).meta.get("cadence", "cycle")]
