"""The foreground daemon as a user sees it: real processes, signals, servers and endpoints."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.conftest import TOKEN, shape
from tests.fix_daemon import Cli, Running
from tests.fix_endpoint import Answer, Endpoint
from tests.fix_proxy import DELAY, PASS, Proxy
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

Single = Callable[..., dict[str, str]]
Multi = Callable[..., Path]


@pytest.fixture
def db(newest_server: Server) -> Database:
    made = newest_server.new_database()
    yield made
    made.drop()


def test_single_database_mode_says_what_the_contract_says(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint
) -> None:
    daemon = cli.start("daemon", env=single(db.dsn))
    daemon.wait_for_line(r"#2\.\.\. uploading\.\.\. ✓")
    daemon.send(signal.SIGINT)
    done = daemon.finish()
    assert done.returncode == 0
    assert done.stderr == ""
    lines = shape(done.stdout.splitlines())
    assert lines[:5] == [
        "pgdoctor daemon started (single-database mode, interval: 1s)",
        "Press Ctrl+C to stop",
        "",
        "[time] Collecting snapshot #1... uploading... ✓ (id=abc123)",
        "[time] Collecting snapshot #2... uploading... ✓ (id=abc123)",
    ]
    assert lines[-2:] == ["Received shutdown signal, stopping...", "Daemon stopped gracefully."]
    first = endpoint.requests[0]
    assert first.headers["Authorization"] == f"Bearer {TOKEN}"
    assert first.headers["Idempotency-Key"] == first.json["snapshot_id"]
    assert first.headers["Content-Encoding"] == "gzip"
    assert first.headers["User-Agent"].startswith("pgdoctor/")


def test_multi_database_mode_says_what_the_contract_says(cli: Cli, multi: Multi, db: Database) -> None:
    multi({"production": {"dsn": db.dsn, "interval": 60}, "staging": {"dsn": db.dsn, "interval": 300}})
    daemon = cli.start("daemon")
    daemon.wait_for_line(r"\[production\].*✓")
    daemon.wait_for_line(r"\[staging\].*✓")
    daemon.send(signal.SIGTERM)
    done = daemon.finish()
    assert (done.returncode, done.stderr) == (0, "")
    lines = shape(done.stdout.splitlines())
    assert lines[:7] == [
        "Loaded config from: ./pgdoctor.yaml",
        "pgdoctor daemon started (multi-database mode, 2 databases)",
        "Databases:",
        "  - production (interval: 60s)",
        "  - staging (interval: 300s)",
        "",
        "Press Ctrl+C to stop",
    ]
    assert lines[7] == ""
    cycles = sorted(re.sub(r"#\d", "#N", line) for line in lines[8:10])
    assert cycles == [
        f"[time] [{name}] Collecting #N... uploading... ✓ (id=abc123)" for name in ("production", "staging")
    ]
    assert {re.search(r"#(\d)", line)[1] for line in lines[8:10]} == {"1", "2"}
    assert lines[10:] == ["Received shutdown signal, stopping...", "Daemon stopped gracefully."]


def test_on_a_terminal_the_line_grows_and_ctrl_c_gets_a_line_of_its_own(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint
) -> None:
    endpoint.script([Answer(wait_s=1)])
    daemon = cli.start("daemon", env=single(db.dsn, 60), tty=True)
    daemon.wait_for_line(r"Collecting snapshot #1\.\.\. uploading\.\.\.$")
    daemon.wait_for_line(r"Collecting snapshot #1\.\.\. uploading\.\.\. ✓ \(id=abc123\)$")
    daemon.send(signal.SIGINT)
    assert daemon.finish().returncode == 0
    assert daemon.lines[-3:] == ["", "Received shutdown signal, stopping...", "Daemon stopped gracefully."]


def test_each_database_keeps_its_own_interval(cli: Cli, multi: Multi, db: Database, endpoint: Endpoint) -> None:
    multi({"often": {"dsn": db.dsn, "interval": 1}, "seldom": {"dsn": db.dsn, "interval": 3}})
    daemon = cli.start("daemon")
    wait_for(lambda: sum(s["database"]["name"] == "seldom" for s in endpoint.snapshots) >= 3, "three of seldom")
    names = [snapshot["database"]["name"] for snapshot in endpoint.snapshots]
    assert 5 <= names.count("often") <= 10
    daemon.send()
    assert daemon.finish().returncode == 0


def test_cycles_lie_on_a_grid_and_skip_what_they_miss(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint, make_proxy: Callable[..., Proxy]
) -> None:
    proxy = make_proxy(db.server.port)
    daemon = cli.start("daemon", env=single(proxy.dsn(db.dsn)))
    endpoint.wait_for(1)
    proxy.does(DELAY, delay_s=0.15)  # every piece: the collection takes longer than its interval
    endpoint.wait_for(2)
    proxy.does(PASS)
    taken = endpoint.wait_for_snapshots(5)
    first, _, *late = (datetime.fromisoformat(one["collected_at"].replace("Z", "+00:00")).timestamp() for one in taken)
    assert late[0] - first >= 3 - 0.4, "a slot was missed, and not made up for"
    for at in late:
        assert (at - first + 0.4) % 1 < 0.8
    assert late == sorted(set(late))
    daemon.send()
    assert daemon.finish().returncode == 0


def test_an_endpoint_that_says_nothing_holds_up_no_cycle(
    cli: Cli, multi: Multi, db: Database, endpoint: Endpoint
) -> None:
    multi({"production": {"dsn": db.dsn, "interval": 1}}, request_timeout=60)
    endpoint.script([Answer(wait_s=6)])
    daemon = cli.start("daemon")
    for number in (2, 3, 4):
        daemon.wait_for_line(rf"Collecting #{number}\.\.\. uploading\.\.\. ✓")
    assert not re.search(r"#1\.\.\. ", daemon.output)
    daemon.wait_for_line(r"Collecting #1\.\.\. uploading\.\.\. ✓")
    daemon.send()
    _all_delivered_once(daemon, endpoint)


def test_what_is_collected_while_a_retry_waits_follows_and_the_endpoint_gets_its_pause(
    cli: Cli, multi: Multi, db: Database, endpoint: Endpoint
) -> None:
    multi({"production": {"dsn": db.dsn, "interval": 1}})
    endpoint.script([(503, {"Retry-After": "3"}, "")])
    daemon = cli.start("daemon")
    daemon.wait_for_line(r"Collecting #2\.\.\. uploading\.\.\. kept, to follow the one before it$")
    daemon.wait_for_line(r"Collecting #1\.\.\. uploading\.\.\. ✓")
    daemon.wait_for_line(r"delivered from the spool, 0 left")
    first, second, *_ = endpoint.requests
    assert second.at - first.at >= 3
    daemon.send()
    _all_delivered_once(daemon, endpoint)


def _all_delivered_once(daemon: Running, endpoint: Endpoint) -> None:
    lines = daemon.finish().stdout
    taken = [snapshot["snapshot_id"] for snapshot in endpoint.snapshots]
    assert len(set(taken)) == len(taken) == len(re.findall(r"Collecting #", lines))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_cycle_at_work_finish(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint, signum: signal.Signals
) -> None:
    endpoint.script([Answer(wait_s=2)])
    daemon = cli.start("daemon", env=single(db.dsn, 60))
    endpoint.wait_for(1)
    daemon.send(signum)
    done = daemon.finish()
    assert done.returncode == 0
    lines = shape(done.stdout.splitlines())
    assert lines[3:] == [
        "Received shutdown signal, stopping...",
        "[time] Collecting snapshot #1... uploading... ✓ (id=abc123)",
        "Daemon stopped gracefully.",
    ]


def test_a_second_signal_skips_the_wait_and_the_snapshot_stays_on_disk(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint
) -> None:
    endpoint.script([Answer(wait_s=20)])
    daemon = cli.start("daemon", env=single(db.dsn, 60))
    endpoint.wait_for(1)
    began = time.monotonic()
    daemon.send()
    daemon.wait_for_line("Received shutdown signal")
    daemon.send()
    assert daemon.finish().returncode == 0
    assert time.monotonic() - began < 18
    [kept] = (cli.state / "pgdoctor" / "spool").glob("*.json.gz")
    assert kept.name.startswith(endpoint.requests[0].json["snapshot_id"])
    assert kept.stat().st_mode & 0o777 == 0o600


def test_shutdown_timeout_bounds_the_wait(cli: Cli, multi: Multi, db: Database, endpoint: Endpoint) -> None:
    multi({"production": {"dsn": db.dsn, "interval": 60}}, shutdown_timeout=1)
    endpoint.script([Answer(wait_s=20)])
    daemon = cli.start("daemon")
    endpoint.wait_for(1)
    began = time.monotonic()
    daemon.send()
    assert daemon.finish().returncode == 0
    assert 0.9 < time.monotonic() - began < 18


def test_a_statement_that_is_at_work_when_time_is_up_ends_on_the_server_too(
    cli: Cli, multi: Multi, db: Database, endpoint: Endpoint
) -> None:
    blocker = db.server.connect(db.name)
    with blocker.cursor() as cursor:  # the session's opening waits for this: collection hangs
        cursor.execute("BEGIN; LOCK TABLE pg_catalog.pg_authid, pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE")
    multi({"production": {"dsn": db.dsn, "interval": 60}}, shutdown_timeout=1)
    daemon = cli.start("daemon")
    daemon.wait_for_line("✗ collection failed")
    daemon.send()
    assert daemon.finish().returncode == 0
    blocker.close()
    assert endpoint.requests == []


@pytest.mark.long
def test_retries_are_logged_and_what_fails_goes_out_later_oldest_first(
    cli: Cli, multi: Multi, db: Database, endpoint: Endpoint
) -> None:
    multi({"production": {"dsn": db.dsn, "interval": 60}})
    endpoint.script([503, (500, {}, ""), (429, {"Retry-After": "2"}, ""), 503])
    daemon = cli.start("daemon")
    daemon.wait_for_line("delivered from the spool, 0 left")
    daemon.send()
    lines = shape(daemon.finish().stdout.splitlines())
    start = lines.index("[time] [production] Retry attempt 1/3 in 1s: 503 Service Unavailable")
    assert lines[start:][:4] == [
        "[time] [production] Retry attempt 1/3 in 1s: 503 Service Unavailable",
        "[time] [production] Retry attempt 2/3 in 2s: 500 Internal Server Error",
        "[time] [production] Retry attempt 3/3 in 4s: 429 Too Many Requests",
        "[time] [production] Collecting #1... uploading... ✗ upload failed: 503 Service Unavailable",
    ]
    first = endpoint.requests[:4]
    assert len({request.body for request in first}) == 1
    assert len({request.headers["Idempotency-Key"] for request in first}) == 1
    assert first[0].json["snapshot_id"] in [snapshot["snapshot_id"] for snapshot in endpoint.snapshots]
    assert list((cli.state / "pgdoctor" / "spool").glob("*.json.gz")) == []


def test_an_outage_loses_nothing_and_the_backlog_goes_out_in_order(
    cli: Cli, multi: Multi, db: Database, endpoint: Endpoint
) -> None:
    multi({"production": {"dsn": db.dsn, "interval": 1}})
    endpoint.script([401])
    daemon = cli.start("daemon")
    daemon.wait_for_line(r"✗ upload failed: 401 Unauthorized \(kept; next try in \d+ s\)")
    daemon.wait_for_line(r"[2-9] snapshots delivered from the spool, 0 left")
    daemon.send()
    lines = daemon.finish().stdout
    taken = [snapshot["snapshot_id"] for snapshot in endpoint.snapshots]
    assert taken[0] == endpoint.requests[0].json["snapshot_id"], "the oldest is what the endpoint is tried with"
    late = sorted(taken)[: lines.count("✗ upload failed")]
    assert [each for each in taken if each in late] == late, "fresh ones may come in between"
    assert len(set(taken)) == len(taken) == len(re.findall(r"Collecting #", lines))


def test_a_restart_delivers_what_the_last_run_kept(cli: Cli, single: Single, db: Database, endpoint: Endpoint) -> None:
    endpoint.script([403])
    daemon = cli.start("daemon", env=single(db.dsn, 60))
    daemon.wait_for_line("✗ upload failed: 403 Forbidden")
    daemon.send()
    daemon.wait_for_line("1 snapshot kept in the spool for the next start")
    assert daemon.finish().returncode == 0
    again = cli.start("daemon", env=single(db.dsn, 60))
    again.wait_for_line("1 snapshot delivered from the spool, 0 left")
    again.send()
    again.finish()
    keys = [request.headers["Idempotency-Key"] for request in endpoint.requests]
    assert keys.count(keys[0]) == 2


def test_a_refused_snapshot_is_set_aside_and_never_in_the_way(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint
) -> None:
    endpoint.script([422])
    daemon = cli.start("daemon", env=single(db.dsn))
    daemon.wait_for_line("✗ upload failed: 422")
    daemon.wait_for_line("#2.*✓")
    daemon.send()
    daemon.finish()
    spool = cli.state / "pgdoctor" / "spool"
    assert len(list((spool / "rejected").glob("*.json.gz"))) == 1
    assert list(spool.glob("*.json.gz")) == []


def test_a_database_that_is_down_comes_up_and_goes_down_again(
    cli: Cli, multi: Multi, fresh_server: Server, db: Database, endpoint: Endpoint
) -> None:
    fresh_server.stop()
    multi({"flaky": {"dsn": fresh_server.dsn(), "interval": 1}, "steady": {"dsn": db.dsn, "interval": 1}})
    daemon = cli.start("daemon")
    daemon.wait_for_line(r"\[flaky\] Collecting #\d+\.\.\. ✗ collection failed: connection refused$")
    fresh_server.start()
    daemon.wait_for_line(r"\[flaky\] .* ✓")
    fresh_server.restart()
    seen = len(endpoint.snapshots)
    wait_for(lambda: any(s["database"]["name"] == "flaky" for s in endpoint.snapshots[seen + 3 :]), "after the restart")
    fresh_server.stop("immediate")
    [told] = wait_for(lambda: endpoint.snapshots[-1]["agent"]["unreachable"], "the other one's snapshots do not tell")
    assert (told["name"], told["since"] > 1e9) == ("flaky", True)
    assert told["error"].startswith("collection failed: ")
    daemon.send()
    done = daemon.finish()
    assert done.returncode == 0
    assert not [line for line in done.stdout.splitlines() if "[steady]" in line and "✗" in line]


def test_a_wrong_password_is_never_fatal_and_never_shown(cli: Cli, multi: Multi, db: Database) -> None:
    wrong = "wrong-pw-canary-77"
    multi({"production": {"dsn": db.server.dsn(db.name, db.role, wrong), "interval": 60}})
    daemon = cli.start("daemon")
    daemon.wait_for_line(f'✗ collection failed: password authentication failed for user "{db.role}"$')
    daemon.send()
    done = daemon.finish()
    assert done.returncode == 0
    assert wrong not in done.stdout + done.stderr


def test_names_that_do_not_resolve(cli: Cli, single: Single) -> None:
    daemon = cli.start("daemon", env=single("postgres://u@nosuch.invalid/app", 60))
    daemon.wait_for_line(r"✗ collection failed: host name nosuch\.invalid does not resolve$")
    daemon.send()
    assert daemon.finish().returncode == 0


def test_an_endpoint_whose_name_does_not_resolve(cli: Cli, single: Single, db: Database) -> None:
    env = {**single(db.dsn, 60), "PGDOCTOR_ENDPOINT": "https://nosuch.invalid/api"}
    daemon = cli.start("daemon", env=env)
    daemon.wait_for_line(r"Retry attempt 1/3 in 1s: ")
    daemon.send()
    daemon.send()
    done = daemon.finish()
    assert done.returncode == 0
    assert TOKEN not in done.stdout + done.stderr


def test_both_ways_in_are_patched(each_cli: Cli, single: Single, db: Database, endpoint: Endpoint) -> None:
    """A listener that never answers holds its own greenlet only; unpatched it would hold the process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hung = f"postgres://u@127.0.0.1:{silent.getsockname()[1]}/app?connect_timeout=30"
        path = each_cli.cwd / "pgdoctor.yaml"
        path.touch(0o600)
        path.write_text(
            f"endpoint: {endpoint.url}\ntoken: {TOKEN}\ninterval: 1\nshutdown_timeout: 1\n"
            f'databases:\n  - {{name: hung, dsn: "{hung}"}}\n  - {{name: healthy, dsn: "{db.dsn}"}}\n'
        )
        daemon = each_cli.start("daemon")
        endpoint.wait_for_snapshots(3)
        daemon.send()
        done = daemon.finish()
    assert done.returncode == 0
    assert "[hung] Collecting #1... ✗ collection failed: the daemon is stopping" in done.stdout


