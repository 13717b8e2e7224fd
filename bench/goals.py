"""What a cycle of PGDoctor may cost, and whether it costs that."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.cases import CASES
from bench.measure import Cost

US, EXPORTER, QUERIES = "pgdoctor", "postgres_exporter", "postgres_exporter + queries.yaml"
Costs = Mapping[tuple[str, str], Cost]
_FIRST_S = 1
_FLAT_MB = 1  # what memory may grow by with a hundred times the tables
_LINEAR = 1.2  # times ten, where there are ten times as many tables


@dataclass(frozen=True)
class Goal:
    """At most `most` of `unit`. `figure`: out of all that was measured; None where it was not."""

    case: str
    what: str
    most: float
    unit: str
    figure: Callable[[Cost, Costs], float | None]


@dataclass(frozen=True)
class Verdict:
    """A goal, and the figure that was reached."""

    goal: Goal
    figure: float

    @property
    def is_met(self) -> bool:
        return self.figure <= self.goal.most

    def __str__(self) -> str:
        goal, word = self.goal, "Met" if self.is_met else "Missed"
        unit = f" {goal.unit}" if goal.unit else ""
        return f"{word}: {goal.case}: {goal.what} {self.figure:.4g}{unit}, at most {goal.most:g}"


def verdicts(costs: Sequence[Cost]) -> list[Verdict]:
    """Of each goal of the cases that were measured, as far as it can be told."""
    by_name = {(cost.case, cost.agent): cost for cost in costs}
    told = []
    for goal in GOALS:
        cost = by_name.get((goal.case, US))
        figure = goal.figure(cost, by_name) if cost else None
        if figure is not None:
            told.append(Verdict(goal, figure))
    return told


def _memory(case: str, settled_mb: float, more_mb: float) -> Iterator[Goal]:
    yield Goal(case, "RSS settles at", settled_mb, "MB", lambda cost, _: cost.rss_settled_mb)
    yield Goal(
        case,
        "RSS in cycles peaks over that by",
        more_mb,
        "MB",
        lambda cost, _: cost.rss_cycles_peak_mb - cost.rss_settled_mb,
    )


def _statements(case: str, most: float) -> Goal:
    return Goal(case, "statements", most, "", lambda cost, _: cost.statements)


def _wire(case: str, most_kb: float) -> Goal:
    return Goal(case, "on the wire", most_kb, "kB", lambda cost, _: cost.wire_kb)


def _first(case: str) -> Goal:
    what = "first snapshot comes after"
    return Goal(case, what, _FIRST_S, "s", lambda cost, _: cost.first.after_s if cost.first else None)


def _hourly(case: str, most_ms: float) -> Goal:
    what = "backend, the sections of each hour"
    return Goal(case, what, most_ms, "ms", lambda cost, _: cost.first.hourly_ms if cost.first else None)


def _cpu_beside(case: str, agent: str, most: float) -> Goal:
    def figure(cost: Cost, costs: Costs) -> float | None:
        other = costs.get((case, agent))
        return cost.agent_cpu_ms / other.agent_cpu_ms if other and other.agent_cpu_ms else None

    return Goal(case, f"agent CPU, times that of {agent}:", most, "", figure)


def _cpu_a_database(case: str, most_ms: float) -> Goal:
    databases = CASES[case].watched
    return Goal(case, "agent CPU a database", most_ms, "ms", lambda cost, _: cost.agent_cpu_ms / databases)


def _cpu_share(case: str, most: float) -> Goal:
    interval_s = CASES[case].interval_s
    return Goal(case, "agent CPU, of a core", most, "%", lambda cost, _: cost.agent_cpu_ms / 10 / interval_s)


def _grown(case: str, smaller: str) -> Goal:
    def figure(cost: Cost, costs: Costs) -> float | None:
        other = costs.get((smaller, US))
        return cost.rss_settled_mb - other.rss_settled_mb if other else None

    return Goal(case, f"RSS settles over that of {smaller} by", _FLAT_MB, "MB", figure)


def _linear(case: str, smaller: str) -> Goal:
    times = CASES[case].tables / CASES[smaller].tables

    def figure(cost: Cost, costs: Costs) -> float | None:
        other = costs.get((smaller, US))
        return cost.backend_cpu_ms / other.backend_cpu_ms if other else None

    return Goal(case, f"backend CPU, times that of {smaller}:", times * _LINEAR, "", figure)


GOALS: tuple[Goal, ...] = (
    *_memory("one", 42, 4),
    _cpu_beside("one", EXPORTER, 0.75),
    _statements("one", 6),
    _wire("one", 8),
    _first("one"),
    *_memory("hundred", 44, 5),
    _cpu_a_database("hundred", 2.2),
    _statements("hundred", 2 * CASES["hundred"].watched + 10),
    _wire("hundred", 1.5 * CASES["hundred"].watched),
    *_memory("tables", 44, 5),
    _cpu_beside("tables", QUERIES, 0.02),
    _statements("tables", 8),
    _wire("tables", 200),
    Goal("tables", "backend CPU", 100, "ms", lambda cost, _: cost.backend_cpu_ms),
    _hourly("tables", 1000),
    _first("tables"),
    *_memory("texts", 44, 5),
    _wire("texts", 20),
    _first("texts"),
    _first("tables_1k"),
    _grown("tables", "tables_1k"),
    _linear("tables", "tables_1k"),
    _first("tables_100k"),
    _grown("tables_100k", "tables_1k"),
    _linear("tables_100k", "tables"),
    *_memory("servers", 70, 10),
    _cpu_share("servers", 10),
)
