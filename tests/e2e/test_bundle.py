"""`bundle`: what goes in, and what never does."""

import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

from pgdoctor_lib.agent import bundle
from pgdoctor_lib.agent.background import Files
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.errors import ConfigError
from tests.faults.echoes import forms, needles
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

Multi = Callable[..., Path]
SECRETS = {
    "token": "T0k/+%~\"'<>&=canary-token",
    "url": "pä ss/w@rd:%\"'&=canary-url",
    "file": "canary file/'%+é",
    "pgpass": "canary-pgpass-é/%",
    "environment": "canary-environment-ü+%",
}
FIXED = ["README.txt", "version.txt", "config.txt", "config-test.txt", "status.txt", "log.txt", "spool.txt"]


def contents(path: Path) -> dict[str, bytes]:
    """By name; every member is a plain file of nobody's below the one folder."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
        for member in archive:
            assert member.isfile() and member.mode == 0o600 and (member.uid, member.uname) == (0, "")
            folder, _, name = member.name.partition("/")
            assert folder == "pgdoctor-bundle" and ".." not in name
            opened = archive.extractfile(member)
            assert opened
            found[name] = opened.read()
    return found


def test_what_the_daemon_delivered_last(
    cli: Cli, multi: Multi, endpoint: Endpoint, newest_database: Database, newest_server: Server
) -> None:
    other = newest_server.new_database()
    multi({"../a b": {"dsn": newest_database.dsn, "interval": 1}, "shop": {"dsn": other.dsn, "interval": 1}})
    assert cli.run("daemon", "start").returncode == 0
    endpoint.wait_for_snapshots(4)
    last = cli.state / "pgdoctor/spool/last"
    wait_for(lambda: len(list(last.glob("*.json.gz"))) == 2, "no last snapshots")
    done = cli.run("bundle")
    assert (done.returncode, done.stderr) == (0, "")
    *told, end = done.stdout.splitlines()
    path = end.partition(": look at it before you send it")[0]
    assert path.startswith("pgdoctor-bundle-databases-") and path.endswith(".tar.gz")
    found = contents(cli.cwd / path)
    assert stat.S_IMODE((cli.cwd / path).stat().st_mode) == 0o600
    folders = ["databases/001-a-b", "databases/002-shop"]
    snapshots = [f"{folder}/{name}" for folder in folders for name in ("snapshot.json", "findings.md")]
    assert list(found) == [*FIXED, *snapshots, "databases.txt"]
    assert [line.split()[-1] for line in told] == list(found)
    assert b"Daemon is running (PID: " in found["status.txt"]
    assert "uploading... ✓".encode() in found["log.txt"]
    assert "✓ endpoint".encode() in found["config-test.txt"]
    assert b'name: "shop"' in found["config.txt"]
    assert b"last/shop.json.gz" in found["spool.txt"]
    assert json.loads(found["databases/002-shop/snapshot.json"])["database"]["name"] == "shop"
    assert found["databases/002-shop/findings.md"].startswith(b"## shop\n")
    assert b"shop: databases/002-shop, collected at 20" in found["databases.txt"]
    assert b"gevent " in found["version.txt"]
    assert cli.run("bundle", "-o", path).returncode == 2
    other.drop()


def test_no_secret_gets_in(cli: Cli, multi: Multi, newest_server: Server) -> None:
    newest_server.create_role("canary_bundle", SECRETS["url"])
    database = newest_server.new_database()
    for secret in SECRETS.values():
        quoted = secret.replace('"', '""')
        database.sql(f'CREATE TABLE "{quoted}" (x int)')
        database.sql(f'SELECT count(*) /* {secret.replace("%", "")} */ FROM "{quoted.replace("%", "%%")}"', [])
    (cli.home / "password").touch(0o600)
    (cli.home / "password").write_text(SECRETS["file"] + "\n")
    (cli.home / ".pgpass").touch(0o600)
    (cli.home / ".pgpass").write_text(f"*:*:*:*:{SECRETS['pgpass']}\n")
    dsn = newest_server.dsn(database.name, "canary_bundle", SECRETS["url"])
    there = {"dsn": f"host=127.0.0.1 port={newest_server.port} user=canary_bundle dbname={database.name}"}
    multi(
        {"url": {"dsn": dsn}, "file": {**there, "password_file": str(cli.home / "password")}, "pgpass": there},
        token=SECRETS["token"],
    )
    log = cli.state / "pgdoctor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch(0o600)
    log.write_text("".join(f"{form}\n" for secret in SECRETS.values() for form in forms(secret)))
    spool = cli.state / "pgdoctor/spool/rejected"
    spool.mkdir(mode=0o700, parents=True)
    for secret in SECRETS.values():
        (spool / forms(secret)[1]).touch()
    env = {"PGPASSWORD": SECRETS["environment"]}
    for number, arguments in enumerate(([], ["url"], ["file"], [dsn])):
        path = cli.cwd / f"{number}.tar.gz"
        done = cli.run("bundle", *arguments, "-o", str(path), env=env)
        assert (done.returncode, done.stderr) == (0, "")
        shown = {"output": done.stdout.encode(), **contents(path), "names": "\n".join(contents(path)).encode()}
        known = set(SECRETS) - ({"environment"} if arguments == [dsn] else set())  # the DSN's takes its place
        for secret in map(SECRETS.get, known):
            for needle in needles(secret or ""):
                assert [name for name, data in shown.items() if needle.encode() in data] == [], needle
        assert b"***" in shown["log.txt"]
    assert any(name.endswith("snapshot.json") for name in contents(cli.cwd / "3.tar.gz"))
    database.drop()
    newest_server.sql("DROP ROLE canary_bundle")


def test_nothing_is_there(cli: Cli) -> None:
    done = cli.run("bundle", "-o", "b.tar.gz")
    assert done.returncode == 0
    assert done.stderr.startswith("pgdoctor: warning: no configuration")
    found = contents(cli.cwd / "b.tar.gz")
    assert list(found) == [*FIXED, "databases.txt"]
    assert b"could not be told: no configuration" in found["config.txt"]
    assert b"there is no last snapshot" in found["databases.txt"]
    assert not cli.state.exists(), "who only looks makes nothing"
    assert cli.run("bundle", "nobody").returncode == 2


def test_a_broken_configuration_and_a_database_that_is_down(cli: Cli) -> None:
    done = cli.run("bundle", "postgres://u:canary-pw@127.0.0.1:1/app", "-o", "b.tar.gz")
    assert (done.returncode, done.stderr) == (0, "")
    found = contents(cli.cwd / "b.tar.gz")
    assert b"app: could not be looked at now: app: connection refused" in found["databases.txt"]
    assert "✗ app: connection refused".encode() in found["config-test.txt"]
    (cli.cwd / "pgdoctor.yaml").touch(0o600)
    (cli.cwd / "pgdoctor.yaml").write_text("intervall: 5\n")
    assert cli.run("bundle", "-o", "c.tar.gz").returncode == 0
    assert b"did you mean interval?" in contents(cli.cwd / "c.tar.gz")["config-test.txt"]


def test_what_fails_as_nobody_thought_costs_its_own_member_alone(tmp_path: Path) -> None:
    def broken() -> float:
        raise ZeroDivisionError("a bug")

    files, environ = Files(str(tmp_path / "pid"), str(tmp_path / "log")), {"HOME": str(tmp_path)}
    asked = bundle.Asked(ConfigError("no configuration"), None, None, files, environ)
    found = dict(bundle.members(asked, Clock(wall=broken)))
    assert list(found) == [*FIXED, "databases.txt"]
    assert found["spool.txt"] == b"could not be told: ZeroDivisionError: a bug\n"
