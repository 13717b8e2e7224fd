"""The benchmark runs, on cases that are small; what it says of the goals."""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import bench.__main__ as program
from bench import goals
from bench.cases import CASES, Case, _statement, made
from bench.goals import EXPORTER, US, Goal, verdicts
from bench.measure import Cost, First
from bench.report import as_text
from tests.postgres.fetch import installed

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(case, *arguments)`: the benchmark on that case and the newest server, whose one goal cannot be reached.

    Its exit status, and its JSON.
    """

    def benchmark(case: Case, *arguments: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setitem(CASES, case.name, case)
        unreachable = Goal(case.name, "statements", 0, "", lambda cost, _: cost.statements)
        monkeypatch.setattr(goals, "GOALS", (unreachable,))
        monkeypatch.setattr(program, "find_exporter", lambda: None)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        options = ["--cases", case.name, "--major", str(max(installed())), "--json", *arguments]
        monkeypatch.setattr(sys, "argv", ["bench", *options])
        status = program.main()
        return status, json.loads(capsys.readouterr().out)

    return benchmark


@pytest.fixture
def cost() -> Cost:
    """Of the case `one`, within all its goals."""
    return Cost(
        case="one",
        agent=US,
        cycles=1,
        agent_cpu_ms=6.0,
        backend_cpu_ms=1.0,
        statements=4.0,
        wire_kb=8.0,
        rss_peak_mb=50.0,
        rss_cycles_peak_mb=46.0,
        rss_settled_mb=42.0,
        sessions_held=1,
        first=First(0.9, 500.0, 50.0),
        whole=True,
        troubles=[],
    )


@linux
def test_one_database_is_measured(run: Run) -> None:
    status, told = run(Case("tiny", "tiny", tables=2, statements=3, interval_s=1, cycles=1))
    [cost] = told["costs"]
    assert cost["sessions_held"] == 1
    assert cost["statements"] >= 1
    assert cost["wire_kb"] > 1
    assert cost["agent_cpu_ms"] > 0
    assert cost["backend_cpu_ms"] > 0
    assert 20 < cost["rss_settled_mb"] <= cost["rss_cycles_peak_mb"] <= cost["rss_peak_mb"]
    assert cost["first"]["after_s"] > 0
    assert cost["first"]["backend_ms"] > cost["first"]["hourly_ms"] > 0
    assert cost["troubles"] == []
    assert [goal["met"] for goal in told["goals"]] == [False]
    assert status == 0


@linux
def test_databases_of_several_servers_are_discovered_and_measured(run: Run) -> None:
    case = Case("tiny", "tiny", servers=2, databases=2, tables=2, statements=3, interval_s=2, cycles=1, discovers=True)
    status, told = run(case, "--strict")
    [cost] = told["costs"]
    assert cost["sessions_held"] == case.watched == 4
    assert cost["first"] is None
    assert status == 1


def test_long_statements_are_kept_apart_and_whole() -> None:
    case = replace(CASES["texts"], statements=50, tables=1)
    with made(case, max(installed())) as place:
        kept = "SELECT length(query) FROM pg_stat_statements WHERE query LIKE '%wide_table'"
        lengths = place.servers[0].sql(kept, dbname=place.names[0])
    assert len(lengths) == case.statements
    assert min(lengths)[0] >= 9_900


def test_each_long_statement_is_an_entry_of_its_own() -> None:
    case = CASES["texts"]
    columns = {
        tuple(item.split()[0] for item in _statement(number, case.text_bytes).removeprefix("SELECT ").split(", "))
        for number in range(1, case.statements + 1)
    }
    assert len(columns) == case.statements


def test_goals_are_met_at_their_border(cost: Cost) -> None:
    exporter = replace(cost, agent=EXPORTER, agent_cpu_ms=8.0)
    told = verdicts([cost, exporter])
    assert len(told) == 6
    assert all(verdict.is_met for verdict in told)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"rss_settled_mb": 42.5}, "Missed: one: RSS settles at 42.5 MB, at most 42"),
        ({"rss_cycles_peak_mb": 46.5}, "Missed: one: RSS in cycles peaks over that by 4.5 MB, at most 4"),
        ({"statements": 7.0}, "Missed: one: statements 7, at most 6"),
        ({"wire_kb": 9.0}, "Missed: one: on the wire 9 kB, at most 8"),
        ({"agent_cpu_ms": 8.0}, "Missed: one: agent CPU, times that of postgres_exporter: 1, at most 0.75"),
        ({"first": First(1.5, 1.0, 1.0)}, "Missed: one: first snapshot comes after 1.5 s, at most 1"),
    ],
)
def test_a_missed_goal_is_told(cost: Cost, change: dict[str, Any], line: str) -> None:
    costs = [replace(cost, **change), replace(cost, agent=EXPORTER, agent_cpu_ms=8.0)]
    assert [each for each in as_text({}, costs).splitlines() if each.startswith("Missed")] == [line]


def test_figures_of_cycles_that_failed_are_not_to_be_trusted(cost: Cost) -> None:
    assert "Not to be trusted" not in as_text({}, [cost])
    told = as_text({}, [replace(cost, troubles=["collection failed: connection refused"]), replace(cost, whole=False)])
    assert "failed 1 times: collection failed: connection refused" in told
    assert "did not keep up" in told


def test_what_was_not_measured_is_not_judged(cost: Cost) -> None:
    assert not [verdict for verdict in verdicts([cost]) if "exporter" in str(verdict)]
    assert not [verdict for verdict in verdicts([replace(cost, case="tables_100k")]) if "tables" in verdict.goal.what]


def test_more_tables_may_not_cost_more_than_their_number(cost: Cost) -> None:
    few, many = replace(cost, case="tables"), replace(cost, case="tables_100k", backend_cpu_ms=12.5)
    [linear] = [verdict for verdict in verdicts([few, many]) if verdict.goal.what.startswith("backend CPU, times")]
    assert not linear.is_met
