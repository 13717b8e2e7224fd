"""Run as the product runs, patched; until all else is told the resolver has no answer for `*.slow`. Prints JSON."""

import runpy
import sys
from pathlib import Path

sys.argv = ["pgdoctor"]
runpy.run_path(str(Path(__file__).parents[2] / "pgdoctor.py"), run_name="patched")  # as the product starts

import json  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402
from gevent import monkey  # noqa: E402

from pgdoctor_lib.errors import DatabaseError  # noqa: E402
from pgdoctor_lib.postgres.resolve import THREADS, addresses  # noqa: E402

asked: list[str] = []
_held_up = monkey.get_original("_thread", "allocate_lock")()
_address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


def resolve(name: str, *rest: object, **more: object) -> object:
    """As gevent's resolver does it: in one of the threads of the hub."""
    return gevent.get_hub().threadpool.apply(_resolve, (name,))


def _resolve(name: str) -> object:
    asked.append(name)
    if name == "flaky" and asked.count(name) > 1:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if name.endswith(".slow") or (name == "known" and asked.count(name) > 1):
        with _held_up:
            pass
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _address


def timed(what: str, limit_s: float = 0.3) -> tuple[object, float]:
    """The addresses or the error, and how long it took."""
    started = time.monotonic()
    try:
        found: object = addresses(what, limit_s)
    except DatabaseError as error:
        found = str(error)
    return found, time.monotonic() - started


def main() -> None:
    """Look up what is quick; then what is not, each name twice; then what needs no thread, or one."""
    socket.getaddrinfo = resolve  # type: ignore[assignment]
    _held_up.acquire()
    first = timed("known", 5)[0]
    flaky = [timed("flaky")[0], timed("flaky")[0]]
    names = [f"db{number}.slow" for number in range(60)]
    waiting = [gevent.spawn(timed, name) for name in names * 2]
    gevent.sleep(0.1)
    literals = [timed(literal)[0] for literal in ("127.0.0.1", "::1", "fe80::1%lo")]
    socket.getaddrinfo("endpoint", 443)
    again = [timed("known", 60) for _ in range(200)]
    at_once = len(asked)
    slow = [each.get()[0] for each in waiting]
    _held_up.release()
    outcome = {
        "first": first,
        "flaky": flaky,
        "again": (again[0][0], again[-1][0], sum(took_s for _, took_s in again)),
        "literals": literals,
        "new": timed("new", 60),
        "slow": min(map(str, slow)),
        "at_once": at_once,
        "threads": (THREADS, gevent.get_hub().threadpool.maxsize),
    }
    print(json.dumps(outcome), flush=True)
    os._exit(0)  # without waiting for the threads that the resolver keeps


main()
