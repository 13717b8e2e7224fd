"""`python -m bench.replay`: what a store takes after a month, and how long its pages' questions take then.

A real server's snapshot is replayed for one database over all the days, its counters moving; then its rows are copied
for the other databases, which is what they would have come to, in a hundredth of the time.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import pages
from pgdoctor_lib.collectors import registry
from pgdoctor_lib.receiver.intake import Received, receive
from pgdoctor_lib.receiver.metrics import METRICS
from pgdoctor_lib.receiver.store import Store, open_store
from pgdoctor_lib.receiver.store.keep import SOURCE_COLUMNS, source_id
from pgdoctor_lib.receiver.store.readings import QUERY_COUNTERS
from pgdoctor_lib.receiver.web import site
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.snapshot import iso_time, new_id
from tests.postgres.fetch import installed
from tests.postgres.server import Server, sweep

DAY = 86_400
_TABLES, _STATEMENTS, _FINDINGS = 60, 200, 12
_COPIED = {
    "point": "at, data",
    "rollup": "step_s, at, data",
    "reading": "kind, slot, at, data",
    "query_text": "queryid, text, last_seen",
    "finding": "id, since, check_id, severity, last_seen, gone_at, data",
    "event": "at, kind, key, text",
}


def main() -> None:
    """Fill, measure, print."""
    options = _options()
    sweep()
    told = real_snapshot()
    with TemporaryDirectory() as folder:
        place = options.store or str(Path(folder) / "serve.db")
        store = open_store(place)
        if not options.store:
            store._db.run("PRAGMA synchronous = OFF")
        fill(store, told, options.days, options.interval)
        multiply(store, options.databases)
        print(f"{options.databases} databases, {options.days} days at {options.interval} s: one snapshot has "
              f"{len(json.dumps(told)):,} bytes at most, {len(json.dumps(usual(told, 60))):,} usually")  # fmt: skip
        sizes(store)
        clock, tick = ("time by the clock", time.perf_counter) if options.store else ("CPU", time.process_time)
        _print(f"{clock} of what pages ask of the store", questions(store, tick))
        store.close()
        with pages.served(place) as url:
            _print("pages over HTTP, time by the clock", pages.timed(url))


def _print(title: str, found: dict[str, list[float]]) -> None:
    print(f"{title}:")
    for what, times in found.items():
        times.sort()
        print(f"  {what}: median {statistics.median(times):.1f} ms, p95 {times[int(len(times) * 0.95)]:.1f} ms")


def real_snapshot() -> dict[str, Any]:
    """Of a throw-away server with some tables and statements, all sections in it."""
    major, programs = max(installed().items())
    server = Server.create(major, str(programs))
    try:
        made = server.new_database()
        for number in range(_TABLES):
            made.sql(
                f"CREATE TABLE orders_{number} (id serial PRIMARY KEY, note text, amount int);"
                f"INSERT INTO orders_{number} (note, amount) SELECT md5(g::text), g FROM generate_series(1, 500) g;"
                f"CREATE INDEX ON orders_{number} (amount)"
            )
        for number in range(_STATEMENTS):
            made.sql(f"SELECT count(*) AS c{number} FROM orders_{number % _TABLES} WHERE amount > 7")
        program = [sys.executable, "pgdoctor.py", "snapshot", made.dsn]
        told: dict[str, Any] = json.loads(subprocess.run(program, check=True, capture_output=True).stdout)
    finally:
        server.destroy()
    told["database"]["interval_s"] = 60
    told["findings"] = [
        {"check": f"check-{number}", "key": "public.orders", "severity": "warning", "summary": "It grows. " * 8,
         "remedy": "VACUUM orders;" * 10, "evidence": {str(key): key for key in range(10)}}
        for number in range(_FINDINGS)
    ]  # fmt: skip
    return told


def usual(told: dict[str, Any], at: int) -> dict[str, Any]:
    """What is due at that second: most sections are not in each snapshot."""
    due = {name: section for name, section in told["sections"].items() if at % int(_every_s(name) or 1) == 0}
    return {**told, "sections": due}


def _every_s(section: str) -> float:
    if section not in registry.names():
        return 0.0
    return registry.CADENCES_S[registry.query(section).meta.get("cadence", "cycle")]


def fill(store: Store, told: dict[str, Any], days: int, interval: int) -> None:
    """One database, from so many days ago to now. Bodies are packed anew only where they are going to stay."""
    end = time.time() // interval * interval  # pages show what is of now
    begun, spent, count = int(end - days * DAY), 0.0, 0
    packed: dict[int, bytes] = {}
    for at in range(begun, int(end), interval):
        move(told, at, is_hour=at % 3600 == 0)
        document = usual(told, at)
        fresh = at > end - 1.1 * DAY or at % 3600 == 0 or not packed
        body = json.dumps(document, separators=(",", ":")).encode() if fresh else b" "
        if fresh:
            packed[0] = zlib.compress(body, 5)
        received = _received(document, body, packed[0], at)
        began = time.process_time()
        store.keep(received, at + 1.0)
        spent, count = spent + time.process_time() - began, count + 1
        if at % DAY == 0:
            _keep_up(store, at)
            _say(f"{(at - begun) // DAY} of {days} days, {spent / count * 1000:.2f} ms of CPU a snapshot")
    _keep_up(store, end)


def move(told: dict[str, Any], at: int, *, is_hour: bool) -> None:
    """Counters go on, gauges waver."""
    dice = random.Random(at)
    told["snapshot_id"], told["collected_at"] = new_id(at), iso_time(at)
    for metric in METRICS:
        section = told["sections"].get(metric.section)
        if isinstance(section, dict) and metric.kind == "counter" and len(metric.path) == 1:
            section[metric.path[0]] = (section.get(metric.path[0]) or 0) + dice.randrange(100_000)
    told["sections"]["database"]["size_bytes"] += dice.randrange(10_000_000)
    if at % 300 == 0 or is_hour:
        for row in told["sections"]["queries"]["rows"]:
            busy = dice.random() ** 4
            for name in QUERY_COUNTERS:
                if row.get(name):
                    row[name] = round(row[name] + busy * dice.randrange(50_000), 3)
    if is_hour:
        for row in told["sections"]["tables"]["rows"]:
            for name in ("n_tup_ins", "n_tup_upd", "seq_scan", "idx_scan", "n_live_tup", "heap_blks_hit", "size_bytes"):
                row[name] = (row.get(name) or 0) + dice.randrange(10_000)


def multiply(store: Store, databases: int) -> None:
    """The same for the other databases."""
    db, first = store._db, source_id(store.sources()[0].name)
    for number in range(1, databases):
        name = f"database-{number}"
        other = source_id(name)
        with db.transaction():
            for table, columns in _COPIED.items():
                insert = f"INSERT INTO {table} (source_id, {columns})"
                db.run(f"{insert} SELECT ?, {columns} FROM {table} WHERE source_id = ?", (other, first))
            _copy_snapshots(store, first, other, number)
            rest = SOURCE_COLUMNS.removeprefix("id, project, name, snapshot_id, ")
            db.run(f"INSERT INTO source (id, project, name, snapshot_id, {rest}) SELECT ?, '', ?,"
                   f" substr(snapshot_id, 1, 26) || ?, {rest} FROM source WHERE id = ?",
                   (other, name, f"{number:010x}", first))  # fmt: skip
        _say(f"{number + 1} databases")


def _copy_snapshots(store: Store, first: str, other: str, number: int) -> None:
    columns = "collected_at, received_at, size_bytes, active_sessions, errors, body_bytes"
    suffix = f"{number:010x}"
    store._db.run(
        f"INSERT INTO snapshot (id, source_id, {columns}) SELECT substr(id, 1, 26) || ?, ?, {columns} FROM snapshot"
        " WHERE source_id = ?",
        (suffix, other, first),
    )
    store._db.run(
        "INSERT INTO body (seq, data) SELECT n.seq, b.data FROM snapshot s JOIN body b ON b.seq = s.seq"
        " JOIN snapshot n ON n.id = substr(s.id, 1, 26) || ? WHERE s.source_id = ?",
        (suffix, first),
    )


def sizes(store: Store) -> None:
    """Of all, and of what tables hold."""
    print(f"size: {store.size_bytes() / 1e6:,.0f} MB")
    for table in ("body", "point", "rollup", "reading"):
        ((count, held),) = store._db.rows(f"SELECT count(*), sum(length(data)) FROM {table}")
        print(f"  {table}: {count:,} rows, {held / 1e6:,.0f} MB")
    ((count,),) = store._db.rows("SELECT count(*) FROM snapshot")
    print(f"  snapshot: {count:,} rows")


def questions(store: Store, tick: Callable[[], float]) -> dict[str, list[float]]:
    """Of each database in milliseconds. CPU tells nothing of what else the machine does, nor of a server."""
    sources = [source.id for source in store.sources()]
    now = store.sources()[0].collected_at
    names = [metric.name for metric in METRICS][:20]
    queryid = store.queries(sources[0], now - 3600, now)[0].queryid
    tables = store.objects(sources[0], "tables")
    relid = tables.rows[0]["relid"] if tables else 0
    asked: dict[str, Callable[[str], object]] = {
        "the first page, drawn": lambda _: site.show_home(store, Ask.of(now, "/", ""), None, "", None),
        "20 series over an hour": lambda each: store.series(each, names, now - 3600, now, 240),
        "20 series over a day": lambda each: store.series(each, names, now - DAY, now, 240),
        "20 series over 30 days": lambda each: store.series(each, names, now - 30 * DAY, now, 240),
        "statements of an hour": lambda each: store.queries(each, now - 3600, now),
        "statements of a day": lambda each: store.queries(each, now - DAY, now),
        "statements of 14 days": lambda each: store.queries(each, now - 14 * DAY, now),
        "one statement over a day": lambda each: store.query(each, queryid, now - DAY, now),
        "tables now": lambda each: store.objects(each, "tables"),
        "one table over 30 days": lambda each: store.table_series(each, relid, now - 30 * DAY, now),
        "events of 7 days": lambda each: store.events(each, now - 7 * DAY, now),
        "how much is kept": lambda _: store.stats(),
    }
    return {what: list(_timed(ask, sources, tick)) for what, ask in asked.items()}


def _timed(ask: Callable[[str], object], sources: list[str], tick: Callable[[], float]) -> Iterator[float]:
    for each in sources:
        began = tick()
        ask(each)
        yield (tick() - began) * 1000


def _received(document: dict[str, Any], body: bytes, packed: bytes, at: int) -> Received:
    head = {key: document[key] for key in ("schema_version", "snapshot_id", "collected_at", "database", "meta")}
    told = receive(json.dumps(head).encode(), "", None)
    activity = document["sections"]["activity"]["total"]["by_state"]
    size_bytes = document["sections"]["database"]["size_bytes"]
    own = {"size_bytes": size_bytes, "active_sessions": (activity or {}).get("active"), "collected_at": float(at)}
    return Received(**{**vars(told), **own, "body": body, "packed": packed, "document": document})


def _keep_up(store: Store, now: float) -> None:
    while store.roll_up(now) or store.prune(now):
        pass


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("--databases", type=int, default=20)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--interval", type=int, default=60)
    parser.add_argument("--store", help="a file, or a PostgreSQL database, that is left; else a file that is not")
    return parser.parse_args()


if __name__ == "__main__":
    main()
