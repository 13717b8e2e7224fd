"""Every form that libpq takes; what is made of it goes back through libpq's own parser."""

from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn

from pgdoctor_lib.config.dsn import Dsn, Host, without_password
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import redact

SOCKET = Host("/var/run/postgresql")


@pytest.mark.parametrize(
    ("text", "hosts", "params", "password"),
    [
        ("postgres://u:canary@h:6432/d", [Host("h", "", "6432")], {"user": "u", "dbname": "d"}, "canary"),
        ("postgresql://h", [Host("h")], {}, None),
        ("  postgresql://h/d\n", [Host("h")], {"dbname": "d"}, None),
        ("postgresql://u%40x:p%40ss%2F%3A%25@h/a%20b", [Host("h")], {"user": "u@x", "dbname": "a b"}, "p@ss/:%"),
        ("postgresql://[::1]:5433/d", [Host("::1", "", "5433")], {"dbname": "d"}, None),
        ("postgresql://[fe80::1%25eth0]/d", [Host("fe80::1%eth0")], {"dbname": "d"}, None),
        ("postgresql://a,b:2,[::1]:3/d", [Host("a"), Host("b", "", "2"), Host("::1", "", "3")], {"dbname": "d"}, None),
        (
            "postgresql://%2Fvar%2Frun%2Fpostgresql:5433/d",
            [Host("/var/run/postgresql", "", "5433")],
            {"dbname": "d"},
            None,
        ),
        ("postgresql:///d?host=/var/run/postgresql", [SOCKET], {"dbname": "d"}, None),
        ("postgresql:///d?host=a&port=7", [Host("a", "", "7")], {"dbname": "d"}, None),
        ("postgresql://h/d?ssl=true", [Host("h")], {"dbname": "d", "sslmode": "require"}, None),
        ("postgresql://h/d?password=canary", [Host("h")], {"dbname": "d"}, "canary"),
        ("postgresql://h/d?options=-c%20geqo%3Doff", [Host("h")], {"dbname": "d", "options": "-c geqo=off"}, None),
        ("host=h port=6432 user=u password=canary", [Host("h", "", "6432")], {"user": "u"}, "canary"),
        ("host = h  dbname = 'a b'", [Host("h")], {"dbname": "a b"}, None),
        (r"host=h password='it\'s a \\ canary'", [Host("h")], {}, r"it's a \ canary"),
        (r"host=h password=a\ b", [Host("h")], {}, "a b"),
        ("host=h password=''", [Host("h")], {}, None),
        ("host=a,b,c port=6", [Host("a", "", "6"), Host("b", "", "6"), Host("c", "", "6")], {}, None),
        ("host=a,b port=1,", [Host("a", "", "1"), Host("b")], {}, None),
        ("host=a,/tmp hostaddr=10.0.0.1,", [Host("a", "10.0.0.1"), Host("/tmp")], {}, None),
        ("hostaddr=10.0.0.1,10.0.0.2", [Host("", "10.0.0.1"), Host("", "10.0.0.2")], {}, None),
        ("host=@abstract", [Host("@abstract")], {}, None),
        (
            "host=h sslcert=c.pem sslkey=k.pem sslpassword=canary",
            [Host("h")],
            {"sslcert": "c.pem", "sslkey": "k.pem"},
            None,
        ),
    ],
)
def test_forms(text: str, hosts: list[Host], params: dict[str, str], password: str | None) -> None:
    dsn = Dsn.parse(text, {})
    assert list(dsn.hosts) == hosts
    assert dsn.params == params
    assert (dsn.password and dsn.password.reveal()) == password
    again = Dsn.parse(_conninfo(dsn.reveal_keywords(dsn.hosts[0])), {})
    assert (again.hosts, again.params, again.secrets) == (dsn.hosts[:1], dsn.params, dsn.secrets)


