import json
import os
import resource
import signal
import socket
import sqlite3
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, head, snapshot, status_of
from tests.waiting import wait_for

NOT_WRITTEN = "the store cannot be written just now: the receiver's log says why"


def test_what_was_accepted_survives_a_kill(cli: Cli) -> None:
    receiver = Client(cli)
    accepted: list[str] = []

    def send() -> None:
        try:
            while len(accepted) < 10_000:
                if (answer := receiver.post(snapshot().body())).status == 201:
                    accepted.append(answer.json["id"])
        except (OSError, ValueError, HTTPException):
            pass  # killed, perhaps in the middle of an answer

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    while len(accepted) < 50:
        time.sleep(0.01)
    receiver.running.kill()
    for sender in senders:
        sender.join()
    again = Client(cli)
    missing = [each for each in accepted if again.get(f"/api/snapshots/{each}").status != 200]
    assert missing == []


def test_a_restart_keeps_data_and_token(cli: Cli) -> None:
    first = Client(cli, env={"PGDOCTOR_TOKEN": None})
    shown = first.running.wait_for_line(r"^Token \(shown this once, kept in (.*)\): (\S+)$")
    kept = Path(shown[1])
    assert kept == cli.state / "pgdoctor" / "serve.token"
    bearer = f"Bearer {shown[2]}"
    assert first.post(snapshot().body(), Authorization=bearer).status == 201
    first.running.send(signal.SIGTERM)
    assert first.running.finish().returncode == 0
    again = Client(cli, env={"PGDOCTOR_TOKEN": None})
    assert again.post(snapshot().body(), Authorization=bearer).status == 201
    assert len(again.get("/api/databases").json["databases"]) == 1
    again.running.send(signal.SIGINT)
    assert shown[2] not in again.running.finish().stdout
    assert {oct(path.stat().st_mode & 0o777) for path in kept.parent.iterdir()} == {"0o600"}
    assert oct(kept.parent.stat().st_mode & 0o777) == "0o700"


def sockets(receiver: Client) -> list[list[str]]:
    """The kernel's lines of those at the receiver's port: local address, remote one, state, queues, and so on."""
    lines = Path(f"/proc/{receiver.running.pid}/net/tcp").read_text().splitlines()
    return [words[1:] for words in map(str.split, lines) if words[1].endswith(f":{receiver.port:04X}")]


def has_read_all(receiver: Client, connection: socket.socket) -> bool:
    """Nothing of what was sent waits for the receiver to read it."""
    mine = f":{connection.getsockname()[1]:04X}"
    [queues] = [queues for _, remote, _, queues, *_ in sockets(receiver) if remote.endswith(mine)] or [""]
    return queues.endswith(":00000000")


