"""Passwords that change, from files and from commands: on real servers, with real programs."""

import os
import threading
import time
from pathlib import Path

import pytest
from psycopg2 import sql as compose

from pgdoctor_lib.config.dsn import Command, Dsn, PasswordSource
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres import passwords
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.passwords import with_password
from pgdoctor_lib.secret import redact
from tests.postgres.server import Database, Server
from tests.waiting import wait_for


@pytest.fixture
def db(newest_server: Server) -> Database:
    made = newest_server.new_database()
    yield made
    made.drop()


def of_file(db: Database | None, path: Path) -> Dsn:
    return _dsn(db, PasswordSource(file=str(path)))


def of_command(db: Database | None, *words: str) -> Dsn:
    return _dsn(db, PasswordSource(command=Command(words)))


def _dsn(db: Database | None, source: PasswordSource) -> Dsn:
    text = db.server.dsn(db.name, db.role) if db else "host=127.0.0.1 port=1"
    parsed = Dsn.parse(text, {})
    return Dsn(parsed.params, parsed.hosts, parsed.secrets, source)


def rotate(db: Database, password: str) -> None:
    db.sql(compose.SQL("ALTER ROLE {} PASSWORD {}").format(compose.Identifier(db.role), compose.Literal(password)))


def password(dsn: Dsn) -> str:
    secret = with_password(dsn).password
    assert secret is not None
    return secret.reveal()


def failure(dsn: Dsn) -> str:
    with pytest.raises(DatabaseError) as raised:
        with_password(dsn)
    assert "canary" not in str(raised.value) and "\n" not in str(raised.value)
    return str(raised.value)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def test_a_file_is_read_at_each_connection(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "password"
    dsn = of_file(db, path)
    path.write_text(db.password + "\n")
    connect(dsn).close()
    rotate(db, "canary two  words ")
    path.write_text("canary two  words \r\n")
    connect(dsn).close()
    path.write_text("canary-wrong")
    with pytest.raises(DatabaseError, match="password authentication failed"):
        connect(dsn)
    path.unlink()
    with pytest.raises(DatabaseError, match=r"password_file .*/password: No such file or directory"):
        connect(dsn)


def test_a_link_is_followed_as_in_a_mounted_secret(tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("one")
    (tmp_path / "password").symlink_to("v1")
    assert password(of_file(None, tmp_path / "password")) == "one"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (b"canary\nmore\n", "more than one line"),
        (b"canary\0x", "no password, but binary data"),
        (b"canary\xff", "not UTF-8"),
        (b"canary" * 5000, "not a small plain file"),
    ],
)
def test_what_a_file_must_not_hold(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "password").write_bytes(content)
    assert failure(of_file(None, tmp_path / "password")) == f"password_file {tmp_path}/password: {why}"


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert failure(of_file(None, tmp_path / "pipe")).endswith(": not a small plain file")
    assert "directory" in failure(of_file(None, tmp_path)) or "plain file" in failure(of_file(None, tmp_path))


def test_a_command_is_run_without_a_shell(db: Database) -> None:
    rotate(db, "canary $(id) 'x' *")
    connect(of_command(db, "echo", "canary $(id) 'x' *")).close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo canary; echo canary >&2; exit 3", "exit status 3"),
        ("echo canary; kill -9 $$", "killed by signal 9"),
        ("true", "printed nothing"),
        ("echo canary; echo canary", "more than one line"),
        ("while echo canarycanarycanarycanary; do :; done", "printed more than 64 KiB"),
        ("head -c 10000000 /dev/zero; exit 3", "printed more than 64 KiB"),
    ],
)
def test_commands_that_fail(tmp_path: Path, text: str, why: str) -> None:
    assert failure(of_command(None, script(tmp_path / "ask", text), "canary")) == f"password_command ask: {why}"


def test_what_is_no_command(tmp_path: Path) -> None:
    (tmp_path / "ask").write_text("no program")
    assert failure(of_command(None, "no-such-program-7f")) == (
        "password_command no-such-program-7f: No such file or directory"
    )
    assert failure(of_command(None, str(tmp_path / "ask"))).endswith(": Permission denied")


@pytest.mark.parametrize("hang", ["sleep 600 & echo $! >$0.pid; wait", "sleep 600 & echo $! >$0.pid; echo canary"])
def test_one_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hang: str
) -> None:
    monkeypatch.setattr(passwords, "COMMAND_S", 0.5)
    dsn = of_command(None, script(tmp_path / "ask", hang))
    assert failure(dsn) == "password_command ask: no password within 0.5 s"
    child = int((tmp_path / "ask.pid").read_text())
    wait_for(lambda: _is_gone(child), "its child goes on")


def test_it_gets_nothing_of_ours(tmp_path: Path) -> None:
    with open(tmp_path / "ours", "w") as ours:
        os.set_inheritable(ours.fileno(), True)
        look = script(tmp_path / "ask", 'read line; echo "$line:$(pwd):$(ls -l /proc/self/fd | grep -c ours)"')
        assert password(of_command(None, look)) == ":/:0"


