"""Servers that answer badly, by the thousand: a snapshot that is JSON, or one line; in time and memory."""

import json
import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycogreen.gevent import gevent_wait_callback
from psycopg2.extensions import set_wait_callback

from pgdoctor_lib.collectors.json_text import MAX_CHARS, MAX_DIGITS, NO_JSON, is_json
from pgdoctor_lib.collectors.registry import sections
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.server import parse_facts
from tests.faults import many
from tests.faults.bad_server import HOWS, MODES, BadServer, Spoiler, healthy_facts, serving
from tests.faults.garble import CANARY, dice, examples, flip_bits, is_line
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]

MEMORY_BYTES = 128 * 1024**2
FAMILY = {"Collected", "DatabaseError", "_Refused", "UnsupportedServer", "DeadlineExceeded"}


@pytest.fixture
def real(newest_server: Server) -> Iterator[Database]:
    """A new database on the newest server."""
    made = newest_server.new_database()
    yield made
    made.drop()


def _examine(lines: list[dict[str, Any]]) -> str:
    """Every outcome is one of ours, in time, fit to print, and what was sealed is JSON; the figure."""
    cases = [line for line in lines if "case" in line]
    slowest, grown = max(case["took_s"] for case in cases), lines[-1]["grown"]
    kinds = Counter(case["kind"] for case in cases)
    assert [case for case in cases if case["kind"] not in FAMILY] == []
    assert [case for case in cases if not case["json"]] == []
    said = [text for case in cases for text in case["said"]]
    assert [text for text in said if not is_line(text) or CANARY in text] == []
    assert slowest < many.CYCLE_S + 15
    assert grown < MEMORY_BYTES
    outcome = f"{kinds['Collected']} snapshots, all JSON; {len(cases) - kinds['Collected']} errors of one line"
    bounds = f"{slowest:.1f} s at most (cycle's deadline {many.CYCLE_S:g} s), memory +{grown // 1024**2} MiB"
    return f"{len(cases)} tried: {outcome}; 0 other exceptions, 0 crashes, 0 secrets shown; {bounds}"


def test_a_server_that_speaks_the_protocol_badly(amount: Amount, figure: Figure) -> None:
    number = amount(60, 5000)
    figure("Hostile server", _examine(many.outcomes("collect_many", "fake", number, limit_s=60 + number / 4)))


def test_a_real_server_through_a_proxy_that_garbles(real: Database, amount: Amount, figure: Figure) -> None:
    number = amount(14, 3000)
    lines = many.outcomes("collect_many", "spoil", number, real.dsn, limit_s=60 + number / 2)
    figure("Server's answers garbled, doubled, dropped, delayed", _examine(lines))


def test_a_session_cut_at_every_byte(real: Database, amount: Amount, figure: Figure) -> None:
    number = amount(20, 4000)
    lines = many.outcomes("collect_many", "cut", number, real.dsn, limit_s=60 + number / 2)
    figure("Server's answers cut short", _examine(lines))


class OneSpoiled(BadServer):
    """Healthy, but for one section's text."""

    def __init__(self, spoiled: bytes) -> None:
        super().__init__(random.Random(1), "none")
        self._spoiled = spoiled
        self._is_done = False

    def _rows(self, rows: list[list[bytes]]) -> list[bytes]:
        [row] = rows
        if len(row) > 4 and row[2].startswith(b'1 {"rows"') and not self._is_done:
            self._is_done, row = True, [*row[:2], b"1 " + self._spoiled, *row[3:]]
        return super()._rows([row])


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"a": NaN}', b'{"a": 1},"errors":{}', b'{"a": "\xff\x01"}', b"{'a': 1}"]
)
def test_a_section_that_is_no_json_costs_only_itself(text: bytes) -> None:
    set_wait_callback(gevent_wait_callback)
    try:
        with serving(lambda client: OneSpoiled(text).serve(client)) as port:
            collected = Collecting(Dsn.parse(f"postgresql://u@127.0.0.1:{port}/d", {}), 20).once()
    finally:
        set_wait_callback(None)
    parts = sections(healthy_facts(), "masked")
    first = next(part.name for part in parts if not part.every_s)
    assert {section.name for section in collected.sections} == {part.name for part in parts} - {first} | {"queries"}
    assert [(error.collector, error.error) for error in collected.errors] == [(first, NO_JSON)]
    assert collected.top_queries


