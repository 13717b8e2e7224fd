"""`python -m bench`: what a cycle costs, in about five minutes. Exit status 1 where an agent is not well.

With --strict also where a goal is missed.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from bench import report
from bench.agents import daemon, exporter, find_exporter
from bench.cases import CASES, Place, made
from bench.measure import Agent, Cost, measure
from tests.postgres.fetch import installed
from tests.postgres.server import sweep

_STARTED = time.monotonic()


def main() -> int:
    """Measure and print."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sweep()
    theirs = find_exporter()
    if theirs is None:
        _say("postgres_exporter can't be had here (Debian's package, by apt-get): PGDoctor alone is measured")
    where = report.machine()
    costs: list[Cost] = []
    is_well = True
    for name in options.cases:
        case = CASES[name]
        _say(f"{case.title}: making it")
        with made(case, options.major) as place:
            where["PostgreSQL"] = place.servers[0].sql("SHOW server_version")[0][0]
            try:
                costs += _measured(place, theirs, options.cycles or case.cycles)
            except RuntimeError as error:  # said now: to remove a thousand databases takes minutes
                _say(f"{case.title}: {error}")
                is_well = False
    print(report.as_json(where, costs) if options.json else report.as_text(where, costs))
    return 0 if is_well and not (options.strict and report.missed(costs)) else 1


def _measured(place: Place, theirs: tuple[Path, Path] | None, cycles: int) -> Iterator[Cost]:
    """One agent after the other, PGDoctor first."""
    agents: list[AbstractContextManager[Agent]] = [daemon(place)]
    if theirs and place.case.beside:
        program, queries = theirs
        agents.append(exporter(place, program))
        if place.case.beside == "queries" and queries.exists():
            agents.append(exporter(place, program, queries))
    for agent in agents:
        with agent as running:
            _say(f"{place.case.title}: {running.name}")
            yield measure(place, running, cycles)


def _options() -> argparse.Namespace:
    majors = sorted(installed())
    if not majors:
        sys.exit("bench: no PostgreSQL server found; tests/postgres/fetch.py fetches them")
    major = 15 if 15 in majors else majors[-1]
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a cycle costs.")
    usual = [name for name, case in CASES.items() if not case.is_long]
    which = f"of {','.join(CASES)} (default: {','.join(usual)})"
    parser.add_argument("--cases", type=_cases, default=usual, metavar="A,B", help=which)
    parser.add_argument("--cycles", type=int, metavar="N", help="measured cycles (default: the case's own number)")
    parser.add_argument("--major", type=int, choices=majors, default=major, help=f"of PostgreSQL (default: {major})")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--strict", action="store_true", help="exit status 1 where a goal is missed")
    return parser.parse_args()


def _cases(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(CASES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return text.split(",")


def _say(text: str) -> None:
    print(f"bench: {time.monotonic() - _STARTED:3.0f} s: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
