"""A day without the endpoint, at 100 databases and 60 s: nothing grows, nothing storms, and all of it comes back."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pgdoctor_lib.agent.way import MAX_AT_ONCE
from tests.fix_endpoint import Answer, Endpoint, Request

ROOT = Path(__file__).parents[2]
STEP_S = 0.6  # 100 databases, each every 60 s
MIB = 1024**2


class Counting(Endpoint):
    """Keeps no bodies; knows how many requests were at work at once, while it was down and afterwards."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.at_work = self.most_at_once = 0
        self.takes_s = 0.02
        super().__init__()

    def take(self, request: Request) -> Answer:
        """As a real one it takes its time to answer."""
        with self._lock:
            self.at_work += 1
            self.most_at_once = max(self.most_at_once, self.at_work)
            answer = self.default
            self.keys.append(request.headers["Idempotency-Key"])
        time.sleep(self.takes_s)
        with self._lock:
            self.at_work -= 1
        return answer

    def turn(self, answer: Answer) -> list[str]:
        """Answer so from now on; what was asked before."""
        with self._lock:
            before, self.keys, self.default, self.most_at_once = self.keys, [], answer, 0
        return before


@pytest.fixture
def counting() -> Iterator[Counting]:
    made = Counting()
    yield made
    made.down()


def test_an_outage_of_a_day(
    counting: Counting, tmp_path: Path, amount: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    count = amount(1500, 144_000)
    max_bytes = amount(4 * MIB, 256 * MIB)
    settings = {"url": counting.url, "path": str(tmp_path / "spool"), "count": count, "step_s": STEP_S}
    settings |= {"max_bytes": max_bytes, "body_bytes": 6000}
    began = time.monotonic()
    told, during, most_fresh, most_probes = play(settings, counting)
    most_after = counting.most_at_once
    taken = counting.turn(Answer())

    outage_s = count * STEP_S
    allowed = 20 * 4 + 6 + outage_s / 45  # cycles that were at it when it began; pauses of 45 to 60 s
    assert len(during) <= allowed
    assert most_fresh == MAX_AT_ONCE, "100 databases at once"
    assert most_probes == 1, "a minute after it began there are but probes"
    assert told["fullest"] <= max_bytes

    failed = told["failed"]
    assert len(failed) >= count, "none went out meanwhile, nor until the first try after it"
    assert told["dropped"] > 0
    assert len(set(taken)) == len(taken), "nothing was sent twice"
    were_late = set(failed)
    late = [key for key in taken if key in were_late]
    left = sorted(failed)[told["dropped"] :]
    assert late[1:] == left[1:], "all that was not given up, oldest first"
    assert late[0] <= left[0], "what is under way is not given up: the next one is in its place"
    assert late == sorted(late)
    assert told["sealed"] == 100 + told["dropped"] + len(taken)
    given_up, lines = told_losses(told["lines"])
    assert given_up == told["dropped"]
    assert lines <= told["now"] / 60 + 2, "once a minute at most"
    assert most_after <= MAX_AT_ONCE

    rss = told["rss"]
    grown = (max(rss) - rss[0]) / MIB
    assert grown < amount(30, 60)
    figure(
        f"An outage of {outage_s / 3600:.1f} h, 100 databases, every 60 s ({count} snapshots)",
        f"memory {rss[0] / MIB:.0f} MB, +{grown:.1f} MB at most; spool {told['fullest'] / MIB:.1f} of "
        f"{max_bytes / MIB:.0f} MiB; {len(during)} requests while it was down; {told['dropped']} given up and counted; "
        f"{len(late)} delivered late, oldest first, at most {max(most_fresh, most_after)} "
        f"requests at once; 0 lost otherwise, 0 twice "
        f"(in {time.monotonic() - began:.0f} s)",
    )


def play(settings: dict[str, Any], endpoint: Counting) -> tuple[dict[str, Any], list[str], int, int]:
    """What outage.py tells, the requests while it was down, and how many there were at once before it and of probes."""
    command = [sys.executable, str(ROOT / "tests/faults/outage.py"), json.dumps(settings)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={"PYTHONPATH": str(ROOT)}, text=True, **pipes) as process:
        assert process.stdin and process.stdout and process.stderr
        said: list[str] = []
        listening = threading.Thread(target=lambda: said.append(process.stderr.read()))
        listening.start()
        try:
            assert process.stdout.readline() == "down\n", said
            most_fresh, endpoint.takes_s = endpoint.most_at_once, 0.002
            endpoint.turn(Answer(503))
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "a minute later\n", said
            during = endpoint.turn(Answer(503))
            print(file=process.stdin, flush=True)
            assert process.stdout.readline() == "up\n", said
            most = endpoint.most_at_once
            during += endpoint.turn(Answer())
            print(file=process.stdin, flush=True)
            told = json.loads(process.stdout.read())
        finally:
            process.kill()
            listening.join()
    assert said == [""]
    return told, during, most_fresh, most


def told_losses(lines: list[str]) -> tuple[int, int]:
    """How many snapshots the lines say were given up, and how many lines that took."""
    told = [int(line.split("oldest ")[1].split()[0]) for line in lines if line.startswith("the spool is full")]
    return sum(told), len(told)