@pytest.mark.parametrize(
    ("text", "display"),
    [
        (
            "postgres://u:canary@h/d?sslmode=require&connect_timeout=3",
            "postgresql://u:***@h:5432/d?connect_timeout=3&sslmode=require",
        ),
        ("host=a,::1 port=1,2 dbname='x y' user=u", "postgresql://u@a:1,[::1]:2/x%20y"),
        ("host=/tmp dbname=d", "postgresql://%2Ftmp:5432/d"),
        ("host=h password=can user='a\033[31m\u202e'", "postgresql://a%1B%5B31m%E2%80%AE:***@h:5432/"),
        ("host=h sslpassword=canary", "postgresql://h:5432/"),
        (
            "postgres://u@h/d?options=-c%20my.token%3Dcanary&sslmode=require",
            "postgresql://u@h:5432/d?options=***&sslmode=require",
        ),
        ("host=h options=''", "postgresql://h:5432/?options="),
    ],
)
def test_display(text: str, display: str) -> None:
    dsn = Dsn.parse(text, {})
    assert dsn.display == str(dsn) == display
    assert "canary" not in repr(dsn)


@pytest.mark.parametrize(
    "text",
    [
        "postgres://u:canary@h,i:7/d?sslmode=require",
        "postgresql://:canary@",
        "postgresql:///?password=canary",
        r"host=h user=u password='it\'s a \\ canary %41' dbname='a b'",
        "service=x password=canary",
    ],
)
def test_without_password_it_is_the_same(text: str) -> None:
    before = parse_dsn(text)
    shown, password = without_password(text) or ("", "")
    assert password == before["password"]
    assert "canary" not in shown
    assert parse_dsn(shown) == {**before, "password": ""}
    assert without_password(shown) is None


@pytest.mark.parametrize("text", ["host=h", "postgres://u@h/d", "postgres://u:@h/d", "password=''"])
def test_without_a_password_there_is_nothing_to_hide(text: str) -> None:
    assert without_password(text) is None


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        (Host("db1"), "db1:5432"),
        (Host("::1"), "[::1]:5432"),
        (Host("", "10.0.0.1"), "10.0.0.1:5432"),
        (Host("/tmp"), "/tmp:5432"),
        (Host("/tmp", "", "5433"), "/tmp:5433"),
        (Host("@x"), "@x:5432"),
        (Host(""), "local socket:5432"),
    ],
)
def test_host_for_people(host: Host, shown: str) -> None:
    assert str(host) == shown


def test_no_host_is_the_local_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert Dsn.parse("dbname=d", {}).hosts == (Host(""),)
    monkeypatch.setattr("sys.platform", "darwin")
    assert Dsn.parse("dbname=d port=7", {}).hosts == (Host("/tmp", "", "7"), Host("", "", "7"))


def test_environment_fills_in() -> None:
    environ = {
        "PGHOST": "e",
        "PGPORT": "7",
        "PGUSER": "eu",
        "PGDATABASE": "ed",
        "PGCONNECT_TIMEOUT": "9",
        "PGTARGETSESSIONATTRS": "primary",
        "PGPASSWORD": "canary-in-pgpassword",
    }
    dsn = Dsn.parse("host=h dbname=d", environ)
    assert dsn.hosts == (Host("h", "", "7"),)
    assert dsn.params == {"dbname": "d", "user": "eu", "connect_timeout": "9", "target_session_attrs": "primary"}
    assert dsn.password is None  # libpq reads it
    assert redact("canary-in-pgpassword") == "***"


def test_keywords_leave_no_room_for_the_environment() -> None:
    dsn = Dsn.parse("host='' user=u", {"PGHOST": ""})
    assert dsn.reveal_keywords(dsn.hosts[0], dbname="x") == {
        "user": "u",
        "host": "",
        "hostaddr": "",
        "port": "5432",
        "dbname": "x",
    }


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ("", ("any",)),
        ("primary", ("primary",)),
        ("prefer-standby", ("standby", "any")),
    ],
)
def test_passes(wanted: str, passes: tuple[str, ...]) -> None:
    assert Dsn.parse(f"host=h target_session_attrs='{wanted}'", {}).passes == passes


