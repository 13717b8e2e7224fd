"""Configuration files, environments and DSNs by the thousand: what makes sense, or one line that says what does not."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

from pgdoctor_lib import secret
from pgdoctor_lib.config import Config, listing, load
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import one_line
from tests.faults import bad_dsns, bad_files
from tests.faults.bad_dsns import Bad
from tests.faults.garble import CANARY, examples, is_line
from tests.fix_daemon import Cli

Amount = Callable[[int, int], int]
Figure = Callable[[str, str], None]

HANG_S = 20.0
GOOD_FILE = "endpoint: https://e.example/\ntoken: x1234567\ndatabases:\n  - dsn: dbname=a\n"
OURS = (
    *("has a line break or a NUL", "is empty", "must be", "has an", "hosts but", "ports for", "service", "PGSERVICE"),
    "not UTF-8",
)  # what we refuse and libpq's parser takes


class Tally:
    """What became of the inputs; the figure that a test prints."""

    def __init__(self) -> None:
        self.valid = self.refused = 0
        self.slowest_s = 0.0

    def __str__(self) -> str:
        tried = self.valid + self.refused
        rest = f"0 other exceptions, 0 hangs ({self.slowest_s:.2f} s at most), 0 secrets shown"
        return f"{tried} tried: {self.valid} valid, {self.refused} refused in one line, {rest}"

    def timed(self, attempt: Callable[[], str | None]) -> None:
        """`attempt` returns None, or the error's text, which is checked here."""
        started = time.monotonic()
        error = attempt()
        took = time.monotonic() - started
        assert took < HANG_S
        self.slowest_s = max(self.slowest_s, took)
        if error is None:
            self.valid += 1
        else:
            self.refused += 1
            assert is_line(error), error
            assert CANARY not in error or "is not defined" in error  # a mutation made it a service's name


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without any configuration; secrets that are forgotten afterwards (there are thousands)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(secret, "_known", {})


def attempt(path: str | None, environ: Mapping[str, str]) -> str | None:
    """Load and list: None where it is valid, else what the error says."""
    try:
        config = load.load(path, environ)
        settings = load.read(path, environ)
    except ConfigError as error:
        return str(error)
    assert isinstance(config, Config)
    assert config.databases
    assert config.endpoint
    shown = [*config.warnings, *listing.lines(settings)]
    assert all(is_line(line) for line in shown)
    secrets = [config.endpoint.token, *(each for target in config.databases for each in target.dsn.secrets.values())]
    lines = "\n".join(line for line in shown if "dsn:" in line or "token:" in line)
    names = repr([(each["name"], each["tags"], each["dsn"].value) for each in settings.databases])
    for value in (each.reveal() for each in secrets if each is not None and len(each.reveal()) >= 8):
        if value in f"{names}{config.endpoint.url}{config.spool}":
            continue  # a mutation has put it where it is no secret
        assert value not in repr(config) + repr(settings)
        assert value not in lines
    return None


@pytest.mark.parametrize("files", [bad_files.mutated, bad_files.structured])
def test_configuration_files(files: Callable[..., object], tmp_path: Path, amount: Amount, figure: Figure) -> None:
    tally, path = Tally(), tmp_path / "pgdoctor.yaml"

    @examples(amount(150, 20_000))
    @given(files())
    def one(content: bytes) -> None:
        secret._known.clear()
        path.write_bytes(content)
        path.chmod(0o600)
        tally.timed(lambda: _about_the_file(attempt(str(path), bad_files.ENVIRONMENT), path, content))

    one()
    figure(f"Configuration files, {files.__name__}", str(tally))


def _about_the_file(error: str | None, path: Path, content: bytes) -> str | None:
    """The error begins with the file, and mostly with the line."""
    if error is None:
        return None
    name = one_line(str(path))
    if error.startswith(("PGDOCTOR_ENDPOINT is not set", "PGDOCTOR_TOKEN is not set")):
        assert name in error
        return error
    assert error.startswith(f"{name}:"), error
    line = error.removeprefix(f"{name}:").partition(":")[0]
    if line.isdigit():
        assert 1 <= int(line) <= len(content.splitlines()) + content.count(b"\r") + 2
    else:
        assert line in (" larger than 1 MiB; this is no configuration", " databases"), error
    return error


def test_a_value_that_is_half_a_url_is_listed(tmp_path: Path) -> None:
    """`config show` ended with an internal error: "Invalid IPv6 URL"."""
    path = tmp_path / "pgdoctor.yaml"
    path.write_text(f"{GOOD_FILE}    name: 'http://[::1'\n")
    assert any("http://[::1" in line for line in listing.lines(load.read(str(path), {})))


