"""What `daemon status` tells."""

import json
import os
import time
from pathlib import Path
from typing import Any

from pgdoctor_lib.agent import status
from tests.agent.at_home import check, configure, pid
from tests.fix_daemon import Cli
from tests.waiting import wait_for


def test_status_lines() -> None:
    told = status.Status(12345, 30.0, (
        status.DatabaseStatus("production", 988.0, 1048.0),
        status.DatabaseStatus("staging", 1000.0 - 7300, 1000.0 + 240, "upload failed: 503"),
        status.DatabaseStatus("new\x1b[31m", None, None),
    ), 24)  # fmt: skip
    assert told.lines(1000.0) == [
        "Daemon is running (PID: 12345)",
        "  production: last delivered 12 s ago, next cycle in 48 s",
        "  staging: last delivered 2 h ago, next cycle in 4 min (upload failed: 503)",
        "  new\\x1b[31m: nothing delivered yet, cycle at work",
        "  in the spool, to be delivered: 24",
    ]


def test_status_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.json")
    told = [status.DatabaseStatus("a", 1.0, 2.0, None), status.DatabaseStatus("b")]
    writer = status.StatusFile(path, 7.0)
    writer.write(told, 3)
    assert status.read(path, os.getpid()) == status.Status(os.getpid(), 7.0, tuple(told), 3)
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
    status.StatusFile(str(tmp_path / "missing" / "x.json")).write(told, 0)


def test_status_on_a_real_database(here: Cli, database: Any, endpoint: Any) -> None:
    top = f"endpoint: {endpoint.url}\ntoken: not-a-real-token\n"
    configure(here, f"{top}databases:\n  - {{name: production, dsn: '{database.dsn}'}}\n")
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
