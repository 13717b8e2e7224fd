"""The figures as tables for people, or as JSON."""

import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cases import CASES
from bench.goals import Verdict, verdicts
from bench.measure import Cost

_FIGURES: dict[str, Callable[[Cost], float | None]] = {
    "agent CPU ms": lambda cost: cost.agent_cpu_ms,
    "backend CPU ms": lambda cost: cost.backend_cpu_ms,
    "statements": lambda cost: cost.statements,
    "wire kB": lambda cost: cost.wire_kb,
    "RSS settled MB": lambda cost: cost.rss_settled_mb,
    "RSS peak in cycles MB": lambda cost: cost.rss_cycles_peak_mb,
    "RSS peak since start MB": lambda cost: cost.rss_peak_mb,
    "sessions held": lambda cost: cost.sessions_held,
    "first snapshot after s": lambda cost: cost.first.after_s if cost.first else None,
    "every section once, backend ms": lambda cost: cost.first.backend_ms if cost.first else None,
    "  of it hourly sections": lambda cost: cost.first.hourly_ms if cost.first else None,
}


def machine() -> dict[str, str]:
    """Where this was measured."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    return {
        "cores": f"{os.cpu_count()} ({model[1] if model else platform.machine()})",
        "Linux": platform.release(),
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def as_json(where: dict[str, str], costs: Sequence[Cost]) -> str:
    """Everything, unrounded."""
    told = [
        {"case": each.goal.case, "goal": each.goal.what, "most": each.goal.most, "unit": each.goal.unit}
        | {"figure": each.figure, "met": each.is_met}
        for each in verdicts(costs)
    ]
    return json.dumps({"machine": where, "costs": [asdict(cost) for cost in costs], "goals": told}, indent=2)


def as_text(where: dict[str, str], costs: Sequence[Cost]) -> str:
    """A table a case, an agent a column (in brackets how many times PGDoctor's figure it is), then the goals."""
    lines = [", ".join(f"{name} {value}" for name, value in where.items()), "Per cycle:"]
    for name in dict.fromkeys(cost.case for cost in costs):
        lines += ["", *_table([cost for cost in costs if cost.case == name])]
    told = sorted(verdicts(costs), key=lambda verdict: not verdict.is_met)
    return "\n".join([*lines, "", *_blurred(costs), *map(str, told)])


def missed(costs: Sequence[Cost]) -> list[Verdict]:
    """The goals that PGDoctor missed."""
    return [verdict for verdict in verdicts(costs) if not verdict.is_met]


def _table(costs: Sequence[Cost]) -> list[str]:
    first = costs[0]
    lines = [_row(f"{CASES[first.case].title}, {first.cycles} cycles", [cost.agent for cost in costs])]
    for name, figure in _FIGURES.items():
        cells = [_cell(figure(cost), None if cost is first else figure(first)) for cost in costs]
        if any(cells):
            lines.append(_row(name, cells))
    return lines


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<64}" + "".join(f"{cell:>34}" for cell in cells)


def _cell(figure: float | None, ours: float | None) -> str:
    if figure is None:
        return ""
    return f"({_times(figure / ours)}) {figure:,.1f}" if ours else f"{figure:,.1f}"


def _times(times: float) -> str:
    return f"{times:.{0 if times >= 10 else 2}f}"


def _blurred(costs: Sequence[Cost]) -> list[str]:
    """What makes figures doubtful, a line each."""
    lines = []
    for cost in costs:
        name = f"Not to be trusted: {cost.agent} in the case {cost.case}"
        if not cost.whole:
            lines.append(f"{name} did not keep up; try when the machine is calm")
        if cost.troubles:
            lines.append(f"{name} failed {len(cost.troubles)} times: {cost.troubles[0]}")
    return lines