@pytest.mark.parametrize(("given", "seconds"), [("", None), (" ", None), ("0", None), ("-1", None), ("7", 7.0)])
def test_connect_timeout(given: str, seconds: float | None) -> None:
    assert Dsn.parse(f"host=h connect_timeout='{given}'", {}).connect_timeout_s == seconds
    assert Dsn.parse("host=h", {"PGCONNECT_TIMEOUT": given}).connect_timeout_s == seconds


SERVICES = """\
# comment
[other]
host=wrong
[mine]
  host=s1,s2
port=6432
user=su
password=canary-in-service
dbname=it's a \\ db
host=later
[mine]
host=again
"""


def test_service(tmp_path: Path) -> None:
    (tmp_path / ".pg_service.conf").write_text(SERVICES)
    environ = {"HOME": str(tmp_path), "PGUSER": "eu", "PGDATABASE": "ed"}
    dsn = Dsn.parse("service=mine user=du", environ)
    assert dsn.hosts == (Host("s1", "", "6432"), Host("s2", "", "6432"))
    assert dsn.params == {"user": "du", "dbname": "it's a \\ db"}
    assert dsn.password == "canary-in-service"
    assert Dsn.parse("user=du", {**environ, "PGSERVICE": "mine"}) == dsn
    assert Dsn.parse("postgresql://du@/?service=mine", environ) == dsn
    assert "canary" not in repr(dsn) + str(dsn)


def test_service_in_the_systems_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".pg_service.conf").write_text("[else]\nhost=h\n")
    (tmp_path / "pg_service.conf").write_text(SERVICES)
    environ = {"HOME": str(home), "PGSYSCONFDIR": str(tmp_path)}
    assert Dsn.parse("service=mine", environ).hosts[0].host == "s1"
    named = {"PGSERVICEFILE": str(home / ".pg_service.conf")}
    assert Dsn.parse("service=else", named).hosts == (Host("h"),)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "service 'mine' is not defined; looked in {file}"),
        ("[mine]\npassword canary", "{file}:2: must be keyword=value, without spaces around the ="),
        ("[mine]\npassword = canary", "{file}:2: must be keyword=value, without spaces around the ="),
        ("[mine]\nldap://canary/x", "{file}:2: services looked up by LDAP are not supported"),
        ("[mine]\nservice=canary", "{file}:2: a service cannot name another service"),
        ("[mine]\npasword=canary", "service mine does not parse: unknown parameter; did you mean password?"),
    ],
)
def test_bad_service(tmp_path: Path, lines: str, said: str) -> None:
    file = tmp_path / "services"
    file.write_text(lines)
    assert error_of("service=mine", {"PGSERVICEFILE": str(file)}) == said.format(file=file)


def test_missing_service_file() -> None:
    assert error_of("service=mine", {"PGSERVICEFILE": "/no/such"}) == "PGSERVICEFILE: /no/such: no such file"


@pytest.mark.parametrize(
    "text",
    [
        "canary",
        "password=canary x",
        "postgres://u:can%zzary@h",
        "postgres://u:canary@h/?canary=1",
        "postgres://u:canary@[h",
        "postgres://u:canary@h:x/",
        "postgres://u:canary@h:70000/",
        "postgres://u:can@canary@h/",
        "password='canary",
        "password=canary\n h=1",
        "password=canary\0",
        "host=a,b hostaddr=1.1.1.1 password=canary",
        "host=a port=1,2 password=canary",
        "connect_timeout=canary",
        "target_session_attrs=canary",
        "sslmode=canary",
        "postgres://u:canary@h/%00",
        "postgres://u:canary@h/\udcff",
        "canary='\"canary",
        "",
    ],
)
def test_errors_never_quote(text: str) -> None:
    said = error_of(text, {})
    assert "canary" not in said
    assert "\n" not in said


def error_of(text: str, environ: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        Dsn.parse(text, environ)
    assert caught.value.__cause__ is None
    return str(caught.value)


def _conninfo(keywords: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", r"\\").replace("'", r"\'")

    return " ".join(f"{key}='{quoted(value)}'" for key, value in keywords.items())
