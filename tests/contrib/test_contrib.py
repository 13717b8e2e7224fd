"""What contrib/ offers, tried with the programs that will read it."""

import json
import os
import plistlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from pgdoctor_lib.config import load
from tests.fix_daemon import ROOT, Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Server
from tests.receiver.client import TOKEN, Client

CONTRIB = ROOT / "contrib"


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program} here")


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(params=["pgdoctor", "pgdoctor DynamicUser", "pgdoctor-serve"])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Each unit with a program that is there; the daemon's once more with the drop-in beside it."""
    name, _, drop_in = request.param.partition(" ")
    path = tmp_path / f"{name}.service"
    text = (CONTRIB / path.name).read_text()
    path.write_text(text.replace("/usr/local/bin/pgdoctor", str(ROOT / "pgdoctor.py")))
    if drop_in:
        drop_ins = tmp_path / "pgdoctor.service.d"
        drop_ins.mkdir()
        shutil.copy(CONTRIB / "dynamic-user.conf", drop_ins)
    return path


@needs("systemd-analyze")
def test_the_unit_is_what_systemd_reads(unit: Path) -> None:
    """`verify` says what it does not know, and exits with 0; so any word is one too many."""
    done = run("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("systemd-analyze")
def test_the_drop_in_is_read_too(unit: Path) -> None:
    """Else the tests around this one would say nothing of it."""
    for drop_in in unit.parent.glob("*.d/*.conf"):
        drop_in.write_text(drop_in.read_text() + "Nonsense=1\n")
        assert "Nonsense" in run("systemd-analyze", "verify", "--man=no", unit).stderr


@needs("systemd-analyze")
def test_the_unit_is_hardened(unit: Path, figure: Callable[[str, str], None]) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    match = re.search(r"exposure level for [a-z-]+\.service: ([\d.]+)", done.stdout)
    assert match, done
    assert float(match[1]) <= 1.5
    kind = "DynamicUser" if list(unit.parent.glob("*.d")) else "fixed user"
    figure(f"exposure of the unit {unit.stem} ({kind})", match[1])


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/usr/local/bin/pgdoctor daemon",
        "Environment=PGDOCTOR_CONFIG=/etc/pgdoctor/config.yaml",
        "Type=notify",
        "NotifyAccess=main",
        "WatchdogSec=90",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "LoadCredential=token:/etc/pgdoctor/token",
        "LimitCORE=0",
        "Restart=on-failure",
        "RestartSec=10",
        "RestartPreventExitStatus=2",
        "User=pgdoctor",
        "StateDirectory=pgdoctor",
    ],
)
def test_the_unit_says(line: str) -> None:
    assert (CONTRIB / "pgdoctor.service").read_text().splitlines().count(line) == 1


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/usr/local/bin/pgdoctor serve --sign-in",
        "EnvironmentFile=/etc/pgdoctor/serve.env",
        "LimitCORE=0",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "User=pgdoctor-serve",
        "StateDirectory=pgdoctor-serve",
    ],
)
def test_the_receivers_unit_says(line: str) -> None:
    assert (CONTRIB / "pgdoctor-serve.service").read_text().splitlines().count(line) == 1


def test_what_the_receivers_unit_starts(cli: Cli) -> None:
    """Its command, with what systemd adds to the environment: the store lies in the state folder, no token is shown."""
    unit = (CONTRIB / "pgdoctor-serve.service").read_text()
    found = re.search(r"^ExecStart=/usr/local/bin/pgdoctor serve (.*)$", unit, re.MULTILINE)
    assert found
    receiver = Client(cli, *found[1].split(), env={"STATE_DIRECTORY": str(cli.home / "lib")})
    assert receiver.get("/").status == 401
    assert receiver.get("/readyz").status == 200
    assert (cli.home / "lib" / "serve.db").stat().st_mode & 0o777 == 0o600
    receiver.running.send()
    assert TOKEN not in receiver.running.finish().stdout