def takes_no_more(receiver: Client) -> bool:
    """Nobody listens at its port."""
    return not [state for _, _, state, *_ in sockets(receiver) if state == "0A"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_gracefully(receiver: Client, signum: signal.Signals) -> None:
    with receiver.connect() as idle:  # a connection that is kept does not hold up the end
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        idle.recv(65536)
        begun = time.monotonic()
        receiver.running.send(signum)
        ended = receiver.running.finish()
    assert (ended.returncode, ended.stdout.splitlines()[-1], ended.stderr) == (0, "Receiver stopped gracefully.", "")
    assert time.monotonic() - begun < 9  # a request at work is given ten seconds


def test_a_request_at_work_is_finished_first(receiver: Client) -> None:
    body = snapshot().body()
    with receiver.connect() as connection:
        connection.sendall(head(str(len(body))) + body[:100])
        wait_for(lambda: has_read_all(receiver, connection), "it does not read")
        receiver.running.send(signal.SIGTERM)
        wait_for(lambda: takes_no_more(receiver), "it goes on listening")
        connection.sendall(body[100:])
        assert status_of(connection.recv(65536)) == 201
    assert receiver.running.finish().returncode == 0


def test_a_second_signal_does_not_wait(receiver: Client) -> None:
    with receiver.connect() as connection:
        connection.sendall(head("1000") + b"{")
        wait_for(lambda: has_read_all(receiver, connection), "it does not read")
        receiver.running.send(signal.SIGTERM)
        wait_for(lambda: takes_no_more(receiver), "it goes on listening")
        receiver.running.send(signal.SIGTERM)
        assert receiver.running.finish(9).returncode == 0  # the first alone would give it ten seconds


def test_a_taken_port_is_one_line(receiver: Client, cli: Cli) -> None:
    ended = cli.run("serve", "--port", str(receiver.port), env={"PGDOCTOR_TOKEN": TOKEN})
    assert ended.returncode == 1
    assert ended.stderr == (
        f"pgdoctor: cannot listen on 127.0.0.1:{receiver.port}: Address already in use; --port 0 takes any free one\n"
    )


@pytest.mark.parametrize(
    ("args", "status"),
    [(("--port", "65536"), 2), (("--port", "x"), 2), (("--host", "256.1.1.1"), 1), (("--host", "192.0.2.1"), 1)],
)
def test_addresses_that_make_no_sense(cli: Cli, args: tuple[str, ...], status: int) -> None:
    ended = cli.run("serve", *args)
    assert (ended.returncode, ended.stderr.count("\n")) == (status, 1)
    assert ended.stderr.startswith("pgdoctor: ")


def test_files_that_are_not_ours_are_refused(cli: Cli, tmp_path: Path) -> None:
    foreign, text, newer = (tmp_path / name for name in ("foreign.db", "text.db", "newer.db"))
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    text.write_text("not a database " * 100)
    Client(cli, "--database", str(newer)).running.kill()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    link = tmp_path / "link.db"
    link.symlink_to(newer)
    before = {path: path.read_bytes() for path in (foreign, text)}
    for path in (foreign, text, newer, link, tmp_path):
        ended = cli.run("serve", "--port", "0", "--database", str(path))
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_a_token_that_others_could_read_or_plant_is_refused(cli: Cli) -> None:
    folder = cli.state / "pgdoctor"
    folder.mkdir(parents=True)
    token = folder / "serve.token"
    token.write_text("planted-token\n")
    token.chmod(0o644)
    assert cli.run("serve", "--port", "0").returncode == 1
    token.write_text("x" * 4097)
    token.chmod(0o600)
    assert cli.run("serve", "--port", "0").returncode == 2  # not cut to one that fits
    token.unlink()
    token.symlink_to("/etc/hostname")
    assert cli.run("serve", "--port", "0").returncode == 1
    assert cli.run("serve", "--port", "0", env={"PGDOCTOR_TOKEN": "two words"}).returncode == 2
    assert cli.run("serve", "--port", "0", env={"PGDOCTOR_TOKEN": "x" * 4097}).returncode == 2


def test_a_store_that_cannot_write_answers_503(receiver: Client, cli: Cli) -> None:
    path = cli.state / "pgdoctor" / "serve.db"
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = receiver.post(snapshot().body())
        assert (answer.status, answer.json) == (503, {"error": NOT_WRITTEN})
        assert receiver.get("/").status == 200  # readers do not wait for a writer
        other.execute("ROLLBACK")
    assert receiver.post(snapshot().body()).status == 201
    assert set(receiver.running.errors) == {"pgdoctor: store: serve.db: database is locked"}  # the job's, too


def test_a_disk_that_is_all_but_full_is_told(receiver: Client, cli: Cli) -> None:
    """What is asked for readiness still fits, a snapshot does not."""
    limit = cli.state.joinpath("pgdoctor", "serve.db-wal").stat().st_size + 200_000
    resource.prlimit(receiver.running.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    assert receiver.get("/readyz").status == 200
    answer = receiver.post(json.dumps({**json.loads(snapshot().body()), "noise": os.urandom(10**6).hex()}).encode())
    assert (answer.status, answer.json) == (503, {"error": NOT_WRITTEN})
    assert receiver.get("/readyz").status == 503
    assert "the receiver's store cannot be written" in receiver.get("/").text
    resource.prlimit(receiver.running.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert receiver.post(snapshot().body()).status == 201
    assert receiver.get("/readyz").status == 200
    assert "cannot be written" not in receiver.get("/").text


def test_what_is_over_14_days_old_is_forgotten(cli: Cli) -> None:
    receiver = Client(cli)
    old, new = snapshot("gone", ago_s=20 * 86_400), snapshot("here")
    for each in (old, new):
        receiver.post(each.body())
    receiver.running.send()
    receiver.running.finish()
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db") as connection:
        for table in ("snapshot", "source"):
            connection.execute(f"UPDATE {table} SET received_at = collected_at")
    again = Client(cli)
    [found] = wait_for(lambda: _one(again.get("/api/databases").json["databases"]), "the old one stays")
    assert found["name"] == "here"
    assert again.get(f"/api/snapshots/{old.snapshot_id}").status == 404
    assert again.get(f"/api/snapshots/{new.snapshot_id}").body == new.body()


def _one(found: list[Any]) -> list[Any]:
    """Where there is one; else nothing."""
    return found if len(found) == 1 else []


def test_on_ipv6(cli: Cli) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    running = cli.start("serve", "--host", "::1", "--port", "0", env={"PGDOCTOR_TOKEN": TOKEN})
    port = int(running.wait_for_line(r"^Receiver listening on http://\[::1\]:(\d+)/$")[1])
    with socket.create_connection(("::1", port), timeout=60) as connection:
        connection.sendall(f"GET /api/databases HTTP/1.1\r\nHost: [::1]:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"databases": [], "more": 0}