EXTENSIONS = ('{"a": null}', '{"pg_stat_statements": ["1.10", null]}', "[", '{"a": ["1"]}')


@pytest.mark.parametrize("text", EXTENSIONS)
def test_extensions_that_make_no_sense(text: str) -> None:
    row = ("160003", "16.3", "UTF8", "f", "app", "u", "t", "t", "f", "", "5", "1", "97", "5", "-1", "-1")
    with pytest.raises((ValueError, TypeError)):  # which `Session` tells as an error of ours
        parse_facts((*row, text))


def test_json_is_told_from_what_is_none(amount: Amount, figure: Figure) -> None:
    good = [
        json.dumps({"rows": [{"a": [1, -2.5e3, "é\n\u2028"], "b": None}], "more": 0, "t": True}),
        "{}",
        "[]",
        "null",
    ]
    tally = Counter[bool]()

    @examples(amount(200, 30_000))
    @given(st.sampled_from(good), dice())
    def one(text: str, dice: random.Random) -> None:
        spoiled = flip_bits(text.encode(), dice, dice.randint(0, 3)).decode("utf-8", "replace")
        ours = is_json(spoiled, "{[n")
        tally[ours] += 1
        assert ours == (_loads(spoiled) and spoiled[0] in "{[n")

    one()
    figure("JSON told from what is none", f"{tally[True]} are, {tally[False]} are not; as json.loads says, every time")


def _loads(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(word: str) -> None:
    raise ValueError(word)


def test_json_of_any_depth_and_length() -> None:
    assert not is_json("[" * 200_000 + "]" * 200_000, "[")
    assert not is_json(f'["{"x" * MAX_CHARS}"]', "[")
    assert is_json(f"[-{'9' * (MAX_DIGITS - 1)}, 1e999]", "[")
    assert not is_json(f"[{'9' * (MAX_DIGITS + 1)}]", "[")


@pytest.mark.full
def test_the_daemon_outlives_them(cli: Cli, endpoint: Endpoint, real: Database, amount: Amount, figure: Figure) -> None:
    """A healthy database beside bad ones, a second apart: it lives, all that is delivered is JSON."""
    how_many, cycles = amount(4, 40), amount(2, 30)
    with ExitStack() as stack:
        dsns = {"healthy": real.dsn}
        for number in range(how_many):
            serve = _serve(number, real.server.port)
            port = stack.enter_context(serving(serve))
            dsns[f"bad{number}"] = re.sub(r"@127\.0\.0\.1:\d+/", f"@127.0.0.1:{port}/", real.dsn) + "?connect_timeout=1"
        lines = "".join(f"  - {{name: {name}, dsn: '{dsn}'}}\n" for name, dsn in dsns.items())
        path = cli.cwd / "pgdoctor.yaml"
        path.write_text(
            f"endpoint: {endpoint.url}\ntoken: x1234567\ninterval: 1\ncycle_timeout: 4\ndatabases:\n{lines}"
        )
        path.chmod(0o600)
        daemon = cli.start("daemon")
        wanted = f"{how_many * cycles} outcomes"
        wait_for(lambda: daemon.output.count("] [bad") > how_many * cycles or daemon.process.poll(), wanted, 600)
        daemon.send()
        done = daemon.finish(120)
    assert done.returncode == 0, done
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stdout, re.findall(".*internal error.*", done.stdout)[:5]
    assert CANARY not in done.stdout + done.stderr
    assert all(is_line(line) for line in done.stdout.splitlines() if line)
    delivered = Counter(document["database"]["name"] for document in endpoint.snapshots)
    assert delivered["healthy"] >= cycles
    of_bad = delivered.total() - delivered["healthy"]
    tried = f"{done.stdout.count('] [bad')} cycles at {how_many} bad servers ({of_bad} delivered)"
    figure("The daemon before bad servers", f"{tried}, {delivered['healthy']} of the healthy one, 0 tracebacks, exit 0")


def _serve(number: int, real_port: int) -> Callable[[socket.socket], None]:
    """Another kind of badness for each, and another case of it for each connection."""
    numbers = count(number * 100_000)
    if number % 2:
        return lambda client: BadServer(random.Random(next(numbers)), MODES[number % len(MODES)]).serve(client)

    def spoil(client: socket.socket) -> None:
        dice = random.Random(next(numbers))
        Spoiler(("127.0.0.1", real_port), dice, dice.choice((*HOWS, "reset")), int(40_000 ** dice.random())).serve(
            client
        )

    return spoil