def test_json_lines(cli: Cli, multi: Multi, db: Database) -> None:
    import json

    multi({"production": {"dsn": db.dsn, "interval": 60}})
    daemon = cli.start("daemon", "--log-format", "json")
    daemon.wait_for_line('"ok": true')
    daemon.send()
    events = [json.loads(line) for line in daemon.finish().stdout.splitlines()]
    assert [event["event"] for event in events] == ["started", "cycle", "stopping", "stopped"]
    assert events[1]["database"] == "production"
    assert events[1]["id"] == "abc123"


def test_a_standard_output_that_nobody_reads_holds_up_nothing(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint
) -> None:
    import subprocess

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    environment = cli.environment(single(db.dsn))
    process = subprocess.Popen([*cli.command, "daemon"], env=environment, cwd=cli.cwd, stdout=writer)
    try:
        endpoint.wait_for_snapshots(3)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(writer)
        os.close(reader)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.3])
def test_a_signal_while_it_starts_ends_it_gracefully(
    cli: Cli, single: Single, db: Database, signum: signal.Signals, after_s: float
) -> None:
    daemon = cli.start("daemon", env=single(db.dsn, 60))
    status = Path(f"/proc/{daemon.pid}/status")
    held_back = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    blocked = f"{sum(1 << number - 1 for number in held_back):016x}"
    wait_for(lambda: f"SigBlk:\t{blocked}" in status.read_text(), "it holds signals back")
    time.sleep(after_s)  # anywhere in its start
    daemon.send(signum)
    done = daemon.finish()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Daemon stopped gracefully.\n")


def test_a_closed_standard_output_does_not_end_it(cli: Cli, single: Single, db: Database, endpoint: Endpoint) -> None:
    import subprocess

    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*cli.command, "daemon"],
        env=cli.environment(single(db.dsn)),
        cwd=cli.cwd,
        stdout=writer,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    os.close(reader)
    try:
        endpoint.wait_for_snapshots(2)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("PGDOCTOR_ENDPOINT", "PGDOCTOR_ENDPOINT"),
        ("PGDOCTOR_TOKEN", "PGDOCTOR_TOKEN"),
        ("PGDOCTOR_DSN", "PGDOCTOR_DSN"),
    ],
)
def test_what_is_missing_is_fatal_at_start(cli: Cli, single: Single, missing: str, complaint: str) -> None:
    env = single("postgres://u@127.0.0.1/app")
    del env[missing]
    done = cli.run("daemon", env=env)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("pgdoctor: ")
    assert complaint in line
