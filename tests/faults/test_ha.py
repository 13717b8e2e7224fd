"""Several daemons, one truth: whatever happens to one of them, each slot is there once, and soon another collects."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.ha_cluster import FirstOfEach, Host, Stalls, await_slots, host, told
from tests.fix_proxy import Proxy
from tests.postgres.server import Server
from tests.postgres_lib.relay import Relay
from tests.waiting import wait_for

FAULTS = ("killed", "frozen", "cut off", "stopped")
INTERVAL_S = 1
CLOCKS_S = (-0.1, 0.0, 0.1)  # what they are off
LOCKS = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND granted"
COLLECTED = """
    SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements
     WHERE query LIKE '%SELECT /* pgdoctor:cycle */ date_part%'
"""  # what each cycle asks, once
Hosts = Callable[..., list[Host]]


@pytest.fixture
def first_of_each() -> Iterator[FirstOfEach]:
    made = FirstOfEach()
    yield made
    made.down()


@pytest.fixture
def hosts(tmp_path: Path, first_of_each: FirstOfEach) -> Iterator[Hosts]:
    """`hosts(dsn, [port, …])`: a host for each port that leads to the server."""
    made: list[Host] = []

    def make(dsn: str, ways: list[int | Proxy], interval_s: float = INTERVAL_S) -> list[Host]:
        for number, way in enumerate(ways):
            port, proxy = (way, None) if isinstance(way, int) else (way.port, way)
            made.append(host(tmp_path / f"host{number}", first_of_each, dsn, interval_s, port, proxy))
        return made

    yield make
    for each in made:
        each.cli.end()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_whatever_happens_to_one_of_three(
    newest_server: Server,
    make_proxy: Callable[..., Proxy],
    hosts: Hosts,
    first_of_each: FirstOfEach,
    amount: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    stalls = Stalls()
    rounds, dice, store = amount(3, 100), random.Random(4), first_of_each
    database = newest_server.new_database()
    try:
        database.sql("SELECT pg_stat_statements_reset()")
        three = hosts(database.dsn, [make_proxy(newest_server.port) for _ in range(3)])
        for each, clock_s in zip(three, CLOCKS_S, strict=True):
            each.clock_s = clock_s
            each.start()
        await_slots(store, 2, three)
        hit = Counter[str]()
        for number in range(rounds):
            leader = next((each for each in three if each.pid == store.latest_pid), three[0])
            victim = leader if number < len(FAULTS) or dice.random() < 0.75 else dice.choice(three)
            victim.spoil(FAULTS[number % len(FAULTS)])
            hit[f"{FAULTS[number % len(FAULTS)]}{' leader' if victim is leader else ''}"] += 1
            await_slots(store, len(store.stored) + dice.choice((2, amount(2, 3))), three)
            victim.mend()
            await_slots(store, len(store.stored) + 1, three)
        # What a frozen or cut-off daemon had in hand may still come; all slots are in then.
        await_slots(store, len(store.stored) + 1, three)
        for each in three:
            each.cli.end()
        [(collected,)] = database.sql(COLLECTED)
    finally:
        database.drop()
        stalls.end()
    _judge(store, collected, hit, figure)
    for before, after in pairwise(store.starts_ms):
        if after - before > amount(3, 2) * INTERVAL_S * 1000:
            stall_s = stalls.between(before, after)
            pytest.fail(f"a gap, the longest stall {stall_s:.2f} s:\n{told(three, before, after)}")


def _judge(store: FirstOfEach, collected: int, hit: Counter[str], figure: Callable[[str, str], None]) -> None:
    starts = store.starts_ms
    gaps = Counter(round((after - before) / 1000 / INTERVAL_S) for before, after in pairwise(starts))
    figure(
        "three daemons, one hit, in turn",
        f"{hit.total()} faults ({', '.join(f'{count} {what}' for what, count in sorted(hit.items()))}): "
        f"{len(starts)} slots stored, {gaps[0]} of them twice; intervals from one to the next "
        f"{', '.join(f'{gap} ({count} times)' for gap, count in sorted(gaps.items()))}; "
        f"{store.again} came a second time (409); {collected / len(starts):.2f} collections a slot",
    )
    assert gaps[0] == 0
    assert len(starts) / 2 < collected < len(starts) * 1.5 + 4


def test_behind_a_pooler_both_collect_and_one_is_kept(
    newest_server: Server, hosts: Hosts, first_of_each: FirstOfEach, figure: Callable[[str, str], None]
) -> None:
    newest_server.used = True
    with Relay(newest_server.port, "pool") as relay:
        dsn = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable&gssencmode=disable"
        two = hosts(dsn, [relay.port, relay.port], 2)
        for each in two:
            each.start()
        await_slots(first_of_each, 2, two)
        wait_for(lambda: first_of_each.again, "both collect", 30)
        [(locks,)] = newest_server.sql(LOCKS)
        for each in two:
            each.cli.end()
    assert locks == 0
    assert len(set(first_of_each.starts_ms)) == len(first_of_each.stored)
    figure("two daemons behind a transaction pooler", "each slot stored once, no lock left at the server")
