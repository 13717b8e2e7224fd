"""Good files and environments, and what becomes of them."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pgdoctor_lib.config import Endpoint, Spool, listing, paths
from pgdoctor_lib.config.load import load, read, refusal, search_order, target_of
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import Secret

FULL = """\
endpoint: "https://api.example.com/api/snapshots"
token: "${PGDOCTOR_TOKEN}"
interval: 5m
limit: "${LIMIT:-30}"
cycle_timeout: 45
spool: {path: spool, max_size: 64MiB, max_age: 2d}
databases:
  - name: "production"
    dsn: "postgres://user:${PASSWORD}@prod:5432/app"
    interval: 60
    limit: 50
    tags: [production, critical]
    enabled: true
  - name: größe 🐘
    dsn: 'host=/tmp dbname=${NAME:-x}$$y'
    tags: {env: "no"}
  - {name: off, dsn: dbname=z, enabled: false}
""".replace("name: off", 'name: "off"')
MINIMAL = "endpoint: https://e/\ntoken: abc\ndatabases: [{name: a, dsn: dbname=a}]\n"


def test_full(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text(FULL, "utf-8")
    (folder / "pgdoctor.yaml").chmod(0o644)
    config = load(None, {"PGDOCTOR_TOKEN": "canary\n", "PASSWORD": "${canary}", "HOME": str(folder)})
    assert (config.mode, config.source, config.warnings) == ("multi", "./pgdoctor.yaml", ())
    assert config.endpoint == Endpoint("https://api.example.com/api/snapshots", Secret("canary"))
    assert config.spool == Spool(str(folder / "spool"), 64 * 1024**2, 172800.0)
    assert (config.cycle_timeout_s, config.shutdown_timeout_s) == (45.0, 30.0)
    first, second = config.databases
    assert (first.name, first.interval_s, first.limit, first.tags) == (
        "production",
        60.0,
        50,
        ("production", "critical"),
    )
    assert first.dsn.password is not None
    assert first.dsn.password.reveal() == "${canary}"  # not expanded again
    assert (second.name, second.interval_s, second.limit, second.tags) == ("größe 🐘", 300.0, 30, {"env": "no"})
    assert second.dsn.dbname == "x$y"
    assert "canary" not in repr(config)


def test_single(folder: Path) -> None:
    environ = {
        "PGDOCTOR_DSN": "postgres://u:canary@h/app",
        "PGDOCTOR_ENDPOINT": "http://localhost:8080/x",
        "PGDOCTOR_TOKEN": "canary",
        "PGDOCTOR_INTERVAL": "1m",
        "PGDOCTOR_LIMIT": "7",
        "HOME": str(folder),
    }
    config = load(None, environ)
    assert (config.mode, config.source, config.warnings) == ("single", None, ())
    [target] = config.databases
    assert (target.name, target.interval_s, target.limit) == ("app", 60.0, 7)
    assert config.spool.path == str(folder / ".local/state/pgdoctor/spool")
    assert "canary" not in repr(config)


def test_environment_fills_in_what_the_file_leaves_out(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text(
        "limit: 9\ndatabases: [{name: a, dsn: dbname=a}, {name: b, dsn: dbname=b, interval: 9}]"
    )
    environ = {
        "PGDOCTOR_ENDPOINT": "https://e/",
        "PGDOCTOR_TOKEN": "abc",
        "PGDOCTOR_INTERVAL": "7",
        "PGDOCTOR_LIMIT": "bad",
    }
    config = load(None, environ)
    assert [(target.interval_s, target.limit) for target in config.databases] == [(7.0, 9), (9.0, 9)]
    assert config.endpoint == Endpoint("https://e/", Secret("abc"))


def test_token_file(folder: Path) -> None:
    (folder / "token").write_text("canary-token\n")
    (folder / "c.yaml").write_text(MINIMAL.replace("token: abc", "token_file: token"))
    config = load("c.yaml", {"PGDOCTOR_TOKEN": "not\nlooked at"})
    assert config.endpoint == Endpoint("https://e/", None, str(folder / "token"))
    os.mkfifo(folder / "pipe")
    (folder / "c.yaml").write_text(MINIMAL.replace("token: abc", "token_file: pipe"))
    with pytest.raises(ConfigError, match=r"c.yaml:2: token_file: must name a file with the token"):
        load("c.yaml", {})


def test_without_endpoint(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text("token: ${UNSET}\ndatabases: [{name: a, dsn: dbname=a}]")
    config = load(None, {}, need_endpoint=False)
    assert config.endpoint is None
    assert (
        load(None, {"PGDOCTOR_DSN": "dbname=b", "PGDOCTOR_CONFIG": "", "HOME": "/"}, need_endpoint=False)
        .databases[0]
        .name
        == "a"
    )


@pytest.mark.parametrize(("dsn", "name"), [("dbname=app", "app"), ("host=h", "default"), ("dbname='a\tb'", "default")])
def test_name_of_a_single_database(dsn: str, name: str) -> None:
    assert target_of(dsn, {}).name == name


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("1", 1), ("86400", 86400), ("1.5", 1.5), ("30s", 30), ("5m", 300), ("1h", 3600), ('"60"', 60), ("1d", 86400)],
)
def test_intervals(folder: Path, interval: str, seconds: float) -> None:
    (folder / "c.yaml").write_text(f"interval: {interval}\n{MINIMAL}")
    assert load("c.yaml", {}).databases[0].interval_s == seconds


def test_byte_order_mark_and_line_ends(folder: Path) -> None:
    (folder / "c.yaml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load("c.yaml", {}).databases[0].name == "a"


def test_warnings(folder: Path) -> None:
    file = folder / "c.yaml"
    file.write_text(MINIMAL.replace("https", "http"))
    file.chmod(0o644)
    public, clear = load("c.yaml", {}).warnings
    assert public == "c.yaml holds secrets and every user can read it; chmod 600 it"
    assert clear == "c.yaml:1: endpoint: http:// sends the token in the clear; use https://"
    file.chmod(0o640)
    assert load("c.yaml", {}).warnings == (clear,)
    file.chmod(0o666)
    changed = "c.yaml can be changed by other users, who could have it watch and send what they like; chmod go-w it"
    assert load("c.yaml", {}).warnings == (changed, public, clear)
    file.chmod(0o602)
    file.write_text("databases: [{name: a, dsn: dbname=a}]")
    assert load("c.yaml", {}, need_endpoint=False).warnings == (changed,)


def test_a_file_that_was_found_and_that_others_may_change_is_refused(folder: Path) -> None:
    file = folder / "pgdoctor.yaml"
    file.write_text(MINIMAL)
    file.chmod(0o666)
    why = (
        "can be changed by other users, who could have it watch and send what they like; "
        "chmod go-w pgdoctor.yaml, or name it with --config pgdoctor.yaml if you trust it"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(f'pgdoctor.yaml: {why}')}$"):
        load(None, {})
    assert (refusal(None, {}), refusal("pgdoctor.yaml", {})) == (why, "")
    assert load("pgdoctor.yaml", {}).warnings[0].startswith("pgdoctor.yaml can be changed by other users")
    assert load(None, {"PGDOCTOR_CONFIG": "pgdoctor.yaml"}).source == "pgdoctor.yaml"
    file.chmod(0o644)
    assert load(None, {}).source == "./pgdoctor.yaml"
    assert refusal(None, {}) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another group")
def test_a_group_of_others_counts_like_everybody(folder: Path) -> None:
    file = folder / "pgdoctor.yaml"
    file.write_text(MINIMAL)
    file.chmod(0o660)
    assert load(None, {}).warnings == ()  # root's own group
    os.chown(file, -1, 65534)
    assert refusal(None, {}).startswith("can be changed by other users")
    file.chmod(0o640)
    assert refusal(None, {}) == ""


@pytest.mark.parametrize(
    ("dsn", "warned"),
    [("host=db1", 0), ("host=localhost,db1", 0), ("host=localhost", 1), ("hostaddr=127.0.0.2", 1), ("dbname=a", 1)],
)
def test_with_ha_every_daemon_must_mean_the_same_server(folder: Path, dsn: str, warned: int) -> None:
    text = f"ha: true\nendpoint: https://x/\ntoken: ${{T}}\ndatabases:\n  - {{name: a, dsn: {dsn!r}}}\n"
    (folder / "c.yaml").write_text(text)
    assert len(load("c.yaml", {"T": "t"}).warnings) == warned


def test_certificates_that_nobody_looks_at_are_warned_of(folder: Path) -> None:
    (folder / "c.yaml").write_text(f"insecure_skip_verify: true\n{MINIMAL}")
    (folder / "c.yaml").chmod(0o600)
    [warning] = load("c.yaml", {}).warnings
    assert warning.startswith("c.yaml:1: insecure_skip_verify: anybody between here and the endpoint can read")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1]/x", "http://localhost/"])
def test_loopback_needs_no_encryption(folder: Path, url: str) -> None:
    assert load(None, {"PGDOCTOR_DSN": "dbname=a", "PGDOCTOR_ENDPOINT": url, "PGDOCTOR_TOKEN": "t"}).warnings == ()


def test_search_order(folder: Path) -> None:
    user = folder / ".config/pgdoctor/config.yaml"
    environ = {"HOME": str(folder)}
    assert [used for _, used in search_order(None, environ)] == [False, False, False]
    user.parent.mkdir(parents=True)
    user.write_text(MINIMAL)
    assert search_order(None, environ) == [
        ("./pgdoctor.yaml", False),
        (str(user), True),
        ("/etc/pgdoctor/config.yaml", False),
    ]
    assert load(None, environ).source == str(user)
    (folder / "pgdoctor.yaml").write_text(MINIMAL)
    assert load(None, environ).source == "./pgdoctor.yaml"
    named = {**environ, "PGDOCTOR_CONFIG": str(user)}
    assert search_order(None, named) == [(str(user), True)]
    assert load(None, named).source == str(user)
    assert load("pgdoctor.yaml", named).source == "pgdoctor.yaml"


def test_paths(tmp_path: Path) -> None:
    home, homeless = str(tmp_path), {"HOME": str(tmp_path / "missing")}
    linux = {"HOME": home, "XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "relative"}
    assert paths.pid_file(linux, "linux") == "/run/user/7/pgdoctor.pid"
    assert paths.pid_file({}, "linux") == "/tmp/pgdoctor.pid"
    assert paths.log_file(linux, "linux") == "/s/pgdoctor.log"
    assert paths.log_file({"HOME": home}, "linux") == f"{home}/.local/state/pgdoctor.log"
    assert paths.log_file(homeless, "linux") == "/tmp/pgdoctor.log"
    assert paths.spool(linux, "linux") == "/s/pgdoctor/spool"
    assert paths.spool({**linux, "STATE_DIRECTORY": "/var/lib/pgdoctor:/b"}, "linux") == "/var/lib/pgdoctor/spool"
    for platform in "linux", "darwin":  # /tmp itself is nobody's: what lies directly in it is what can be checked
        assert paths.spool(homeless, platform) == f"/tmp/pgdoctor-{os.getuid()}-spool"
        assert paths.receiver(homeless, platform) == f"/tmp/pgdoctor-{os.getuid()}"
    assert paths.receiver(linux, "linux") == "/s/pgdoctor"
    assert paths.receiver({**linux, "STATE_DIRECTORY": "/var/lib/pgdoctor"}, "linux") == "/var/lib/pgdoctor"
    assert paths.config_files(linux, "linux")[1] == f"{home}/.config/pgdoctor/config.yaml"
    support = f"{home}/Library/Application Support/pgdoctor"
    assert paths.pid_file(linux, "darwin") == f"{support}.pid"
    assert paths.log_file(linux, "darwin") == f"{support}.log"
    assert paths.spool(linux, "darwin") == f"{support}/spool"
    assert paths.config_files(linux, "darwin")[1] == f"{support}/config.yaml"


def test_listing_tells_origins_and_no_secrets(folder: Path) -> None:
    (folder / "pgdoctor.yaml").write_text(FULL.replace("snapshots", "snapshots?key=canary"), "utf-8")
    settings = read(
        None, {"PGDOCTOR_TOKEN": "canary", "PASSWORD": "canary", "PGDOCTOR_LIMIT": "3", "HOME": str(folder)}
    )
    shown = listing.as_json(settings)
    assert shown["settings"]["endpoint"] == {
        "value": "https://api.example.com/api/snapshots?***",
        "origin": "pgdoctor.yaml:1",
    }
    assert shown["settings"]["token"] == {"value": "***", "origin": "pgdoctor.yaml:2"}
    assert shown["settings"]["request_timeout"] == {"value": 30, "origin": "default"}
    assert shown["databases"][0]["dsn"] == {"value": "postgresql://user:***@prod:5432/app", "origin": "pgdoctor.yaml:9"}
    assert shown["databases"][1]["interval"] == {"value": 300, "origin": "pgdoctor.yaml:3"}
    lines = list(listing.lines(settings))
    assert '  - name: "production"                                      # pgdoctor.yaml:8' in lines
    assert "canary" not in str(shown) + "\n".join(lines)


def test_mutations(folder: Path, amount: Callable[[int, int], int]) -> None:
    """Whatever a file holds, it loads or gives one line without a secret."""
    dice = random.Random(7)
    good = FULL.replace("${PGDOCTOR_TOKEN}", "canary-token").replace("${PASSWORD}", "canary-password")
    for _ in range(amount(300, 1000)):
        (folder / "pgdoctor.yaml").write_bytes(_mutated(good.encode(), dice))
        said = _said(folder)
        assert "canary" not in said
        assert "\n" not in said


def _said(folder: Path) -> str:
    try:
        return repr(load(None, {"HOME": str(folder)}))
    except ConfigError as error:
        return str(error)


def _mutated(content: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.randint(1, 3)):
        at, width = dice.randrange(len(content)), dice.choice((0, 1, 2, 30))
        piece = dice.choice(
            (
                b"",
                b":",
                b"\n",
                b"\t",
                b"'",
                b'"',
                b"- ",
                b"{",
                b"]",
                b"\0",
                b"\xff",
                b"&a ",
                b"*a",
                b"!!x ",
                b"${",
                b"0",
                b"#",
            )
        )
        content = content[:at] + piece + content[at + width :]
    return content
