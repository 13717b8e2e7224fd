"""security-auth."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.hostile import statements
from tests.postgres.server import Server
from tests.waiting import wait_for

MD5 = "md5" + 32 * "0"
SECURITY: dict[str, Any] = {
    "superuser_count": 0,
    "superusers": [],
    "md5_password_count": 0,
    "md5_password_roles": [],
    "hba_rule_count": 3,
    "hba_error_count": 0,
    "hba_errors": [],
    "hba_trust_count": 0,
    "hba_trust": [],
}
OPEN = {
    "line_number": 7,
    "type": "host",
    "database": ["all"],
    "user_name": ["all"],
    "address": "10.0.0.0",
    "netmask": "255.0.0.0",
}
SETTINGS = {"password_encryption": "scram-sha-256", "ssl": "on", "listen_addresses": "*"}


def sees(auth: Doctor, *keys: str) -> list[Finding]:
    """What is found, once it is just this."""
    last: list[Finding] = []

    def look() -> bool:
        last[:] = auth.look()
        return [each.key for each in last] == list(keys)

    wait_for(look, lambda: f"{[each.key for each in last]}, not {keys}")
    assert not auth.not_examined
    return last


def add_rule(server: Server, line: str) -> None:
    with (server.data / "pg_hba.conf").open("a") as file:
        file.write(f"{line}\n")


@pytest.mark.parametrize("major", [12, 18])
def test_rules_of_pg_hba_conf(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    original = (server.data / "pg_hba.conf").read_text()
    auth = doctor(server.dsn(), "security-auth")
    auth.healthy()  # trust on the socket and for 127.0.0.1
    for line in (
        "host all all ::1/128 trust",
        "host all all 127.0.0.0/8 trust",
        "host all all samehost trust",
        "host all all localhost trust",
        "host all all 0.0.0.0/0 reject",
        "hostssl all all 0.0.0.0/0 trust",  # ssl is off: the view has it for an error, and it is but void
        "host all all 10.0.0.0/8 md5",
    ):
        add_rule(server, line)
    auth.healthy()
    for line, said in (
        ("host all,app +staff 10.0.0.0/8 trust", "from 10.0.0.0/255.0.0.0"),
        ("host all all 127.0.0.1/0 trust", "/0.0.0.0"),
        ("host all all ::1/64 trust", "from ::1/ffff:ffff:ffff:ffff::"),
        ("host all all samenet trust", "from samenet"),
        ("host all all all trust", "from all"),
        ("host all all .example.com trust", "from .example.com"),
    ):
        (server.data / "pg_hba.conf").write_text(f"{original}{line}\n")
        [found] = sees(auth, "trust")
        assert found.severity is Severity.WARNING  # it listens at 127.0.0.1 alone
        assert said in found.summary
    (server.data / "pg_hba.conf").write_text(original)
    auth.healthy()
    add_rule(server, "host all all 10.0.0.0/8 sekret")
    [found] = sees(auth, "hba")
    assert found.severity is Severity.WARNING
    assert "invalid authentication method)" in found.summary and "sekret" not in str(found)
    (server.data / "pg_hba.conf").write_text(original)
    paste(server, found.remedy)
    auth.healthy()


@pytest.mark.parametrize("major", [12, 18])
def test_passwords(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    auth = doctor(server.dsn(), "security-auth")
    auth.healthy()
    server.sql("ALTER SYSTEM SET password_encryption = md5")
    server.sql("SELECT pg_reload_conf()")
    server.sql(f"CREATE ROLE old PASSWORD '{MD5}'; CREATE ROLE \"a\nb\" PASSWORD '{MD5}'")
    encryption, hashes = sees(auth, "password_encryption", "md5")
    assert hashes.because_of == encryption.id
    assert encryption.severity is hashes.severity is Severity.WARNING
    assert "-- \\password old\n" in hashes.remedy and '-- \\password "a b"\n' in hashes.remedy
    assert MD5 not in str(hashes)
    paste(server, encryption.remedy)
    sees(auth, "md5")
    server.sql("ALTER ROLE old PASSWORD 'anew'; DROP ROLE \"a\nb\"")
    auth.healthy()


@pytest.mark.parametrize("major", [12, 18])
def test_connections_in_the_clear(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, listen_addresses="0.0.0.0")
    auth = doctor(server.dsn(), "security-auth")
    [found] = sees(auth, "ssl")
    assert found.severity is Severity.WARNING and "listens at 0.0.0.0" in found.summary
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(str(server.data / "server.crt"))
    certificate.private_key_pem.write_to_path(str(server.data / "server.key"))
    for name in ("server.crt", "server.key"):
        shutil.chown(server.data / name, server.data.owner(), server.data.group())
        (server.data / name).chmod(0o600)
    assert statements(found.remedy) == []  # without the files the server would not start again
    paste(server, re.sub("^-- (?=ALTER|SELECT)", "", found.remedy, flags=re.MULTILINE))
    auth.healthy()
    add_rule(server, f"hostssl all all 10.0.0.0/8 trust clientcert={'1' if major == 12 else 'verify-full'}")
    auth.healthy()
    add_rule(server, "hostssl all all 10.0.0.0/8 trust")
    [found] = sees(auth, "trust")
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize("major", [12, 18])
def test_superusers(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    auth = doctor(server.dsn(), "security-auth")
    server.sql("CREATE ROLE group_of_them SUPERUSER; CREATE ROLE boss SUPERUSER LOGIN")
    [found] = sees(auth, "superusers")
    assert found.severity is Severity.INFO and found.subject == "boss"
    assert "-- ALTER ROLE boss NOSUPERUSER;\n" in found.remedy
    server.sql("ALTER ROLE boss NOSUPERUSER")
    auth.healthy()


@pytest.mark.parametrize("major", [12, 18])
def test_what_an_ordinary_role_may_not_see(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major)
    auth = doctor(server, "security-auth")
    assert auth.look() == []
    assert "pg_authid" in auth.not_examined and "pg_hba_file_rules" in auth.not_examined
    server.sql("ALTER SYSTEM SET password_encryption = md5")
    server.sql("SELECT pg_reload_conf()")
    wait_for(lambda: [each.key for each in auth.look()] == ["password_encryption"], "the rest is not told")
    assert "pg_authid" in auth.not_examined
    server.sql("GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO monitor")
    add_rule(server, "host all all 10.0.0.0/8 trust")
    wait_for(lambda: "trust" in [each.key for each in auth.look()], "a grant does not help")
    assert "pg_authid" in auth.not_examined and "pg_hba_file_rules" not in auth.not_examined


def judge(
    security: dict[str, Any], service: str | None = None, standby: bool = False, **settings: str
) -> list[Finding]:
    rows = [{"name": name, "setting": value} for name, value in {**SETTINGS, **settings}.items()]
    now = planted(settings=rows, security={**SECURITY, **security}, server={"provider": service}, standby=standby)
    return judged("security-auth", now)


def test_what_is_sound() -> None:
    assert judge({}) == []
    assert judge({}, ssl="off", listen_addresses="localhost, ::1,127.0.0.2") == []
    assert judge({}, ssl="off", listen_addresses="") == []  # the socket alone


def test_where_it_listens() -> None:
    for listen in ("*", "0.0.0.0", "localhost,10.0.0.1", "db.example.com"):
        [found] = judge({"hba_trust": [OPEN], "hba_trust_count": 1}, listen_addresses=listen)
        assert found.severity is Severity.CRITICAL
        [found] = judge({}, ssl="off", listen_addresses=listen)
        assert found.key == "ssl"
    [found] = judge({"hba_trust": [OPEN], "hba_trust_count": 3}, listen_addresses="localhost")
    assert found.severity is Severity.WARNING and "and 2 lines more" in found.summary
    assert "-- pg_hba.conf line 7: host all all 10.0.0.0/255.0.0.0 trust\n" in found.remedy


def test_what_a_service_sees_to() -> None:
    hidden = {"hba_rule_count": None, "superuser_count": 2, "superusers": ["rdsadmin2", "x"]}
    assert judge(hidden, "rds", ssl="off") == []
    [found] = judge(hidden, "rds", password_encryption="md5")
    assert "ALTER SYSTEM SET" not in found.remedy


def test_roles_are_altered_on_the_primary() -> None:
    [found] = judge({"md5_password_count": 1, "md5_password_roles": ["app"]}, standby=True)
    assert found.remedy.startswith("-- this is a standby")
