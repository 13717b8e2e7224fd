"""Who is told of findings, by the real daemon: opened, still there, gone, across restarts and failures."""

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fix_daemon import ROOT, Cli, Running
from tests.fix_endpoint import Answer, Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

CHECK = "idle-in-transaction"
QUICK = (sys.executable, str(ROOT / "tests" / "agent" / "quick_notifier.py"))
SECRET = "canary-5f1c0a-of-alerts"
HOSTILE = "<!channel>|*b*``` & co"
THRESHOLDS = [{"check": CHECK, "warning_s": "1"}]  # so long no session of PGDoctor's is
Configure = Callable[..., Path]


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    yield made
    made.drop()


@pytest.fixture
def alerts() -> Iterator[Endpoint]:
    """Where notices go."""
    made = Endpoint()
    yield made
    made.down()


@pytest.fixture
def quick(cli: Cli) -> Cli:
    cli.command = QUICK
    return cli


@pytest.fixture
def configure(multi: Callable[..., Path], db: Database) -> Configure:
    """`configure([channel, …])`: two databases of one server, which are examined each second."""

    def make(channels: list[dict[str, Any]], **more: object) -> Path:
        both = {name: {"dsn": db.dsn, "interval": 1} for name in ("first", "second")}
        return multi(both, thresholds=THRESHOLDS, budget="100%", **({"notify": channels} if channels else {}), **more)

    return make


@pytest.fixture
def idle(db: Database) -> Iterator[Any]:
    """A session that has its transaction open: what is to be told. Closed, it is cured."""
    connection = db.server.connect(db.name)
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('application_name', %s, false), txid_current()", [HOSTILE])
    yield connection
    connection.close()


def webhook(alerts: Endpoint, **more: object) -> dict[str, Any]:
    return {"webhook": f"{alerts.url}/{SECRET}", **more}


def events(documents: list[Any]) -> list[dict[str, Any]]:
    """What was told of the one session, of all that may be wrong with a server of tests."""
    told = [event for each in documents for event in each["events"] if event["finding"]["check"] == CHECK]
    return [event for event in told if event["finding"]["key"]]


def whats(alerts: Endpoint) -> list[str]:
    return [event["event"] for event in events(alerts.snapshots)]


def end(daemon: Running) -> str:
    daemon.send(signal.SIGTERM)
    done = daemon.finish()
    assert done.returncode == 0, daemon
    assert SECRET not in done.stdout + done.stderr
    return done.stdout


def cycles_go_on(endpoint: Endpoint, count: int = 6) -> None:
    endpoint.wait_for_snapshots(len(endpoint.snapshots) + count)


