import json
import signal
import socket
import sqlite3
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, head, snapshot, status_of


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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_gracefully(receiver: Client, signum: signal.Signals) -> None:
    with receiver.connect() as idle:  # a connection that is kept does not hold up the end
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        idle.recv(65536)
        begun = time.monotonic()
        receiver.running.send(signum)
        ended = receiver.running.finish(10)
    assert (ended.returncode, ended.stdout.splitlines()[-1], ended.stderr) == (0, "Receiver stopped gracefully.", "")
    assert time.monotonic() - begun < 3


def test_a_request_at_work_is_finished_first(receiver: Client) -> None:
    body = snapshot().body()
    with receiver.connect() as connection:
        connection.sendall(head(str(len(body))) + body[:100])
        time.sleep(0.3)  # until the head has arrived there is nothing at work
        receiver.running.send(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[100:])
        assert status_of(connection.recv(65536)) == 201
    assert receiver.running.finish(5).returncode == 0


def test_a_second_signal_does_not_wait(receiver: Client) -> None:
    with receiver.connect() as connection:
        connection.sendall(head("1000") + b"{")
        time.sleep(0.3)
        receiver.running.send(signal.SIGTERM)
        time.sleep(0.3)
        receiver.running.send(signal.SIGTERM)
        assert receiver.running.finish(5).returncode == 0


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
        ended = cli.run("serve", "--port", "0", "--database", str(path), timeout_s=20)
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
    assert cli.run("serve", "--port", "0", timeout_s=20).returncode == 2  # not cut to one that fits
    token.unlink()
    token.symlink_to("/etc/hostname")
    assert cli.run("serve", "--port", "0").returncode == 1
    assert cli.run("serve", "--port", "0", env={"PGDOCTOR_TOKEN": "two words"}).returncode == 2
    assert cli.run("serve", "--port", "0", env={"PGDOCTOR_TOKEN": "x" * 4097}, timeout_s=20).returncode == 2


def test_a_store_that_cannot_write_answers_503(receiver: Client, cli: Cli) -> None:
    path = cli.state / "pgdoctor" / "serve.db"
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = receiver.post(snapshot().body())
        assert (answer.status, answer.json) == (503, {"error": "the store cannot be reached just now"})
        assert receiver.get("/").status == 200  # readers do not wait for a writer
        other.execute("ROLLBACK")
    assert receiver.post(snapshot().body()).status == 201
    assert receiver.running.errors == ["pgdoctor: store: serve.db: database is locked"]


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
    deadline = time.monotonic() + 10
    while len(found := again.get("/api/databases").json["databases"]) != 1:
        assert time.monotonic() < deadline
    assert found[0]["name"] == "here"
    assert again.get(f"/api/snapshots/{old.snapshot_id}").status == 404
    assert again.get(f"/api/snapshots/{new.snapshot_id}").body == new.body()


def test_on_ipv6(cli: Cli) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    running = cli.start("serve", "--host", "::1", "--port", "0", env={"PGDOCTOR_TOKEN": TOKEN})
    port = int(running.wait_for_line(r"^Receiver listening on http://\[::1\]:(\d+)/$")[1])
    with socket.create_connection(("::1", port), timeout=10) as connection:
        connection.sendall(f"GET /api/databases HTTP/1.1\r\nHost: [::1]:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"databases": []}
