"""`mute` and `thresholds`: what may stand there, and which databases and findings a rule is for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.config import load
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.finding import Finding, Severity
from tests.fix_daemon import Cli

HEAD = "endpoint: https://e.example/x\ntoken: t\ndatabases:\n  - {name: app, dsn: 'dbname=a'}\n"


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], Rules]:
    def make(text: str) -> Rules:
        path = tmp_path / "pgdoctor.yaml"
        path.write_text(HEAD + text)
        path.chmod(0o600)
        return Rules.of(load.load(str(path), {}))

    return make


def finding(check: str, key: str = "") -> Finding:
    return Finding(check, key, Severity.WARNING, "")


def test_what_is_muted_where_and_until_when(loaded: Callable[[str], Rules]) -> None:
    rules = loaded(
        "mute:\n"
        "  - {check: slot-lost, database: 'app*', until: 2027-01-31, reason: known}\n"
        "  - {key: 'slot-inactive:old one'}\n"
        "  - {tag: batch, check: long-transaction}\n"
        "  - {tag: team=x}\n"
    )
    app = rules.muted("app/one", (), 1_700_000_000)
    assert app(finding("slot-lost", "any"))
    assert not app(finding("long-transaction"))
    assert app(finding("slot-inactive", "old one"))
    assert not app(finding("slot-inactive", "another"))
    assert not rules.muted("app/one", (), 1_900_000_000)(finding("slot-lost", "any")), "it is over"
    assert not rules.muted("other", (), 1_700_000_000)(finding("slot-lost", "any"))
    assert rules.muted("other", ("batch",), 0)(finding("long-transaction"))
    assert rules.muted("other", {"team": "x"}, 0)(finding("anything"))


def test_the_last_threshold_that_fits_counts(loaded: Callable[[str], Rules]) -> None:
    rules = loaded(
        "thresholds:\n"
        "  - {check: long-transaction, warning_s: 2h}\n"
        "  - {check: long-transaction, warning_s: 4h, database: reports}\n"
        "  - {check: slot-inactive, warning_bytes: 3GiB, tag: cdc}\n"
    )
    assert rules.limits("app", ()) == {"long-transaction": {"warning_s": 7200}}
    assert rules.limits("reports", ["cdc"]) == {
        "long-transaction": {"warning_s": 14400},
        "slot-inactive": {"warning_bytes": 3 * 1024**3},
    }


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("mute: [{check: slot-losst}]", "mute: no check is called slot-losst; did you mean slot-lost?"),
        ("mute: [{key: 'nothing:x'}]", "mute: no check is called nothing"),
        ("mute: [{reason: x}]", ":5: mute: says nothing of what is muted: name a check, key, database or tag"),
        ("mute: [{check: slot-lost, untill: x}]", ":5: mute: untill: unknown key; known are check, key, database"),
        ("mute: [{check: slot-lost, until: soon}]", ":5: mute: until must be a date, such as 2027-01-31"),
        ("mute: [{check: slot-lost, until: '9999-12-31T23:59:59-05:00'}]", ":5: mute: until must be a date, such as"),
        ("mute: [{check: slot-lost, until: '0001-01-01T00:00:00+05:00'}]", ":5: mute: until must be a date, such as"),
        ("mute: slot-lost", ":5: mute: must be a list of mappings with check, key"),
        ("thresholds: [{warning_s: 1h}]", ":5: thresholds: check is missing"),
        ("thresholds: [{check: slot-lost}]", ":5: thresholds: slot-lost: no threshold is given"),
        ("thresholds: [{check: slot-lost, warning_s: 1h}]", "thresholds: slot-lost has no threshold warning_s"),
        ("thresholds: [{check: slot-inactive, warning_bytes: much}]", "warning_bytes must be a size: bytes, or 64MiB"),
        (
            "thresholds: [{check: long-transaction, warning_sec: 1}]",
            "no threshold warning_sec; did you mean warning_s?",
        ),
    ],
)
def test_what_makes_no_sense(loaded: Callable[[str], Rules], text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert error in str(caught.value)


def test_config_show_tells_them(cli: Cli) -> None:
    text = "mute: [{check: slot-lost, reason: known}]\nthresholds: [{check: slot-inactive, warning_bytes: 1GiB}]\n"
    (cli.cwd / "pgdoctor.yaml").write_text(HEAD + text)
    (cli.cwd / "pgdoctor.yaml").chmod(0o600)
    told = json.loads(cli.run("config", "show", "--json").stdout)["settings"]
    assert told["mute"]["value"] == [{"check": "slot-lost", "reason": "known"}]
    assert told["thresholds"]["value"] == [{"check": "slot-inactive", "warning_bytes": 1024**3}]
