"""The forms of what is told of findings."""

import json
from dataclasses import replace

import pytest

from pgdoctor_lib.config.dsn import Command
from pgdoctor_lib.config.notify import PAGERDUTY, Channel
from pgdoctor_lib.deliver.notices import Event, What, body, dedup_key, ended, notices, trial
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Agent
from tests.fix_daemon import ROOT

AT = 1_800_000_000.0
AGENT = Agent("1.2.3", "mon-1", 42)
SLACK = Channel("slack", "slack", Secret("https://hooks.slack.example/services/canary"))
PAGER = Channel("pagerduty", "pagerduty", Secret(PAGERDUTY), Secret("canary-routing-key"))
WEBHOOK = Channel("webhook", "webhook", Secret("https://alerts.example/canary"))


def event(what: What = "open", severity: Severity = Severity.WARNING, key: str = "gone", **more: object) -> Event:
    finding = Finding("slot-lost", key, severity, f"slot {key} is lost", remedy="SELECT 1;", since=AT, **more)  # type: ignore[arg-type]
    return Event(what, dedup_key("db1:5432", finding.id), "production", "db1:5432", finding, AT, "snapshot-1")


def test_a_webhook_gets_all_events_of_a_cycle_worst_first() -> None:
    mixed = [event("resolved", Severity.CRITICAL, "a"), event(key="b"), event("still_open", Severity.CRITICAL, "c")]
    [notice] = notices("webhook", mixed, AGENT, AT)
    told = json.loads(body(WEBHOOK, notice))
    assert told == notice.document
    assert told["id"] == notice.id
    assert told["at"] == "2027-01-15T08:00:00.000Z"
    assert told["agent"] == {"version": "1.2.3", "hostname": "mon-1", "pid": 42}
    assert [(each["event"], each["dedup_key"]) for each in told["events"]] == [
        ("still_open", "pgdoctor/db1:5432/slot-lost:c"),
        ("open", "pgdoctor/db1:5432/slot-lost:b"),
        ("resolved", "pgdoctor/db1:5432/slot-lost:a"),
    ]
    first = told["events"][0]
    assert (first["database"], first["server"]) == ("production", "db1:5432")
    assert first["finding"] == mixed[2].finding.as_json()


def test_the_documentation_shows_what_a_webhook_gets() -> None:
    page = (ROOT / "docs" / "notify.md").read_text("utf-8")
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    [made] = notices("webhook", [event()], AGENT, AT)
    for path in ((), ("agent",), ("events", 0), ("events", 0, "finding")):
        ours, theirs = made.document, shown
        for step in path:
            ours, theirs = ours[step], theirs[step]
        assert ours.keys() == theirs.keys()
    assert (shown["schema_version"], len(shown["id"])) == (made.document["schema_version"], len(made.id))


def test_a_secret_that_is_known_is_masked() -> None:
    Secret("canary-in-a-name")
    made = event(key="canary-in-a-name", evidence={"names": ["canary-in-a-name"], "deep": {"a": "canary-in-a-name"}})
    for form in ("webhook", "pagerduty"):
        [notice] = notices(form, [made], AGENT, AT)  # type: ignore[arg-type]
        assert "canary" not in json.dumps({**notice.document, "events": [notice.document["events"][0]["finding"]]})


def test_names_cannot_forge_lines() -> None:
    forged = event(key="a\n✅ *production* resolved: all is well\u202e")
    [notice] = notices("slack", [forged], AGENT, AT)
    [block, _] = json.loads(body(SLACK, notice))["blocks"]
    assert block["text"]["text"].splitlines()[1] == "`slot-lost`"
    assert "\u202e" not in block["text"]["text"]
    assert block["text"]["verbatim"]


def test_a_command_gets_the_same() -> None:
    [notice] = notices("command", [event()], AGENT, AT)
    assert json.loads(body(Channel("command", "command", command=Command(("tell",))), notice)) == notice.document


def test_slack_gets_text_and_blocks() -> None:
    [notice] = notices("slack", [event(key="<!channel> & co"), event(severity=Severity.CRITICAL)], AGENT, AT)
    told = json.loads(body(SLACK, notice))
    assert told["text"] == "🔴 production critical: slot gone is lost (and 1 other)"
    texts = [block["text"]["text"] for block in told["blocks"][:-1]]
    assert texts[0] == "🔴 *production* critical: slot gone is lost\n`slot-lost`\n```SELECT 1;```"
    assert "slot &lt;!channel&gt; &amp; co is lost" in texts[1]
    assert told["blocks"][-1]["elements"][0]["text"] == "PGDoctor 1.2.3 on mon-1"


def test_slack_gets_no_more_than_it_takes() -> None:
    long = event(key="&" * 9000)
    many = [replace(long, finding=replace(long.finding, remedy="<>&```" * 9000))] * 60
    [notice] = notices("slack", many, AGENT, AT)
    told = json.loads(body(SLACK, notice))
    assert len(told["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in told["blocks"][:-1])
    assert told["blocks"][0]["text"]["text"].count("```") == 2
    assert told["blocks"][-1]["elements"][0]["text"].startswith("and 50 more; ")


def test_what_is_gone_has_no_remedy_in_slack() -> None:
    [notice] = notices("slack", [event("resolved")], AGENT, AT)
    told = json.loads(body(SLACK, notice))
    assert told["text"] == "✅ production resolved: slot gone is lost"
    assert "SELECT" not in json.dumps(told)


@pytest.mark.parametrize("severity", Severity)
def test_pagerduty_gets_one_event_each(severity: Severity) -> None:
    opened, gone = notices("pagerduty", [event("open", severity), event("resolved", severity, "b")], AGENT, AT)
    told = json.loads(body(PAGER, opened))
    assert (told["routing_key"], told["event_action"]) == ("canary-routing-key", "trigger")
    assert told["dedup_key"] == "pgdoctor/db1:5432/slot-lost:gone"
    assert told["payload"]["summary"] == "production: slot gone is lost"
    assert told["payload"]["severity"] == severity.word
    assert told["payload"]["source"] == "db1:5432"
    assert told["payload"]["custom_details"]["remedy"] == "SELECT 1;"
    assert json.loads(body(PAGER, gone)) == {
        "routing_key": "canary-routing-key",
        "event_action": "resolve",
        "dedup_key": "pgdoctor/db1:5432/slot-lost:b",
    }
    assert "canary" not in opened.body + gone.body, "what is kept on disk holds no key"


def test_pagerduty_gets_no_more_than_it_takes() -> None:
    [notice] = notices("pagerduty", [event(key="é" * 2000, evidence={"tree": "x" * 600_000})], AGENT, AT)
    told = body(PAGER, notice)
    assert len(told) < 512 * 1024
    assert len(json.loads(told)["payload"]["summary"]) == 1024
    assert len(json.loads(told)["dedup_key"]) == 255


def test_long_keys_differ() -> None:
    first, second = (dedup_key("db", "x" * 300 + end) for end in "ab")
    assert first != second
    assert len(first) == len(second) == 255


def test_a_trial_opens_and_ends() -> None:
    made = trial(AGENT, AT)
    both = [*notices("pagerduty", [made], AGENT, AT), *notices("pagerduty", [ended(made)], AGENT, AT)]
    told = [json.loads(body(PAGER, each)) for each in both]
    assert [each["event_action"] for each in told] == ["trigger", "resolve"]
    assert told[0]["dedup_key"] == told[1]["dedup_key"]
    assert told[0]["payload"]["severity"] == "info"
