"""Never hang: whatever hangs, and in whatever way, a healthy database is collected on time, and the daemon ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.watching import ODD, Freezer, Vitals, collected, configure, worst_gap_s
from tests.fix_daemon import Cli, Running
from tests.fix_endpoint import Endpoint
from tests.fix_proxy import DRIP, HOLD, SILENT, STARTUP, Proxy, full_backlog_port
from tests.postgres.server import Server
from tests.waiting import wait_for

INTO_A_RESULT = 3000  # bytes from the server: past the first answers, before the end of the long one
ROOM_S = 8.0  # what a busy machine may be late in the quick part


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Cli]:
    """PGDoctor where the name server never answers for `*.slow`."""
    made = Cli(tmp_path / "home", ODD)
    yield made
    made.end()


@pytest.fixture
def roomy(request: pytest.FixtureRequest, amount: Callable[[int, int], int]) -> Iterator[Server]:
    """A server with a database `well` and eight that hang; for hundreds of sessions in the full part."""
    quick = request.getfixturevalue("newest_server") if amount(1, 0) else None
    server: Server = quick or request.getfixturevalue("make_server")(max_connections=400)
    names = ["well", *(f"hung{number}" for number in range(8))]
    for name in names:
        server.create_database(name)
    server.sql("CREATE EXTENSION pg_stat_statements", dbname="well")
    yield server
    for name in names:
        server.drop_database(name)


def test_two_hundred_that_hang_do_not_delay_the_healthy_one(
    odd: Cli, endpoint: Endpoint, roomy: Server, amount: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    count, cycles = amount(28, 200), amount(4, 120)
    with ExitStack() as stack:
        configure(odd, endpoint, {**hanging(stack, roomy, count), "well": roomy.dsn("well")}, shutdown_timeout=1)
        daemon = odd.start("daemon")
        vitals = watch(daemon, endpoint, cycles)
        ended_s = end(daemon)
    moments = collected(endpoint, "well")
    late_s = worst_gap_s(moments) - 1
    figure(f"{count} databases hang in seven ways, one is healthy, each second", f"{len(moments)} cycles of it, "
           f"at most {late_s:.2f} s late; {vitals}; end after {ended_s:.1f} s, status 0")  # fmt: skip
    assert late_s < ROOM_S
    flat(vitals)
    wait_for(lambda: not roomy.backends("pgdoctor"), "backends are left", 60)


def test_those_that_hang_do_not_delay_the_healthy_one_on_their_server(
    cli: Cli, endpoint: Endpoint, roomy: Server, amount: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    cycles = amount(4, 60)
    freezer = Freezer(roomy.port)
    try:
        dsns = {name: freezer.dsn(roomy.dsn(name)) for name in (*(f"hung{n}" for n in range(8)), "well")}
        configure(cli, endpoint, dsns, shutdown_timeout=1)
        daemon = cli.start("daemon")
        vitals = watch(daemon, endpoint, cycles)
        ended_s = end(daemon)
    finally:
        freezer.close()
    moments = collected(endpoint, "well")
    late_s = worst_gap_s(moments) - 1
    figure("8 databases of a server hang (stopped backends), the ninth is healthy, each second",
           f"{len(moments)} cycles of it, at most {late_s:.2f} s late, {freezer.times} backends stopped; {vitals}; "
           f"end after {ended_s:.1f} s, status 0")  # fmt: skip
    assert freezer.times >= 8
    assert not collected(endpoint, "hung0")
    assert late_s < ROOM_S
    wait_for(lambda: not roomy.backends("pgdoctor"), "backends are left", 60)


def hanging(stack: ExitStack, server: Server, count: int) -> dict[str, str]:
    """So many DSNs, each of a server of its own as far as the daemon can tell, that hang in one of seven ways."""
    proxies = [Proxy(server.port, SILENT), Proxy(server.port, STARTUP), Proxy(server.port, HOLD, after=INTO_A_RESULT)]
    proxies += [Proxy(server.port, DRIP, after=200), Freezer(server.port)]
    for proxy in proxies:
        stack.callback(proxy.close)
    ports = [stack.enter_context(full_backlog_port()), *(proxy.port for proxy in proxies)]
    dsns = {}
    for number in range(count):
        where = f"host=db{number}.slow port=5432"
        if number % 7 < len(ports):
            where = f"host=db{number}.example hostaddr=127.0.0.1 port={ports[number % 7]}"
        dsns[f"hung{number}"] = f"{where} user=postgres dbname=hung0 sslmode=disable"
    server.used = True
    return dsns


def watch(daemon: Running, endpoint: Endpoint, cycles: int) -> Vitals:
    """Until `cycles` of the healthy one have arrived. Most of the others had their turn by then."""
    vitals = Vitals(daemon.pid)
    end = time.monotonic() + 60 + 2 * cycles
    while len(endpoint.snapshots) < cycles:
        assert time.monotonic() < end, f"{len(endpoint.snapshots)} of {cycles} snapshots; {daemon!r}"
        assert daemon.process.poll() is None, repr(daemon)
        vitals.look()
        time.sleep(0.5)
    return vitals


def end(daemon: Running) -> float:
    """SIGTERM; the seconds until it has ended well."""
    started = time.monotonic()
    daemon.send()
    done = daemon.finish(30)
    assert done.returncode == 0, done.stderr
    assert "Daemon stopped gracefully." in done.stdout
    assert done.stderr == ""
    return time.monotonic() - started


def flat(vitals: Vitals) -> None:
    """What it holds does not grow once all have had their turn."""
    half = len(vitals.fds) // 2
    (rss, fds), (rss_end, fds_end) = vitals.highest(slice(half)), vitals.highest(slice(half, None))
    assert rss_end < rss * 1.5 + 30, vitals.rss_mb
    assert fds_end < fds * 1.2 + 20, vitals.fds