def test_told_once_across_restarts_and_databases(
    quick: Cli, configure: Configure, alerts: Endpoint, endpoint: Endpoint, idle: Any
) -> None:
    configure([webhook(alerts, token=SECRET)])
    daemon = quick.start("daemon")
    wait_for(lambda: whats(alerts), daemon.__repr__)
    cycles_go_on(endpoint)
    end(daemon)
    folder = quick.state / "pgdoctor" / "spool" / "notify" / "webhook.webhook"
    (folder / ".told.json").write_text("half written by one that was killed")
    daemon = quick.start("daemon")
    cycles_go_on(endpoint)
    end(daemon)
    assert whats(alerts) == ["open"]
    assert [path.name for path in folder.iterdir()] == ["told.json"]
    assert ((folder / "told.json").stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    idle.close()
    daemon = quick.start("daemon")
    wait_for(lambda: "resolved" in whats(alerts), daemon.__repr__)
    end(daemon)
    opened, resolved = events(alerts.snapshots)
    assert opened["dedup_key"] == resolved["dedup_key"]
    assert opened["finding"]["remedy"] and not resolved["finding"]["remedy"]
    assert all(request.headers["Authorization"] == f"Bearer {SECRET}" for request in alerts.requests)
    keys = [request.headers["Idempotency-Key"] for request in alerts.requests]
    assert keys == [each["id"] for each in alerts.snapshots] and len(set(keys)) == len(keys)


def test_a_database_that_cannot_be_collected_is_told_and_resolved(
    quick: Cli, multi: Callable[..., Path], db: Database, alerts: Endpoint, endpoint: Endpoint
) -> None:
    def told() -> list[tuple[str, str, str]]:
        events = [event for each in alerts.snapshots for event in each["events"]]
        ours = [event for event in events if event["finding"]["check"] == "unreachable"]
        return [(each["event"], each["database"], each["finding"]["summary"]) for each in ours]

    both = {name: {"dsn": db.dsn, "interval": 1} for name in ("spared", "watched")}
    multi(both, notify=[webhook(alerts)], mute=[{"check": "unreachable", "database": "spared"}])
    daemon = quick.start("daemon")
    cycles_go_on(endpoint, 2)
    db.server.sql(f"ALTER ROLE {db.role} NOLOGIN")
    wait_for(told, daemon.__repr__)
    db.server.sql(f"ALTER ROLE {db.role} LOGIN")
    wait_for(lambda: len(told()) > 1, daemon.__repr__)
    end(daemon)
    opened, resolved = told()
    assert opened[:2] == ("open", "watched") and "not permitted to log in" in opened[2]
    assert resolved == ("resolved", *opened[1:])


@pytest.mark.long
def test_what_is_still_there_is_told_again_and_what_is_muted_never(
    quick: Cli, configure: Configure, alerts: Endpoint, endpoint: Endpoint, idle: Any
) -> None:
    configure([webhook(alerts, repeat=2)])
    daemon = quick.start("daemon")
    wait_for(lambda: whats(alerts)[:3] == ["open", "still_open", "still_open"], daemon.__repr__)
    end(daemon)
    configure([webhook(alerts, repeat=1)], mute=[{"check": CHECK}])
    daemon = quick.start("daemon")
    cycles_go_on(endpoint)  # what was left at the stop is told first
    before = len(whats(alerts))
    cycles_go_on(endpoint)
    assert len(whats(alerts)) == before
    idle.close()
    wait_for(lambda: whats(alerts)[before:] == ["resolved"], daemon.__repr__)
    end(daemon)


def test_a_channel_that_is_down_holds_up_nobody_and_is_told_later(
    quick: Cli, configure: Configure, alerts: Endpoint, endpoint: Endpoint, idle: Any, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    command = ["/bin/sh", "-c", f"cat >> {told}; echo >> {told}; echo {SECRET}; echo {SECRET} >&2"]
    configure([webhook(alerts), {"command": command}])
    alerts.down()
    daemon = quick.start("daemon")
    wait_for(lambda: told.exists() and CHECK in told.read_text(), daemon.__repr__)
    cycles_go_on(endpoint)
    lines = end(daemon)
    assert lines.count("notify webhook: connection refused (kept, and tried again)") == 1
    assert "notice kept for the next start" in lines or "notices kept for the next start" in lines
    heard = [json.loads(line) for line in told.read_text().splitlines()]
    assert [event["event"] for event in events(heard)] == ["open"]
    daemon = quick.start("daemon")
    daemon.wait_for_line(r"notify webhook: connection refused \(kept, and tried again\)$")
    daemon.kill()
    alerts.up()
    daemon = quick.start("daemon")
    wait_for(lambda: whats(alerts), daemon.__repr__)
    end(daemon)
    assert events(alerts.snapshots) == events(heard)


@pytest.mark.long
def test_the_log_tells_once_that_it_works_again_and_the_status_meanwhile(
    quick: Cli, configure: Configure, alerts: Endpoint, idle: Any
) -> None:
    alerts.default = Answer(503)
    configure([webhook(alerts)])
    assert quick.run("daemon", "start").returncode == 0
    wait_for(lambda: "notify webhook: 503 Service Unavailable, 1 notice" in quick.run("daemon", "status").stdout, "no")
    alerts.wait_for(3)
    alerts.default = Answer(200)
    wait_for(lambda: "notify webhook: works again" in quick.run("daemon", "logs").stdout, "no line")
    assert quick.run("daemon", "stop").returncode == 0
    log = quick.run("daemon", "logs").stdout
    assert log.count("503 Service Unavailable") == 1 and SECRET not in log
    assert whats(alerts) == ["open"]


def test_what_the_disk_does_not_take_is_told_all_the_same(
    quick: Cli, configure: Configure, alerts: Endpoint, endpoint: Endpoint, db: Database
) -> None:
    configure([webhook(alerts)])
    daemon = quick.start("daemon")
    cycles_go_on(endpoint)
    shutil.rmtree(quick.state / "pgdoctor" / "spool" / "notify")
    connection = db.server.connect(db.name)
    connection.autocommit = False
    connection.cursor().execute("SELECT txid_current()")
    wait_for(lambda: whats(alerts), daemon.__repr__)
    daemon.wait_for_line("notify webhook: nothing can be kept on disk: No such file or directory$")
    connection.close()
    end(daemon)


def test_what_hangs_does_not_hold_up_the_end(
    quick: Cli, configure: Configure, alerts: Endpoint, endpoint: Endpoint, idle: Any, tmp_path: Path
) -> None:
    alerts.default = Answer(wait_s=90)
    began = tmp_path / "began"
    configure([webhook(alerts), {"command": ["/bin/sh", "-c", f"touch {began}; sleep 600 & wait"]}])
    daemon = quick.start("daemon")
    alerts.wait_for(1)
    wait_for(began.exists, daemon.__repr__)
    cycles_go_on(endpoint)
    end(daemon)
    wait_for(lambda: quick.leftovers() == [], "something of the command is left")


def test_what_is_refused_for_good_is_given_up(quick: Cli, configure: Configure, alerts: Endpoint, idle: Any) -> None:
    alerts.default = Answer(400)
    configure([webhook(alerts)])
    daemon = quick.start("daemon")
    daemon.wait_for_line("notify webhook: refused a notice, which is given up: 400 Bad Request$")
    end(daemon)


def test_slack_and_pagerduty(quick: Cli, configure: Configure, alerts: Endpoint, idle: Any, db: Database) -> None:
    slack = {"slack": f"{alerts.url}/{SECRET}/slack"}
    pagerduty = {"pagerduty": SECRET, "url": f"{alerts.url}/pagerduty"}
    configure([slack, pagerduty])
    daemon, pid = quick.start("daemon"), idle.info.backend_pid  # another test's session may be idle on the same server

    def sent(end: str) -> list[str]:
        return [json.dumps(each.json) for each in list(alerts.requests) if each.path.endswith(end)]

    wait_for(lambda: CHECK in "".join(sent("slack")), daemon.__repr__)
    wait_for(lambda: CHECK in "".join(sent("pagerduty")), daemon.__repr__)
    idle.close()
    wait_for(lambda: "resolved: session" in "".join(sent("slack")), daemon.__repr__)
    wait_for(lambda: '"resolve"' in "".join(sent("pagerduty")), daemon.__repr__)
    end(daemon)
    told = "".join(sent("slack"))
    assert "<!channel>" not in told and "&lt;!channel&gt;|*b*" in told
    mine = [each for each in map(json.loads, sent("pagerduty")) if f"{CHECK}:{pid}" in each["dedup_key"]]
    assert [each["event_action"] for each in mine] == ["trigger", "resolve"]
    assert mine[0]["dedup_key"] == mine[1]["dedup_key"]
    assert mine[0]["routing_key"] == SECRET


def test_reload(quick: Cli, configure: Configure, alerts: Endpoint, endpoint: Endpoint, idle: Any) -> None:
    configure([])
    daemon = quick.start("daemon")
    cycles_go_on(endpoint)
    configure([webhook(alerts)])
    daemon.send(signal.SIGHUP)
    wait_for(lambda: whats(alerts) == ["open"], daemon.__repr__)
    alerts.down()
    idle.close()
    daemon.wait_for_line("notify webhook: connection ")
    configure([])
    daemon.send(signal.SIGHUP)
    daemon.wait_for_line("notify webhook: gone, with what waited for it$")
    cycles_go_on(endpoint)
    end(daemon)
    assert list((quick.state / "pgdoctor" / "spool" / "notify").iterdir()) == []


def test_another_daemon_that_takes_over_tells_by_the_same_key(
    quick: Cli, configure: Configure, alerts: Endpoint, idle: Any, tmp_path: Path
) -> None:
    text = configure([webhook(alerts)], ha=True).read_text()
    other = Cli(tmp_path / "other", QUICK)
    (other.cwd / "pgdoctor.yaml").touch(0o600)
    (other.cwd / "pgdoctor.yaml").write_text(text)
    try:
        first = quick.start("daemon")
        wait_for(lambda: whats(alerts), first.__repr__)
        second = other.start("daemon")
        second.wait_for_line("standing by")
        assert whats(alerts) == ["open"]
        end(first)
        wait_for(lambda: len(whats(alerts)) == 2, second.__repr__)
        idle.close()
        wait_for(lambda: "resolved" in whats(alerts), second.__repr__)
        end(second)
    finally:
        other.end()
    told = events(alerts.snapshots)
    assert [event["event"] for event in told] == ["open", "open", "resolved"]
    assert len({event["dedup_key"] for event in told}) == 1


def test_notify_test(cli: Cli, configure: Configure, alerts: Endpoint) -> None:

    configure([webhook(alerts), {"command": "false"}, {"pagerduty": SECRET, "url": alerts.url, "name": "on-call"}])
    done = cli.run("notify", "test")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "✓ webhook: 200 OK\n✗ command: exit status 1\n✓ on-call: 200 OK\n"
    assert alerts.requests[0].json["events"][0]["event"] == "test"
    assert [each.json["event_action"] for each in alerts.requests[1:]] == ["trigger", "resolve"]
    assert cli.run("notify", "test", "on-call").returncode == 0
    done = cli.run("notify", "test", "nobody")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pgdoctor: no channel is called nobody; there is webhook, command, on-call\n"
    configure([])
    done = cli.run("notify", "test")
    assert (done.returncode, done.stderr) == (
        2,
        "pgdoctor: no channel is configured; notify, in the configuration, names who is told\n",
    )
