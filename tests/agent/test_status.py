"""What `daemon status` tells."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pgdoctor_lib.agent import status
from tests.agent.at_home import check, configure, pid
from tests.fix_daemon import Cli
from tests.waiting import wait_for


def database(name: str, **told: Any) -> status.DatabaseStatus:
    return status.DatabaseStatus(**{"name": name, "interval_s": 60.0, "since": 0.0, **told})


def test_status_lines() -> None:
    told = status.Status(12345, 30.0, (
        database("production", last_cycle=988.0, last_delivered=988.0, next_due=1048.0),
        database("staging", interval_s=3600.0, last_cycle=940.0, last_delivered=1000.0 - 7300, next_due=1000.0 + 240,
                 cycle_error="collection failed: timed out"),
        database("late", last_cycle=995.0, last_delivered=819.0, next_due=1055.0, upload_error="upload failed: 503"),
        database("reserve", since=0.0, next_due=1048.0, standing_by=True),
        database("lone", last_delivered=988.0, next_due=1048.0, alone=True),
        database("new\x1b[31m", since=990.0),
    ), 24, 3, 2, "pgdoctor.yaml:7: unknown key", ("notify slack: 503\x1b",))  # fmt: skip
    assert told.lines(1000.0) == [
        "Daemon is running (PID: 12345)",
        "  production: last delivered 12 s ago, next cycle in 48 s",
        "  staging: last delivered 2 h ago, next cycle in 4 min (last cycle 60 s ago: collection failed: timed out)",
        "  late: last delivered 3 min ago, next cycle in 55 s (upload failed: 503; "
        "overdue: no delivery for 3 intervals)",
        "  reserve: nothing delivered yet, next cycle in 48 s (standing by: another daemon collects it)",
        "  lone: last delivered 12 s ago, next cycle in 48 s (no lease: every daemon collects it)",
        "  new\\x1b[31m: nothing delivered yet, cycle at work",
        "  in the spool, to be delivered: 24",
        "  given up since the start: 3",
        "  the last reload changed nothing: pgdoctor.yaml:7: unknown key",
        "  notify slack: 503\\x1b",
    ]
    document = told.as_json(1000.0, 5e8)["databases"]
    assert [each["overdue"] for each in document] == [False, False, True, False, False, False]
    assert document[0]["last_delivered"] == 5e8 - 12 and document[0]["next_due"] == 5e8 + 48
    assert document[-1]["last_delivered"] is None
    assert [each["last_error"] for each in document[:3]] == [None, "collection failed: timed out", "upload failed: 503"]


@pytest.mark.parametrize(
    ("told", "overdue"),
    [
        ({"last_delivered": 820.0}, False),
        ({"last_delivered": 819.0}, True),
        ({"since": 820.0}, False),
        ({"since": 819.0}, True),
        ({"last_delivered": 999.0, "upload_error": "x"}, False),
        ({"last_delivered": 100.0, "standing_by": True}, False),
        ({"last_delivered": 100.0, "since": 900.0}, False),  # another daemon has collected it meanwhile
    ],
)
def test_three_intervals_without_a_delivery_are_too_many(told: dict[str, Any], overdue: bool) -> None:
    assert status.Status(1, databases=(database("a", **told),)).overdue(1000.0) is overdue


def test_status_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    told = status.Status(os.getpid(), 7.0, (database("a", last_cycle=1.0), database("b")), 3, 2, 1, "why")
    writer = status.StatusFile(path)
    writer.write(told)
    assert status.read(path, os.getpid()) == told
    assert status.read(path, 1) == status.Status(1), "another process's"
    for rubbish in (
        "",
        "[]",
        "{",
        '{"pid": 1}',
        '{"pid": 1, "shutdown_timeout_s": 1, "databases": [{"x": 1}]}',
        "\xff",
    ):
        Path(path).write_text(rubbish, "latin-1")
        assert status.read(path, 1) == status.Status(1)
    writer.remove()
    assert list(tmp_path.iterdir()) == []
    assert status.read(path, 1) == status.Status(1)
    status.StatusFile(str(tmp_path / "missing" / "x.json")).write(told)


def test_status_on_a_real_database(here: Cli, db: Any, endpoint: Any) -> None:
    top = f"endpoint: {endpoint.url}\ntoken: not-a-real-token\n"
    configure(here, f"{top}databases:\n  - {{name: production, dsn: '{db.dsn}'}}\n")
    here.run("daemon", "start")
    endpoint.wait_for_snapshots(1)
    wait_for(lambda: "last delivered" in here.run("daemon", "status").stdout, "no delivery told")
    told = here.run("daemon", "status")
    check(
        told, 0, r"Daemon is running \(PID: \d+\)\n  production: last delivered \d+ s ago, next cycle in \d+ (s|min)\n"
    )
    document = json.loads(here.run("daemon", "status", "--json").stdout)
    assert document["running"] and document["pid"] == pid(here)
    [one] = document["databases"]
    assert abs(one["last_delivered"] - time.time()) < 60 and one["next_due"] > time.time()
    assert not document["overdue"]


@pytest.mark.long
def test_status_4_where_the_endpoint_gets_nothing(here: Cli, db: Any, endpoint: Any) -> None:
    """A daemon that runs, but does not do its work: the exit status says so, until it does again."""
    top = f"endpoint: {endpoint.url}\ntoken: not-a-real-token\ninterval: 1\n"
    configure(here, f"{top}databases:\n  - {{name: production, dsn: '{db.dsn}'}}\n")
    endpoint.down()
    here.run("daemon", "start")
    late = wait_for(lambda: (done := here.run("daemon", "status")).returncode == 4 and done, "nothing is overdue")
    assert "overdue: no delivery for 3 intervals" in late.stdout
    wait_for(lambda: "connection refused" in here.run("daemon", "status").stdout, "no cause")
    document = json.loads(here.run("daemon", "status", "--json").stdout)
    assert document["overdue"] and document["databases"][0]["overdue"] and document["spooled"]
    endpoint.up()
    wait_for(lambda: here.run("daemon", "status").returncode == 0, "it is overdue still", timeout_s=60)
