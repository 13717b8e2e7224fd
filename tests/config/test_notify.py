"""`notify`: what may stand there, what is refused and where, and that nothing of it is shown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pgdoctor_lib.config import load
from pgdoctor_lib.config.notify import PAGERDUTY, Channel
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.secret import redact
from tests.fix_daemon import Cli

HEAD = "endpoint: https://e.example/x\ntoken: t\ndatabases:\n  - {name: app, dsn: 'dbname=a'}\n"
KEY = "canary0123456789canary0123456789"
ALL = (
    "notify:\n"
    "  - webhook: https://alerts.example.com/canary-of-a-path?key=canary-of-a-query\n"
    "    headers: {X-Key: canary of a header}\n"
    "    token: canary-of-a-token\n"
    "    severity: info\n"
    "    repeat: 0\n"
    "  - {slack: 'https://hooks.slack.example/services/T0/canary-of-slack', databases: [prod*, app], tags: team=x}\n"
    f"  - {{pagerduty: '{KEY}', name: on-call_1, severity: critical, repeat: 1d}}\n"
    "  - {command: [/usr/local/bin/tell, canary-of-an-argument]}\n"
)


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], tuple[Channel, ...]]:
    def make(text: str) -> tuple[Channel, ...]:
        path = tmp_path / "pgdoctor.yaml"
        path.write_text(HEAD + text)
        path.chmod(0o600)
        return load.load(str(path), {"KEY": KEY}).notify

    return make


def test_all_forms(loaded: Callable[[str], tuple[Channel, ...]]) -> None:
    webhook, slack, pagerduty, command = loaded(ALL)
    assert (webhook.severity, webhook.repeat_s) == (Severity.INFO, 0)
    assert webhook.headers["X-Key"].reveal() == "canary of a header"
    assert webhook.token and webhook.token.reveal() == "canary-of-a-token"
    assert (slack.severity, slack.repeat_s) == (Severity.WARNING, 86400)
    assert (slack.name, pagerduty.name) == ("slack", "on-call_1")
    assert pagerduty.key and pagerduty.key.reveal() == KEY
    assert pagerduty.url and pagerduty.url.reveal() == PAGERDUTY
    assert command.command == ("/usr/local/bin/tell", "canary-of-an-argument")
    assert "canary" not in repr((webhook, slack, pagerduty, command))


def test_off_by_default_and_from_the_environment(loaded: Callable[[str], tuple[Channel, ...]]) -> None:
    assert loaded("") == ()
    [channel] = loaded("notify: [{pagerduty: '${KEY}', url: 'http://localhost:1/v2/enqueue'}]")
    assert channel.key and channel.key.reveal() == KEY
    assert channel.url and channel.url.reveal() == "http://localhost:1/v2/enqueue"


def test_whose_findings(loaded: Callable[[str], tuple[Channel, ...]]) -> None:
    webhook, slack, *_ = loaded(ALL)
    assert webhook.fits("anything", ())
    assert slack.fits("production/app", {"team": "x"})
    assert slack.fits("app", ["team=x"])
    assert not slack.fits("app", {"team": "y"})
    assert not slack.fits("staging", {"team": "x"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("notify: https://canary.example/", ":5: notify: must be a list of mappings, each with one of webhook, slack"),
        ("notify: []", ":5: notify: must be a list of mappings"),
        ("notify:\n  - canary", ":6: notify[0]: must be a mapping, such as {webhook: URL}"),
        ("notify:\n  - {slack: 'https://c.example/canary'}\n  - severity: info", ":7: notify[1]: must have one of"),
        ("notify: [{webhook: 'https://c.example', slack: 'https://c.example'}]", ":5: notify[0]: must have one of"),
        ("notify:\n  - webhok: https://canary.example/", ":6: notify[0].webhok: unknown key; did you mean webhook?"),
        ("notify: [{CANARY0: x}]", ":5: notify[0].…: unknown key; known are webhook, slack"),
        ("notify:\n  - webhook: ftp://canary", ":6: notify[0].webhook: must be a URL that begins with http://"),
        ("notify: [{slack: 'https://u:canary@c.example/'}]", "notify[0].slack: must not have a user or a password in"),
        (
            "notify:\n  - slack: https://c.example/canary\n    severity: wrning",
            ":7: notify[0].severity: must be info, warning or critical",
        ),
        ("notify: [{pagerduty: can ary}]", "notify[0].pagerduty: must be printable ASCII without spaces"),
        ("notify: [{slack: 'https://c.example/canary', repeat: 60d}]", "notify[0].repeat: must be a duration"),
        ("notify: [{slack: 'https://c.example/canary', url: 'https://x/'}]", "notify[0].url: does not go with slack"),
        ("notify: [{slack: 'https://c.example/canary', headers: {A: b}}]", "headers: does not go with slack"),
        ("notify: [{webhook: 'https://c.example/canary', headers: {Host: canary}}]", "headers: must be a mapping of"),
        ("notify: [{webhook: 'https://c.example/canary', headers: {A: \"can\\nary\"}}]", "headers: must be a mapping"),
        (
            "notify: [{webhook: 'https://c.example/canary', token: a, token_file: b}]",
            "token_file: token is given as well",
        ),
        ("notify: [{webhook: 'https://c.example/canary', token: can ary}]", "token: must be printable ASCII"),
        ("notify: [{slack: 'https://c.example/canary', token: canary}]", "token: does not go with slack"),
        ("notify: [{command: [canary], ca_file: x}]", "ca_file: does not go with command"),
        (
            "notify: [{webhook: 'https://c.example/canary', name: a/b}]",
            "name: must be up to 40 letters, digits, - and _",
        ),
        ("notify: [{command: canary}, {command: canary}]", "notify[1]: another one is called command; give each a"),
        ("notify: [{command: []}]", "notify[0].command: must be a command"),
        ("notify: [{webhook: 'https://c.example/', ca_file: /no/such}]", "notify[0].ca_file: cannot be read: No such"),
        ("notify: [{webhook: 'https://c.example/', databases: []}]", "notify[0].databases: must be names of databases"),
    ],
)
def test_what_is_refused_and_where(loaded: Callable[[str], tuple[Channel, ...]], text: str, error: str) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(text)
    assert error in str(refused.value)
    assert "canary" not in str(refused.value)


def test_nothing_secret_is_shown(cli: Cli) -> None:
    path = cli.cwd / "pgdoctor.yaml"
    path.write_text(HEAD.replace("token: t", "token: ${TOKEN}") + ALL)
    cli.env["TOKEN"] = "t"
    for mode, warned in ((0o600, False), (0o644, True)):
        path.chmod(mode)
        shown = cli.run("config", "show")
        assert "canary" not in shown.stdout + shown.stderr
        assert '"https://alerts.example.com/***"' in shown.stdout
        assert '["/usr/local/bin/tell", "***"]' in shown.stdout
        assert ("holds secrets and every user can read it" in shown.stdout) is warned
        assert ("holds secrets" in shown.stdout) is warned
    assert "canary" not in cli.run("config", "show", "--json").stdout


def test_a_url_is_masked_in_parts_too(loaded: Callable[[str], tuple[Channel, ...]]) -> None:
    loaded(ALL)
    assert redact("with url: /services/T0/canary-of-slack (Caused by") == "with url: *** (Caused by"