def test_many_at_once_start_it_once(tmp_path: Path) -> None:
    dsn = of_command(None, script(tmp_path / "ask", "echo x >>$0.runs; sleep 0.3; echo pw"))
    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(password(dsn))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["pw"] * 30
    assert (tmp_path / "ask.runs").read_text() == "x\n"


def test_a_failure_is_shared_and_does_not_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = script(tmp_path / "ask", "echo x >>$0.runs; cat $0.pw")
    dsn = of_command(None, ask)
    assert {failure(dsn), failure(dsn)} == {"password_command ask: exit status 1"}
    assert (tmp_path / "ask.runs").read_text() == "x\n"
    (tmp_path / "ask.pw").write_text("pw")
    monkeypatch.setattr(passwords, "GOOD_FOR_S", 0.0)
    assert password(dsn) == "pw"


def test_a_password_that_is_refused_is_asked_for_anew(db: Database, tmp_path: Path) -> None:
    ask = script(tmp_path / "ask", "echo x >>$0.runs; cat $0.pw")
    dsn = of_command(db, ask)
    (tmp_path / "ask.pw").write_text(db.password)
    for _ in range(3):
        connect(dsn).close()
    assert (tmp_path / "ask.runs").read_text() == "x\n"
    rotate(db, "canary-second")
    (tmp_path / "ask.pw").write_text("canary-second")
    for _ in range(3):
        connect(dsn).close()
    assert (tmp_path / "ask.runs").read_text() == "x\nx\n"


def test_it_is_asked_for_anew_though_another_address_of_the_name_is_down(db: Database, tmp_path: Path) -> None:
    ask = script(tmp_path / "ask", "cat $0.pw")
    places = f"host=db1,db1 hostaddr=127.0.0.1,::1 port={db.server.port}"
    parsed = Dsn.parse(f"{places} user={db.role} dbname={db.name}", {})
    dsn = Dsn(parsed.params, parsed.hosts, parsed.secrets, PasswordSource(command=Command((ask,))))
    (tmp_path / "ask.pw").write_text(db.password)
    connect(dsn).close()
    rotate(db, "canary-second")
    (tmp_path / "ask.pw").write_text("canary-second")
    connect(dsn).close()


def test_a_wrong_one_is_not_asked_for_without_end(db: Database, tmp_path: Path) -> None:
    dsn = of_command(db, script(tmp_path / "ask", "echo x >>$0.runs; echo canary-wrong"))
    with pytest.raises(DatabaseError, match="password authentication failed") as raised:
        connect(dsn)
    assert "canary" not in str(raised.value)
    assert (tmp_path / "ask.runs").read_text() == "x\n"


def test_nobody_there_is_no_reason_to_ask_anew(tmp_path: Path) -> None:
    dsn = of_command(None, script(tmp_path / "ask", "echo x >>$0.runs; echo canary"))
    for _ in range(3):
        with pytest.raises(DatabaseError, match="refused"):
            connect(dsn)
    assert (tmp_path / "ask.runs").read_text() == "x\n"


def test_a_session_cancels_with_the_password_of_now(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(db.password)
    session = connect(of_file(db, path))
    rotate(db, "canary-second")
    path.write_text("canary-second")
    with pytest.raises(DatabaseError, match="timeout"), session.transaction(0.3):
        session.query("SELECT pg_sleep(60)")
    session.close()
    other = connect(of_file(db, path))
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"
    wait_for(lambda: db.sql(asleep) == [(0,)], "it sleeps on")
    other.close()


def test_the_redactor_knows_those_in_use_alone(tmp_path: Path) -> None:
    path = tmp_path / "password"
    dsn = of_file(None, path)
    texts = [f"zebra-{number}-generation" for number in range(8)]
    for text in texts:
        path.write_text(text)
        assert password(dsn) == text
        assert redact(f"no {text} here") == "no *** here"
        assert str(with_password(dsn)).count("zebra") == 0
    assert redact(texts[-2]) == "***"
    assert redact(texts[0]) == texts[0]


def test_two_sources_of_one_password(tmp_path: Path) -> None:
    first, second = of_file(None, tmp_path / "a"), of_file(None, tmp_path / "b")
    for path in ("a", "b"):
        (tmp_path / path).write_text("canary-shared")
    assert password(first) == password(second)
    for number in range(5):
        (tmp_path / "a").write_text(f"canary-other-{number}")
        password(first)
    assert redact("canary-shared") == "***"


def _is_gone(pid: int) -> bool:
    """Ended, or a zombie that nobody has looked at yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_waiting_for_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COMMAND_S", 0.5)
    began = time.monotonic()
    failure(of_command(None, script(tmp_path / "ask", "exec >&-; sleep 600")))
    assert time.monotonic() - began < 60
