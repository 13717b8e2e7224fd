"""Run as the product runs, patched, with a resolver that is slow for all `*.slow` names. Prints JSON."""

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

SLOW_S = 2.0
asked: list[str] = []
_sleep = monkey.get_original("time", "sleep")
_address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]


def resolve(name: str, *rest: object, **more: object) -> object:
    """As gevent's resolver does it: in one of the threads of the hub."""
    return gevent.get_hub().threadpool.apply(_resolve, (name,))


def _resolve(name: str) -> object:
    asked.append(name)
    if name == "flaky" and asked.count(name) > 1:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if name.endswith(".slow") or (name == "known" and asked.count(name) > 1):
        _sleep(SLOW_S)
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
    first = timed("known", 5)[0]
    flaky = [timed("flaky")[0], timed("flaky")[0]]
    names = [f"db{number}.slow" for number in range(60)]
    waiting = [gevent.spawn(timed, name) for name in names * 2]
    gevent.sleep(0.1)
    literals = [timed(literal) for literal in ("127.0.0.1", "::1", "fe80::1%lo")]
    started = time.monotonic()
    socket.getaddrinfo("endpoint", 443)
    endpoint_s = time.monotonic() - started
    again = [timed("known", 5), timed("known", 5)]
    at_once = len(asked)
    outcome = {
        "first": first,
        "flaky": flaky,
        "again": again,
        "literals": literals,
        "endpoint_s": endpoint_s,
        "new": timed("new", 30),
        "slow": min(str(each.get()[0]) for each in waiting),
        "at_once": at_once,
        "threads": (THREADS, gevent.get_hub().threadpool.maxsize),
    }
    print(json.dumps(outcome), flush=True)
    os._exit(0)  # without waiting for the threads that the resolver keeps


main()
