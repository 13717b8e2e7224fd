"""What the daemon's log says once, although it is so in each cycle."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

Multi = Callable[..., Path]


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    yield made
    made.drop()


def test_an_error_whose_number_changes_is_told_once(cli: Cli, multi: Multi, db: Database, endpoint: Endpoint) -> None:
    db.server.sql(f"REVOKE pg_monitor FROM {db.role}")
    db.sql("CREATE TABLE t (x int)")
    multi({"app": {"dsn": db.dsn, "interval": 1}})
    daemon = cli.start("daemon")

    def hidden() -> set[str]:
        db.sql("SELECT " + ", ".join(["x"] * (len(endpoint.snapshots) + 1)) + " FROM t")
        errors = [error["error"] for snapshot in endpoint.snapshots for error in snapshot["errors"]]
        return {error for error in errors if "are hidden from" in error}

    told: set[str] = wait_for(lambda: len(hidden()) >= 3 and hidden(), "the number does not change", 60)
    daemon.send()
    done = daemon.finish()
    assert done.stdout.count("are hidden from") == 1, (told, json.dumps(daemon.lines))


def test_what_the_server_told_before_a_restart_is_not_told_again_by_another_database(
    cli: Cli, multi: Multi, sick: Server, endpoint: Endpoint
) -> None:
    databases = {name: {"dsn": sick.new_database().dsn, "interval": 60} for name in ("a", "b")}
    told = []
    for count, names in ((2, "ab"), (4, "ba")):
        multi({name: databases[name] for name in names})
        daemon = cli.start("daemon")
        endpoint.wait_for_snapshots(count)
        daemon.send()
        told += [line for line in daemon.finish().stdout.splitlines() if "(slot-lost)" in line]
    assert len(told) == 1, told
    brought = [one["database"]["name"] for one in endpoint.snapshots if "server" in one["sections"]]
    assert len(brought) == 2
    counts = [sum(each["check"] == "slot-lost" for each in one["findings"]) for one in endpoint.snapshots]
    assert counts.count(1) in (2, 3), counts  # who no longer tells may have been first, and so not have known yet
