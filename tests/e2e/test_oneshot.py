"""`snapshot`, `upload`, `config test`, `version`: one walk along the path, and its exit status."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import TOKEN
from tests.fix_daemon import Cli
from tests.fix_endpoint import Answer, Endpoint
from tests.postgres.server import Database, Server

Single = Callable[..., dict[str, str]]
Multi = Callable[..., Path]
NOBODY = "postgres://u@127.0.0.1:1/app"


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    yield made
    made.drop()


def test_a_snapshot_of_a_dsn_needs_no_configuration(cli: Cli, database: Database) -> None:
    for text in (database.dsn, f"host=127.0.0.1 port={database.server.port} user=postgres dbname={database.name}"):
        done = cli.run("snapshot", text)
        assert (done.returncode, done.stderr) == (0, "")
        document = json.loads(done.stdout)
        assert document["meta"]["db_name"] == database.name
        assert document["meta"]["db_version"].startswith(f"PostgreSQL {database.server.major}.")
        assert document["has_pg_stat_statements"] is True
        assert set(document["sections"]) >= {
            "database",
            "activity",
            "tables",
            "indexes",
            "settings",
            "replication",
            "locks",
        }
        assert document["errors"] == []
        assert database.password not in done.stdout


def test_a_snapshot_picks_a_database_by_its_name(cli: Cli, multi: Multi, db: Database) -> None:
    multi({"production": {"dsn": db.dsn, "tags": ["critical"]}, "staging": {"dsn": NOBODY}})
    done = cli.run("snapshot", "production")
    assert json.loads(done.stdout)["database"] == {"name": "production", "tags": ["critical"], "interval_s": 300}
    done = cli.run("snapshot")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pgdoctor: which database? Name one of: production, staging\n"
    done = cli.run("snapshot", "productoin")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pgdoctor: no database is called productoin; name one of: production, staging\n"


def test_a_snapshot_that_cannot_be_taken(cli: Cli) -> None:
    done = cli.run("snapshot", NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'pgdoctor: app: connection refused (127.0.0.1:1); see "pgdoctor config test"\n'


def test_upload_tells_what_the_endpoint_answered(cli: Cli, single: Single, db: Database, endpoint: Endpoint) -> None:
    endpoint.default = Answer(201, {}, {"id": 42, "source_id": "src-1", "received_at": "2024-01-15T10:00:01Z"})
    done = cli.run("upload", env=single(db.dsn))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "uploaded snapshot: id=42 source_id=src-1 received_at=2024-01-15T10:00:01Z\n"


def test_an_upload_that_fails_keeps_the_snapshot_for_the_daemon(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint
) -> None:
    endpoint.script([401])
    done = cli.run("upload", env=single(db.dsn, 60))
    spool = cli.state / "pgdoctor" / "spool"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"pgdoctor: upload failed: 401 Unauthorized; the snapshot is kept in {spool}, and the daemon will deliver it\n"
    )
    daemon = cli.start("daemon", env=single(db.dsn, 60))
    daemon.wait_for_line("1 snapshot delivered from the spool, 0 left")
    daemon.send()
    assert daemon.finish().returncode == 0
    assert endpoint.requests[0].body in [request.body for request in endpoint.requests[1:]]


def test_an_upload_to_an_endpoint_that_cannot_be_verified_is_one_line(
    cli: Cli, single: Single, db: Database, tls_endpoint: Endpoint
) -> None:
    spool = cli.state / "pgdoctor" / "spool"
    env = {**single(db.dsn), "PGDOCTOR_ENDPOINT": tls_endpoint.url}
    done = cli.run("upload", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("pgdoctor: upload failed: certificate verify failed: ")
    assert line.endswith(
        "; ca_file names the certificates of a private authority; "
        f"the snapshot is kept in {spool}, and the daemon will deliver it"
    )
    assert cli.run("upload", env={**env, "PGDOCTOR_CA_FILE": tls_endpoint.ca_file}).returncode == 0


def test_an_upload_that_is_refused_is_set_aside(cli: Cli, single: Single, db: Database, endpoint: Endpoint) -> None:
    endpoint.script([422])
    done = cli.run("upload", env=single(db.dsn))
    spool = cli.state / "pgdoctor" / "spool"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "pgdoctor: upload failed: 422 Unprocessable Entity; the endpoint will never take this snapshot, "
        f"which is set aside in {spool}/rejected\n"
    )
    assert len(list((spool / "rejected").glob("*.json.gz"))) == 1


def test_what_should_not_stay_so_is_told_on_standard_error(cli: Cli, multi: Multi, db: Database) -> None:
    path = multi({"production": {"dsn": db.dsn}}, insecure_skip_verify=True)
    path.chmod(0o604)
    read, skipped = "holds secrets and every user can read it", "insecure_skip_verify"
    for command, expected in (("upload", [read, skipped]), ("snapshot", [read])):
        done = cli.run(command)
        assert done.returncode == 0
        lines = done.stderr.splitlines()
        assert all(line.startswith("pgdoctor: warning: pgdoctor.yaml") for line in lines)
        assert [part for part in (read, skipped) if part in done.stderr] == expected
        assert len(lines) == len(expected)


def test_what_the_endpoint_does_not_tell_is_a_dash(cli: Cli, single: Single, db: Database, endpoint: Endpoint) -> None:
    endpoint.default = Answer(204, {}, b"")
    assert cli.run("upload", env=single(db.dsn)).stdout == "uploaded snapshot: id=- source_id=- received_at=-\n"


@pytest.mark.parametrize("status", [301, 403, 404, 500])
def test_config_test_sees_an_endpoint_that_cannot_work(
    cli: Cli, single: Single, db: Database, endpoint: Endpoint, status: int
) -> None:
    endpoint.default = Answer(status)
    done = cli.run("config", "test", env=single(db.dsn))
    assert done.returncode == 1
    assert f"✗ endpoint: {status} " in done.stdout


def test_config_test_knows_a_wrong_token_at_the_built_in_endpoint(cli: Cli, single: Single, db: Database) -> None:
    receiver = cli.start("serve", "--port", "0", env={"PGDOCTOR_TOKEN": TOKEN})
    url = receiver.wait_for_line(r"listening on (http://\S+/)")[1] + "api/snapshots"
    env = {**single(db.dsn), "PGDOCTOR_ENDPOINT": url}
    assert cli.run("config", "test", env=env).returncode == 0
    done = cli.run("config", "test", env={**env, "PGDOCTOR_TOKEN": "tok-another"})
    assert done.returncode == 1
    assert "✗ endpoint: 401 Unauthorized" in done.stdout


def test_without_the_packages_it_is_one_line(cli: Cli) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-S", cli.command[1], "version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert re.fullmatch(r'pgdoctor: gevent is not installed for \S+; run "pip install \."', line)


def test_config_test_says_what_works_and_what_does_not(
    cli: Cli, multi: Multi, db: Database, endpoint: Endpoint
) -> None:
    wrong = "wrong-canary-pw"
    multi({"good": {"dsn": db.dsn}, "down": {"dsn": db.server.dsn(db.name, db.role, wrong)}})
    done = cli.run("config", "test")
    assert done.returncode == 1
    assert [line[:2] for line in done.stdout.splitlines()] == ["✓ ", "✓ ", "! ", "✗ ", "✓ "]
    assert f'down: password authentication failed for user "{db.role}"' in done.stdout
    assert wrong not in done.stdout + done.stderr
    assert all(request.method == "GET" for request in endpoint.requests), "nothing is uploaded"
    endpoint.script([401])
    done = cli.run("config", "test")
    assert "✗ endpoint: 401 Unauthorized" in done.stdout
    assert TOKEN not in done.stdout


def test_the_version(each_cli: Cli) -> None:
    for arguments in (("version",), ("--version",)):
        done = each_cli.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"pgdoctor \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("snapshot", "--nope"), ("daemon", "fly"), ("daemon", "stop", "-f"), ("config", "nope")],
)
def test_bad_usage_is_one_line_and_status_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pgdoctor: ")
    assert len(done.stderr.splitlines()) == 1


def test_help_names_what_exists_and_nothing_else(cli: Cli) -> None:
    done = cli.run("--help")
    assert done.returncode == 0
    [commands] = re.findall(r"\{([\w,]+)\}", done.stdout)[:1]
    known = ["daemon", "snapshot", "upload", "check", "explain", "report", "bundle", "diff", "mark"]
    known += ["serve", "demo", "version", "config", "notify"]
    assert commands.split(",") == known


def test_a_traceback_only_when_asked_for_and_without_secrets(cli: Cli) -> None:
    dsn = "postgres://u:canary-pw-881@127.0.0.1:1/app"
    assert "Traceback" not in cli.run("snapshot", dsn).stderr
    for done in (cli.run("--debug", "snapshot", dsn), cli.run("snapshot", dsn, env={"PGDOCTOR_DEBUG": "1"})):
        assert "Traceback" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("pgdoctor: app: connection refused")
        assert "canary-pw-881" not in done.stderr


def test_through_a_symlink_and_from_any_folder(cli: Cli, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "pgdoctor"
    link.parent.mkdir()
    link.symlink_to(cli.command[1])
    linked = Cli(tmp_path / "home2", (cli.command[0], str(link)))
    assert linked.run("version", cwd=tmp_path).returncode == 0
    assert Path(cli.command[1]).stat().st_mode & 0o111 == 0o111
