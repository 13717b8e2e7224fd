"""Reading the configuration anew: what changes is taken over, what does not change does not notice."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pgdoctor_lib.agent.reload import changes
from pgdoctor_lib.config import Config, Endpoint, Spool, Target
from pgdoctor_lib.config.dsn import Dsn
from tests.agent.at_home import CONFIG, check, configure, log, pid
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint as Receiver
from tests.postgres.server import Database
from tests.waiting import wait_for

A, B, C = (Target(name, Dsn.parse(f"host=127.0.0.1 dbname={name}", {})) for name in "abc")
OLD = Config("multi", "x.yaml", Endpoint("http://localhost/"), (A, B), Spool("/spool"))


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (OLD, "nothing changed"),
        (replace(OLD, databases=(B, A), warnings=("w",)), "nothing changed"),
        (replace(OLD, databases=(A, B, C)), "1 database added"),
        (replace(OLD, databases=(C,)), "1 database added, 2 databases removed"),
        (replace(OLD, databases=(replace(A, interval_s=7), B)), "1 database changed"),
        (replace(OLD, shutdown_timeout_s=1), "settings changed"),
        (replace(OLD, endpoint=Endpoint("http://127.0.0.1/"), databases=(A,)), "1 database removed, settings changed"),
    ],
)
def test_changes(new: Config, said: str) -> None:
    assert str(changes(OLD, new)) == said


def databases(**intervals: int) -> str:
    rows = [f"  - {{name: {name}, dsn: 'host=127.0.0.1 port=1', interval: {s}}}\n" for name, s in intervals.items()]
    return CONFIG.partition("databases:")[0] + "databases:\n" + "".join(rows)


def watched(cli: Cli) -> list[str]:
    document = json.loads(cli.run("daemon", "status", "--json").stdout)
    return [f"{one['name']} {one['interval_s']:g}" for one in document["databases"]]


def test_reload(each_cli: Cli) -> None:
    cli = each_cli
    check(cli.run("daemon", "reload"), 1, "Daemon is not running\n")
    configure(cli, databases(a=60, b=60))
    cli.run("daemon", "start")
    number = pid(cli)
    configure(cli, databases(b=60, c=30, a=90))
    check(cli.run("daemon", "reload"), 0, rf"Daemon reloaded its configuration \(PID: {number}\)\n")
    assert watched(cli) == ["b 60", "c 30", "a 90"]
    assert log(cli).read_text().count("configuration reloaded: 1 database added, 1 database changed\n") == 1
    configure(cli, databases(b=60))
    check(cli.run("daemon", "reload"), 0, r"Daemon reloaded.*\n")
    wait_for(lambda: watched(cli) == ["b 60"], "others are watched still")
    text = log(cli).read_text()
    assert text.count("[b] Collecting") == 1, "the unchanged one began anew"
    assert text.count("[a] Collecting") == 2 and text.count("[c] Collecting") == 1


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("databases:\n  - [\n", r"pgdoctor\.yaml:\d+: .*"),
        (CONFIG + "intervall: 3\n", r"pgdoctor\.yaml:6: intervall: unknown key; did you mean interval\?"),
        (CONFIG.replace("dsn: ", "dsn: canary-password "), r"pgdoctor\.yaml:5: databases\[0\]\.dsn: .*"),
        (None, r"no configuration: there is no pgdoctor\.yaml, .*"),
    ],
)
def test_a_bad_file_leaves_the_old_one_in_force(here: Cli, bad: str | None, why: str) -> None:
    here.run("daemon", "start")
    if bad is None:
        (here.cwd / "pgdoctor.yaml").unlink()
    else:
        configure(here, bad)
    check(here.run("daemon", "reload"), 2, "", rf"pgdoctor: {why}; the old configuration stays in force\n")
    assert watched(here) == ["down 300"]
    check(here.run("daemon", "status"), 0, rf"(.*\n)+  the last reload changed nothing: {why}\n")
    assert "reload failed, the old configuration stays in force: " in log(here).read_text()
    assert "canary-password" not in log(here).read_text()
    configure(here)
    check(here.run("daemon", "reload"), 0, r"Daemon reloaded.*\n")
    assert "changed nothing" not in here.run("daemon", "status").stdout


def test_sighup_in_the_foreground(here: Cli) -> None:
    daemon = here.start("daemon")
    daemon.wait_for_line("Collecting #1")
    configure(here, databases(down=60, more=60))
    daemon.send(signal.SIGHUP)
    daemon.wait_for_line(r"configuration reloaded: 1 database added, 1 database changed")
    daemon.wait_for_line(r"\[more\] Collecting #\d")
    daemon.send(signal.SIGTERM)
    assert daemon.finish().returncode == 0


def test_a_storm_of_hangups(here: Cli) -> None:
    here.run("daemon", "start")
    number = pid(here)
    for _ in range(50):
        os.kill(number, signal.SIGHUP)
    check(here.run("daemon", "reload"), 0, rf"Daemon reloaded its configuration \(PID: {number}\)\n")
    check(here.run("daemon", "stop"), 0, rf"Daemon stopped \(PID: {number}\)\n")


def test_another_endpoint(here: Cli, db: Database, endpoint: Receiver) -> None:
    text = f"{{name: app, dsn: '{db.dsn}', interval: 1}}\n"
    down = f"endpoint: http://127.0.0.1:1/\ntoken: not-a-real-token\ndatabases:\n  - {text}"
    configure(here, down)
    here.run("daemon", "start")
    configure(here, down.replace("http://127.0.0.1:1/", endpoint.url).replace("not-a-real-token", "another-token"))
    check(here.run("daemon", "reload"), 0, r"Daemon reloaded.*\n")
    endpoint.wait_for_snapshots(2)
    assert {request.headers["Authorization"] for request in endpoint.requests} == {"Bearer another-token"}


def test_another_endpoint_waits_for_nothing_that_hangs_at_the_old_one(
    here: Cli, db: Database, endpoint: Receiver, full_backlog: int
) -> None:
    rows = "".join(f"  - {{name: app{number}, dsn: '{db.dsn}', interval: 1}}\n" for number in range(10))
    silent = f"http://127.0.0.1:{full_backlog}/"
    text = f"endpoint: {silent}\ntoken: not-a-real-token\ndatabases:\n{rows}"
    configure(here, text)
    here.run("daemon", "start")
    wait_for(lambda: "to follow the one before it" in log(here).read_text(), "nobody waits")
    configure(here, text.replace(silent, endpoint.url))
    check(here.run("daemon", "reload"), 0, r"Daemon reloaded.*\n")
    endpoint.wait_for_snapshots(20, 25)  # request_timeout is 30 s


def test_what_only_a_restart_can_change(here: Cli) -> None:
    here.run("daemon", "start")
    configure(here, CONFIG + "ha: true\nspool:\n  path: elsewhere\n")
    check(here.run("daemon", "reload"), 0, r"Daemon reloaded.*\n")
    text = log(here).read_text()
    assert "ha changes at the next restart" in text and "spool.path changes at the next restart" in text


def test_two_reloads_during_a_cycle(here: Cli, silent_port: int) -> None:
    """Whatever comes and goes meanwhile, no two cycles of one database are at work at once."""

    def hung(tag: str) -> str:
        dsn = f"host=127.0.0.1 port={silent_port} connect_timeout=4"
        return CONFIG.partition("databases:")[0] + f"databases:\n  - {{name: a, dsn: '{dsn}', tags: [{tag}]}}\n"

    configure(here, hung("first"))
    here.run("daemon", "start")
    for tag in ("second", "third"):
        configure(here, hung(tag))
        check(here.run("daemon", "reload"), 0, r"Daemon reloaded.*\n")
    wait_for(lambda: log(here).read_text().count("[a] Collecting") >= 2, "the next cycle does not come")
    first, second, *_ = (line for line in log(here).read_text().splitlines() if "[a] Collecting" in line)
    assert "#1..." in first and "#2..." in second
    assert second[:21] > first[:21], "they began together"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield listener.getsockname()[1]
