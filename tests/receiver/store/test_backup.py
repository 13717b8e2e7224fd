"""Backups as docs/receiver.md has them, taken while a receiver is at work, and served again."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fix_daemon import Cli
from tests.postgres.server import Server
from tests.receiver.client import Client, snapshot
from tests.waiting import wait_for


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done


@contextmanager
def _at_work(receiver: Client) -> Iterator[list[bytes]]:
    """Within, snapshots come in. Those that were accepted."""
    accepted: list[bytes] = []
    ended = threading.Event()

    def send() -> None:
        while not ended.is_set():
            body = snapshot(ago_s=1000 - len(accepted)).body()
            assert receiver.post(body).status == 201
            accepted.append(body)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_for(lambda: len(accepted) >= 20, "snapshots come in")
        yield accepted
    finally:
        ended.set()
        sender.join()


def _assert_served(cli: Cli, option: str, accepted: list[bytes]) -> None:
    """All that was accepted before the backup, as it came; and more is taken."""
    restored = Client(cli, option)
    for body in accepted:
        identity = re.findall(rb'"snapshot_id": ?"([0-9a-f-]+)"', body)[0].decode()
        assert restored.get(f"/api/snapshots/{identity}").body == body
    (found,) = restored.get("/api/databases").json["databases"]
    assert restored.get(f"/databases/{found['id']}").status == 200
    assert restored.post(snapshot().body()).status == 201


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="no sqlite3 here")
def test_a_file(cli: Cli, tmp_path: Path) -> None:
    receiver = Client(cli, f"--database={tmp_path / 'serve.db'}")
    with _at_work(receiver) as accepted:
        before = list(accepted)
        _run("sqlite3", str(tmp_path / "serve.db"), f"VACUUM INTO '{tmp_path / 'backup.db'}'")
    _assert_served(cli, f"--database={tmp_path / 'backup.db'}", before)


@pytest.mark.pg("== 15")  # the system's pg_dump is of this major
@pytest.mark.skipif(not shutil.which("pg_dump"), reason="no pg_dump here")
def test_a_database(cli: Cli, tmp_path: Path, server: Server) -> None:
    made, empty = server.new_database(), server.new_database()
    receiver = Client(cli, f"--store={server.dsn(made.name)}")
    with _at_work(receiver) as accepted:
        before = list(accepted)
        _run("pg_dump", "-Fc", "-n", "pgdoctor", "-f", str(tmp_path / "store.dump"), server.dsn(made.name))
    _run("pg_restore", "--exit-on-error", "-d", server.dsn(empty.name), str(tmp_path / "store.dump"))
    _assert_served(cli, f"--store={server.dsn(empty.name)}", before)
    cli.end()
    for each in (made, empty):
        each.drop()
