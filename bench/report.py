"""The figures as a table for people, or as JSON."""

import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cases import CASES
from bench.measure import Cost

MAX_RSS_MB = 50
MAX_STATEMENTS = 8
_COLUMNS: dict[str, Callable[[Cost], float]] = {
    "agent CPU ms": lambda cost: cost.agent_cpu_ms,
    "backend CPU ms": lambda cost: cost.backend_cpu_ms,
    "statements": lambda cost: cost.statements,
    "wire kB": lambda cost: cost.wire_kb,
    "RSS peak MB": lambda cost: cost.rss_peak_mb,
    "RSS settled MB": lambda cost: cost.rss_settled_mb,
    "sessions held": lambda cost: cost.sessions_held,
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
    return json.dumps({"machine": where, "costs": [asdict(cost) for cost in costs], "missed": missed(costs)}, indent=2)


def as_table(where: dict[str, str], costs: Sequence[Cost]) -> str:
    """A block a case; below each of the others' figures, how many times PGDoctor's they are."""
    lines = [", ".join(f"{name} {value}" for name, value in where.items()), "Per cycle:"]
    for name in dict.fromkeys(cost.case for cost in costs):
        block = [cost for cost in costs if cost.case == name]
        lines += ["", _row(f"{CASES[name].title}, {block[0].cycles} cycles", list(_COLUMNS))]
        for cost in block:
            lines.append(_row(cost.agent, [f"{figure(cost):,.1f}" for figure in _COLUMNS.values()]))
            if cost is not block[0]:
                lines.append(
                    _row(
                        "    times PGDoctor's", [_times(figure(cost), figure(block[0])) for figure in _COLUMNS.values()]
                    )
                )
    return "\n".join([*lines, "", *_blurred(costs), *(missed(costs) or ["All goals are met."])])


def missed(costs: Sequence[Cost]) -> list[str]:
    """The goals that PGDoctor missed, a line each."""
    ours = [cost for cost in costs if cost.agent == "pgdoctor"]
    heavy = [
        f"Missed: {cost.case} settles at {cost.rss_settled_mb:.1f} MB, the goal is {MAX_RSS_MB}"
        for cost in ours
        if cost.rss_settled_mb > MAX_RSS_MB
    ]
    chatty = [
        f"Missed: {cost.case} sends {cost.statements:g} statements a cycle, the goal is {MAX_STATEMENTS}"
        for cost in ours
        if cost.case == "one" and cost.statements > MAX_STATEMENTS
    ]
    return heavy + chatty


def _row(name: str, values: Sequence[str]) -> str:
    return f"{name:<58}" + "".join(f"{value:>16}" for value in values)


def _times(theirs: float, ours: float) -> str:
    times = theirs / ours if ours else 0
    return f"{times:.{0 if times >= 10 else 2}f}" if times else ""


def _blurred(costs: Sequence[Cost]) -> list[str]:
    return [
        f"Not to be trusted: {cost.agent} did not keep up in the case {cost.case}; try when the machine is calm"
        for cost in costs
        if not cost.whole
    ]