@needs("systemd-sysusers")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users")
def test_the_receivers_user(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", f"--root={tmp_path}", CONTRIB / "pgdoctor-serve.sysusers.conf")
    assert done.returncode == 0, done
    (fields,) = [line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines() if "pgd" in line]
    assert (fields[0], fields[5]) == ("pgdoctor-serve", "/var/lib/pgdoctor-serve")


@needs("systemd-sysusers")
@needs("systemd-tmpfiles")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users and give files away")
def test_sysusers_and_tmpfiles(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "pgdoctor").mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    for name in ("config.yaml", "token"):
        (etc / "pgdoctor" / name).write_text("")
    done = run("systemd-sysusers", f"--root={tmp_path}", CONTRIB / "pgdoctor.sysusers.conf")
    assert done.returncode == 0, done
    fields = (etc / "passwd").read_text().splitlines()[1].split(":")
    assert (fields[0], fields[5]) == ("pgdoctor", "/var/lib/pgdoctor")
    done = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", CONTRIB / "pgdoctor.tmpfiles.conf")
    assert (done.returncode, done.stderr) == (0, "")
    modes = {
        path.name: (path.stat().st_mode & 0o777, path.stat().st_gid) for path in etc.rglob("*") if "pgd" in str(path)
    }
    group = int(fields[3])
    assert modes == {"pgdoctor": (0o750, group), "config.yaml": (0o640, group), "token": (0o600, 0)}


@pytest.mark.parametrize("name", ["com.pgdoctor", "com.pgdoctor.serve"])
def test_the_plists(name: str) -> None:
    path = CONTRIB / f"{name}.plist"
    keys = re.findall(r"<key>(.*?)</key>", path.read_text())
    assert len(keys) == len(set(keys)), "plistlib does not see that a key is there twice"
    job = plistlib.loads(path.read_bytes())
    assert job["Label"] == name
    assert job["StandardErrorPath"] == job["StandardOutPath"]
    assert job["KeepAlive"] is job["RunAtLoad"] is True
    assert job["Umask"] == 0o077
    if name == "com.pgdoctor":
        assert job["ProgramArguments"] == ["/usr/local/bin/pgdoctor", "daemon", "--log-file", job["StandardOutPath"]]
        assert job["EnvironmentVariables"] == {"PGDOCTOR_CONFIG": "/etc/pgdoctor/config.yaml"}
        assert job["ExitTimeOut"] > 30
    else:
        assert job["ProgramArguments"] == ["/usr/local/bin/pgdoctor", "serve", "--sign-in"]
        assert job["ExitTimeOut"] > 10


def test_the_sample_configuration_loads(tmp_path: Path) -> None:
    """With the token as the unit's LoadCredential gives it."""
    (tmp_path / "token").write_text("not-a-real-token\n")
    config = load.load(str(CONTRIB / "pgdoctor.yaml"), {"CREDENTIALS_DIRECTORY": str(tmp_path), "HOME": "/"})
    assert [target.name for target in config.databases] == ["production", "reporting", "local"]
    assert config.endpoint and config.endpoint.token_file == str(tmp_path / "token")


def test_the_token_by_load_credential(cli: Cli, endpoint: Endpoint, server: Server) -> None:
    credentials = cli.home / "credentials"
    credentials.mkdir(mode=0o700)
    (credentials / "token").write_text("handed-over-by-systemd\n")
    (credentials / "token").chmod(0o400)
    path = cli.cwd / "pgdoctor.yaml"
    lines = [f"endpoint: {endpoint.url}", "token_file: ${CREDENTIALS_DIRECTORY}/token", "databases:", "  - name: a"]
    path.write_text("\n".join([*lines, f"    dsn: {json.dumps(server.dsn())}", ""]))
    path.chmod(0o600)
    done = cli.run("upload", env={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert (done.returncode, done.stderr) == (0, "")
    assert endpoint.requests[0].headers["Authorization"] == "Bearer handed-over-by-systemd"


@pytest.fixture
def role(server: Server) -> Iterator[Server]:
    """create-role.sql, run twice as the superuser; the role is gone afterwards."""
    for _ in range(2):
        server.sql((CONTRIB / "create-role.sql").read_text())
    yield server
    server.sql("DROP ROLE pgdoctor")


def test_the_role_reads_statistics_and_nothing_else(role: Server) -> None:
    role.sql("ALTER ROLE pgdoctor PASSWORD 'not-a-real-password'")
    connection = psycopg2.connect(role.dsn("postgres", "pgdoctor", "not-a-real-password"), application_name="tests")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_has_role('pg_monitor', 'usage'), rolsuper, rolconnlimit FROM pg_roles WHERE rolname = user"
            )
            assert cursor.fetchone() == (True, False, 120)
            cursor.execute("SHOW data_directory")  # only pg_read_all_settings may
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query = '<insufficient privilege>'")
            assert cursor.fetchone() == (0,)
            for setting, value in (("statement_timeout", "1min"), ("default_transaction_read_only", "on")):
                cursor.execute(f"SHOW {setting}")
                assert cursor.fetchone() == (value,)
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                cursor.execute("CREATE TEMP TABLE t ()")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("SELECT * FROM pg_authid")
    finally:
        connection.close()


def test_a_role_that_may_more_is_refused(server: Server) -> None:
    server.sql("CREATE ROLE pgdoctor SUPERUSER")
    try:
        with pytest.raises(psycopg2.errors.RaiseException, match="may do more than read statistics"):
            server.sql((CONTRIB / "create-role.sql").read_text())
    finally:
        server.sql("DROP ROLE pgdoctor")


def test_an_administrator_who_is_no_superuser(server: Server) -> None:
    """As on managed services: CREATEROLE, and pg_monitor with the right to hand it on."""
    server.sql("CREATE ROLE dba CREATEROLE LOGIN; GRANT pg_monitor TO dba WITH ADMIN OPTION")
    server.sql("SET ROLE dba; " + (CONTRIB / "create-role.sql").read_text())
    assert server.sql("SELECT pg_has_role('pgdoctor', 'pg_monitor', 'usage')") == [(True,)]
    server.sql("DROP OWNED BY dba; DROP ROLE pgdoctor; DROP ROLE dba")