def test_a_variable_that_is_not_utf8_is_told_of(tmp_path: Path) -> None:
    """libpq's own variables were taken as they came; what prints them ended with UnicodeEncodeError."""
    environ = {"HOME": str(tmp_path), "PGDOCTOR_DSN": "dbname=a", "PGHOSTADDR": "\udc80"}
    assert attempt(None, environ) == "PGDOCTOR_DSN: PGHOSTADDR is not UTF-8"


def test_folders_of_services_are_shown_without_escapes(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PGDOCTOR_DSN": "service=x", "PGSYSCONFDIR": "/\x1b[31m"}
    assert is_line(attempt(None, environ) or "")


def test_environments(tmp_path: Path, amount: Amount, figure: Figure) -> None:
    tally = Tally()

    @examples(amount(150, 20_000))
    @given(bad_files.environments())
    def one(given_: dict[str, str]) -> None:
        secret._known.clear()
        tally.timed(lambda: attempt(None, {"HOME": str(tmp_path), **given_}))

    one()
    figure("Environments", str(tally))


@pytest.mark.parametrize("strings", [bad_dsns.grammatical, bad_dsns.mutated])
def test_dsns(strings: Callable[..., object], tmp_path: Path, amount: Amount, figure: Figure) -> None:
    tally = Tally()

    @examples(amount(200, 30_000))
    @given(strings())
    def one(bad: Bad) -> None:
        secret._known.clear()
        tally.timed(lambda: _dsn(bad, {"HOME": str(tmp_path)}))

    one()
    figure(f"DSNs, {strings.__name__}", str(tally))


def _dsn(bad: Bad, environ: Mapping[str, str]) -> str | None:
    try:
        dsn = Dsn.parse(bad.text, environ)
    except ConfigError as error:
        refused = str(error)
    else:
        _check(dsn, bad)
        return None
    assert not _libpq_takes(bad.text) or any(phrase in refused for phrase in OURS), refused
    return refused


def _check(dsn: Dsn, bad: Bad) -> None:
    """It parsed: its parts are there, its secrets are not shown."""
    assert _libpq_takes(bad.text)
    assert dsn.hosts
    shown = f"{dsn} {dsn!r}"
    told = [each for each in dsn.secrets.values() if len(each.reveal()) >= 8 and each.reveal() not in repr(dsn.params)]
    assert all(each.reveal() not in shown for each in told)  # a mutation may have put one where it is none
    if bad.password:
        assert dsn.password
        assert dsn.password.reveal() == bad.password
        assert CANARY not in shown
    for host in dsn.hosts:
        assert dsn.reveal_keywords(host)["port"].isdigit()


def _libpq_takes(text: str) -> bool:
    with suppress(ProgrammingError, UnicodeError):
        parse_dsn(text.strip())
        return True
    return False


def test_files_through_the_command_line(cli: Cli, amount: Amount, figure: Figure) -> None:
    tried = {"0": 0, "2": 0}
    path = cli.cwd / "pgdoctor.yaml"

    @examples(amount(3, 200))
    @given(bad_files.mutated())
    def one(content: bytes) -> None:
        path.write_bytes(content)
        done = cli.run("config", "show", "--config", str(path), env=bad_files.ENVIRONMENT)
        tried[str(done.returncode)] += 1
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or (done.stderr.count("\n") == 1 and CANARY not in done.stderr)

    one()
    figure("Files through `pgdoctor config show`", f"{tried['0']} shown, {tried['2']} refused, 0 tracebacks")


def test_environments_through_the_command_line(cli: Cli, amount: Amount, figure: Figure) -> None:
    tried = {0: 0, 1: 0, 2: 0}
    commands = (("config", "show"), ("config", "path"), ("daemon", "start"), ("daemon", "status"))

    @examples(amount(3, 200))
    @given(bad_files.environments())
    def one(given_: dict[str, str]) -> None:
        command = commands[sum(tried.values()) % len(commands)]
        env = {**given_, "PGDOCTOR_DEBUG": None, "HOME": str(cli.home), "PGDOCTOR_ENDPOINT": "no url"}
        done = cli.run(*command, env={key: value and value[:50_000] for key, value in env.items()})
        tried[min(done.returncode, 2)] += 1
        assert done.returncode in (0, 1, 2, 3), done
        assert "Traceback" not in done.stderr
        assert "internal error" not in done.stderr
        assert len(done.stderr.splitlines()) <= 1
        assert "pw" not in done.stderr

    one()
    figure("Environments through the command line", f"{sum(tried.values())} tried, 0 tracebacks")


def test_no_process_environment_is_left_behind() -> None:
    """The tests above give their own: nothing of it is in ours."""
    assert not [name for name in os.environ if CANARY in os.environ[name]]
