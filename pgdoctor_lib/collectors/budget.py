"""What collecting may cost the server: over it, the dear sections are asked for less often, by themselves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pgdoctor_lib.collectors.recorder import NAME as RECORDER
from pgdoctor_lib.collectors.registry import CADENCES_S, PLANNING, query
from pgdoctor_lib.collectors.top_queries import NAME as TOP_QUERIES
from pgdoctor_lib.snapshot import CollectorError, Cost
from pgdoctor_lib.units import format_duration

_NEW = 0.3  # the weight of the latest cost in the average
_FIXED = (TOP_QUERIES, PLANNING, RECORDER)  # not to be left out
_FLOOR = 0.5  # the share of the allowance that is for the rest, whatever these cost
_MOST_S = {"activity": 30.0, "locks": 30.0, "server": 30.0}  # what tells of an incident is never asked for less often
_MOST_ELSE_S = 300.0  # nor is anything else
_LEARN = 4  # cycles to watch before anything is changed; the first is left out: it plans, and its caches are cold


@dataclass
class Allowance:
    """`share`: of a server's time, as a fraction of it. It may change."""

    share: float = 1.0


class Budget:
    """One database's part of it. `interval_s`: from one cycle to the next; `sharers()`: databases of the server.

    `every_nth`: the sections that are asked for in each nth cycle only.
    """

    def __init__(self, allowance: Allowance, interval_s: float, sharers: Callable[[], int] = lambda: 1) -> None:
        self._allowance, self._interval_s, self._sharers = allowance, interval_s, sharers
        self._averages_ms: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._cycles = 0
        self.every_nth: dict[str, int] = {}

    def spent(self, costs: Mapping[str, Cost]) -> None:
        """A cycle cost so much."""
        self._cycles += 1
        if self._cycles == 1:
            return
        for name, cost in costs.items():
            if name in _FIXED or not CADENCES_S[query(name).meta.get("cadence", "cycle")]:
                self._average(name, cost.ms)
        if self._cycles >= _LEARN:
            self._forget()
            self._adapt()

    def _average(self, name: str, ms: float) -> None:
        """What it costs now counts for the cycles that left it out, too: else one bad moment would rule for long."""
        before = self._averages_ms.get(name, ms)
        weight = 1 - (1 - _NEW) ** self.every_nth.get(name, 1)
        self._averages_ms[name] = before + weight * (ms - before)
        self._seen[name] = self._cycles

    def _forget(self) -> None:
        """What is not asked for any more: another database tells of the server, or the server's role has changed."""
        for name, seen in list(self._seen.items()):
            if self._cycles - seen > 2 * self.every_nth.get(name, 1):
                del self._seen[name], self._averages_ms[name]

    @property
    def error(self) -> CollectorError | None:
        """What the snapshots lack for its sake."""
        if not self.every_nth:
            return None
        paces = sorted((nth * self._interval_s, name) for name, nth in self.every_nth.items())
        names = ", ".join(f"{name} (every {format_duration(pace_s)})" for pace_s, name in paces)
        every = format_duration(self._interval_s)
        text = f"collecting every {every} costs more than {self._allowance.share * 100:.4g} % of the server's time"
        return CollectorError(
            "budget", f"{text}; asked for less often: {names}", "raise interval, or budget", is_listing=True
        )

    def _adapt(self) -> None:
        sections = {name: ms for name, ms in self._averages_ms.items() if name not in _FIXED}
        fixed_ms = sum(self._averages_ms.get(name, 0.0) for name in _FIXED)
        whole_ms = self._allowance.share * self._interval_s * 1000 / max(1, self._sharers())
        allowance_ms = max(whole_ms - fixed_ms, whole_ms * _FLOOR)
        now_ms = sum(ms / self.every_nth.get(name, 1) for name, ms in sections.items())
        if now_ms > allowance_ms or sum(sections.values()) < allowance_ms / 2:
            self.every_nth = stretched(sections, allowance_ms, self._interval_s)


def stretched(costs_ms: Mapping[str, float], allowance_ms: float, interval_s: float) -> dict[str, int]:
    """In which nth cycle each section is to be asked for, so that a cycle costs `allowance_ms` on average.

    The cheap ones go on in each cycle, up to half of the allowance, first those that tell of an incident; the dear
    ones share what is left, as far as they may be put off. Those that are not named here are asked for in each.
    """
    if sum(costs_ms.values()) <= allowance_ms:
        return {}
    spent, dear = 0.0, []
    for name, cost_ms in sorted(costs_ms.items(), key=lambda item: (item[0] not in _MOST_S, item[1])):
        if spent + cost_ms <= allowance_ms / 2:
            spent += cost_ms
        else:
            dear.append(name)
    factor = math.ceil(sum(costs_ms[name] for name in dear) / (allowance_ms - spent))
    every_nth = {name: min(factor, int(_MOST_S.get(name, _MOST_ELSE_S) / interval_s)) for name in dear}
    return {name: nth for name, nth in every_nth.items() if nth > 1}
