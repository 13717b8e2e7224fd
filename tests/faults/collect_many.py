"""Run as the product runs, patched: collects from servers that answer badly, many at once.

argv: "fake", how many · "spoil" or "cut", how many, the DSN of a real server. One JSON line a case: what came of it.
"""

from gevent import monkey

monkey.patch_all()

from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()

import json  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable  # noqa: E402
from urllib.parse import urlsplit  # noqa: E402

from gevent.pool import Pool  # noqa: E402

from pgdoctor_lib.collectors.run import Collecting  # noqa: E402
from pgdoctor_lib.config.dsn import Dsn  # noqa: E402
from pgdoctor_lib.deadline import deadline  # noqa: E402
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded  # noqa: E402
from pgdoctor_lib.snapshot import Agent, Collected, Snapshot, new_id  # noqa: E402
from tests.faults import many  # noqa: E402
from tests.faults.bad_server import HOWS, MODES, PASSWORD, BadServer, Spoiler, serving  # noqa: E402

BUDGET_S = 1.5
AT_ONCE = 30
SESSION_BYTES = 40_000  # about what a real server says in a session

Serve = Callable[[socket.socket], None]


def main(which: str, count: int, dsn: str = f"postgresql://u:{PASSWORD}@127.0.0.1:1/d") -> None:
    """Every case; how much memory grew at the end."""
    to = (urlsplit(dsn).hostname or "", urlsplit(dsn).port or 0)
    cases = [_case(which, number, count, to) for number in range(count)]
    pool = Pool(AT_ONCE)
    first = count // 4
    pool.map(lambda case: _run(case, dsn), enumerate(cases[:first]))
    before = many.memory_bytes()
    pool.map(lambda case: _run(case, dsn), enumerate(cases[first:], first))
    print(json.dumps({"grown": many.memory_bytes() - before}))


def _case(which: str, number: int, count: int, to: tuple[str, int]) -> tuple[str, Serve]:
    dice = random.Random(number)
    if which == "fake":
        mode = MODES[number % len(MODES)]
        return mode, lambda client: BadServer(random.Random(number), mode).serve(client)
    how = dice.choice(HOWS) if which == "spoil" else ("close", "reset")[number % 2]
    at = int(SESSION_BYTES ** dice.random()) if which == "spoil" else number * SESSION_BYTES // count
    return how, lambda client: Spoiler(to, dice, how, at).serve(client)


def _run(numbered: tuple[int, tuple[str, Serve]], dsn: str) -> None:
    number, (mode, serve) = numbered
    print(json.dumps({"begin": number}), flush=True)
    with serving(serve) as port:
        started = time.monotonic()
        here = re.sub(r":\d+/", f":{port}/", dsn)
        told = _outcome(Dsn.parse(f"{here}?connect_timeout=1", {}))
        took = time.monotonic() - started
    print(json.dumps({"case": number, "mode": mode, "took_s": took, **told}), flush=True)


def _outcome(dsn: Dsn) -> dict[str, object]:
    try:
        with deadline(many.CYCLE_S, "the cycle"):
            collected = Collecting(dsn, 20).once(BUDGET_S)
        body = _sealed(collected)
    except (DatabaseError, DeadlineExceeded) as error:
        return {"kind": type(error).__name__, "said": [str(error)], "json": True}
    except Exception as error:  # noqa: BLE001 (each is a finding)
        return {"kind": repr(error)[:200], "said": [], "json": True, "trace": traceback.format_exc()[-1500:]}
    return {"kind": "Collected", "said": [each.line for each in collected.errors], "json": _is_json(body)}


def _sealed(collected: Collected) -> bytes:
    return Snapshot(new_id(), time.time(), 1.0, Agent("1", "h", 1), "production", (), 60.0, collected).seal().body


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(word: str) -> None:
    raise ValueError(word)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
