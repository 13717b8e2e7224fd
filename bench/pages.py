"""The pages of a store that `bench.replay` has filled, served as they are to users; how long each takes over HTTP."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from pgdoctor_lib.receiver.store import is_dsn

VIEWS = (
    "", "?range=7d", "?range=30d", "/queries", "/queries?range=7d", "{statement}", "{statement}?range=7d",
    "{statement}?range=30d", "/tables", "{table}", "{table}?range=30d", "/indexes", "/locks", "/replication", "/vacuum",
    "/settings", "/compare?then={hour_ago}", "/snapshots",
)  # fmt: skip


@contextmanager
def served(store: str) -> Iterator[str]:
    """A receiver of that store, a file or a PostgreSQL database, in a process of its own: its address."""
    with tempfile.TemporaryDirectory() as home:
        which = "--store" if is_dsn(store) else "--database"
        command = [sys.executable, "pgdoctor.py", "serve", "--port", "0", which, store]
        process = subprocess.Popen(command, env={**os.environ, "HOME": home}, stdout=subprocess.PIPE, text=True)
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.wait()


def views(url: str, database: str) -> Mapping[str, str]:
    """By what each is called its address below `url`."""
    base = f"/databases/{database}"
    statements = _json(f"{url}/api{base}/queries?limit=1")["queries"]
    tables = _json(f"{url}/api{base}/tables?limit=1")["tables"]
    places = {
        "statement": f"/queries/{statements[0]['queryid']}" if statements else "/queries",
        "table": f"/tables/{tables[0]['relid']}" if tables else "/tables",
        "hour_ago": f"{time.time() - 3600:.0f}",
    }
    named = {"statement": "/queries/…", "table": "/tables/…", "hour_ago": "…"}
    return {f"…{view.format(**named)}": f"{base}{view.format(**places)}" for view in VIEWS}


def databases(url: str) -> list[str]:
    """Their ids."""
    return [each["id"] for each in _json(f"{url}/api/databases")["databases"]]


def timed(url: str) -> dict[str, list[float]]:
    """By page, of each database the milliseconds from the request to the last byte, in the order of its views."""
    found: dict[str, list[float]] = {}
    for database in databases(url):
        for name, address in {"/": "/", **views(url, database)}.items():
            found.setdefault(name, []).append(_took_ms(url + address))
    return found


def _took_ms(address: str) -> float:
    began = time.perf_counter()
    with urlopen(Request(address, headers={"Accept-Encoding": "gzip"}), timeout=60) as answer:
        answer.read()
    return (time.perf_counter() - began) * 1000


def _json(address: str) -> Any:
    with urlopen(address, timeout=60) as answer:
        return json.load(answer)


def _address(process: "subprocess.Popen[str]") -> str:
    for line in process.stdout or ():
        if found := re.match(r"Receiver listening on (http://\S+)/$", line):
            return found[1]
    raise SystemExit("it did not start")
