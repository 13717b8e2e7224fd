"""What is told of findings, and the form that each kind of channel wants it in. Pure.

A `Notice` is what one channel is told at once. PagerDuty takes one event a request, so there each event is a notice of
its own. The forms are documented in docs/notify.md.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pgdoctor_lib.config.notify import Channel, Form
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.secret import one_line, printable, redact
from pgdoctor_lib.snapshot import Agent, iso_time, new_id
from pgdoctor_lib.units import counted

What = Literal["open", "worsened", "still_open", "resolved", "test"]
SCHEMA_VERSION = 1
MOST_IN_SLACK = 10  # events of one message: the rest is counted
_MOST_KEY = 255  # characters: PagerDuty's
_MOST_SUMMARY = 1024  # PagerDuty's
_MOST_TEXT = 1500  # of a section in Slack, which takes 3000 characters
_MOST_REMEDY = 700
_MOST_EVIDENCE = 16 * 1024
_MARKS = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠", Severity.INFO: "🔵"}
_WORDS = {"open": "", "worsened": "now ", "still_open": "still ", "resolved": "resolved: ", "test": "test: "}


@dataclass(frozen=True)
class Event:
    """One finding, and what became of it. `at`: epoch seconds of the snapshot; `server`: its hosts, for people.

    `dedup_key`: the same from a finding's opening to its end, on every agent with the same configuration;
    `snapshot_id`: of the snapshot that tells.
    """

    what: What
    dedup_key: str
    database: str
    server: str
    finding: Finding
    at: float
    snapshot_id: str

    def as_json(self) -> dict[str, Any]:
        """For a webhook, a command, and the disk."""
        return {
            "event": self.what,
            "dedup_key": self.dedup_key,
            "database": self.database,
            "server": self.server,
            "at": iso_time(self.at),
            "snapshot_id": self.snapshot_id,
            "finding": self.finding.as_json(),
        }


@dataclass(frozen=True)
class Notice:
    """What a channel is told at once: `body` is `document` of it, as JSON.

    `id` comes from what is told, and of which snapshots: of the same slot every agent makes the same (`ha`).
    """

    id: str
    body: str

    @classmethod
    def of_body(cls, body: str) -> "Notice":
        """As it was kept. ValueError, KeyError or TypeError where it is none."""
        return cls(str(json.loads(body)["id"]), body)

    @property
    def document(self) -> dict[str, Any]:
        """What is in it."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def dedup_key(*parts: str) -> str:
    """ "pgdoctor/db1:5432/app/table-bloat:public.t"; what is too long ends in a hash of the whole."""
    text = "/".join(("pgdoctor", *parts))
    if len(text) <= _MOST_KEY:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
    return f"{text[: _MOST_KEY - len(digest) - 1]}~{digest}"


def notices(form: Form, events: Sequence[Event], agent: Agent, wall: float) -> list[Notice]:
    """One for all, worst first; for PagerDuty, one each."""
    groups = [[each] for each in events] if form == "pagerduty" else [worst_first(events)]
    return [_notice(group, agent, wall) for group in groups if group]


def worst_first(events: Sequence[Event]) -> list[Event]:
    """What is new or still there before what is gone, and the worst of it first."""
    return sorted(events, key=lambda each: (each.what == "resolved", -each.finding.severity))


def body(channel: Channel, notice: Notice) -> bytes:
    """What goes over the wire, or to the command's standard input."""
    if channel.form == "slack":
        return _bytes(_slack(notice.document))
    if channel.form == "pagerduty":
        assert channel.key
        return _bytes({"routing_key": channel.key.reveal(), **_pagerduty(notice.document)})
    return notice.body.encode("utf-8", "replace")


def trial(agent: Agent, wall: float) -> Event:
    """What `notify test` tells."""
    summary = f"PGDoctor on {agent.hostname} can tell you what it finds"
    finding = Finding("notify-test", "", Severity.INFO, summary, category="maintenance", since=wall)
    return Event("test", dedup_key(agent.hostname, "notify-test"), "test", agent.hostname, finding, wall, new_id(wall))


def ended(event: Event) -> Event:
    """The same, gone."""
    return replace(event, what="resolved")


def _notice(events: Sequence[Event], agent: Agent, wall: float) -> Notice:
    told = sorted(f"{each.what} {each.dedup_key} {each.snapshot_id}" for each in events)
    notice_id = hashlib.sha256("\n".join(told).encode("utf-8", "replace")).hexdigest()[:32]
    document = {
        "schema_version": SCHEMA_VERSION,
        "id": notice_id,
        "at": iso_time(wall),
        "agent": {"version": agent.version, "hostname": agent.hostname, "pid": agent.pid},
        "events": [_redacted(each.as_json()) for each in events],
    }
    return Notice(notice_id, json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str))


def _redacted(value: Any) -> Any:
    """Names and texts are the server's: a secret that we know must not go to others by them."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redacted(each) for key, each in value.items()}
    return [_redacted(each) for each in value] if isinstance(value, list | tuple) else value


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _slack(document: Mapping[str, Any]) -> dict[str, Any]:
    """Text for the notification, and a block an event."""
    events = document["events"]
    shown = events[:MOST_IN_SLACK]
    blocks = [{"type": "section", "text": _mrkdwn(_section(event))} for event in shown]
    teller = f"PGDoctor {document['agent']['version']} on {document['agent']['hostname']}"
    more = f"and {len(events) - len(shown)} more; " if len(events) > len(shown) else ""
    context = {"type": "context", "elements": [_mrkdwn(_escaped(more + teller))]}
    others = f" (and {counted(len(events) - 1, 'other')})" if len(events) > 1 else ""
    return {"text": f"{_line(events[0], '')}{others}", "blocks": [*blocks, context]}


def _mrkdwn(text: str) -> dict[str, Any]:
    """`verbatim`: Slack makes no links and mentions of what looks like one."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _line(event: Mapping[str, Any], bold: str) -> str:
    """`🔴 production: critical: …`."""
    finding = event["finding"]
    is_over = event["event"] == "resolved"
    mark = "✅" if is_over else _MARKS[Severity.of(finding["severity"])]
    word = _WORDS[event["event"]] + ("" if is_over else f"{finding['severity']}: ")
    summary = _escaped(one_line(finding["summary"], _MOST_TEXT), _MOST_TEXT)
    return f"{mark} {bold}{_escaped(one_line(event['database']), 100)}{bold} {word}{summary}"


def _section(event: Mapping[str, Any]) -> str:
    finding = event["finding"]
    lines = [_line(event, "*"), f"`{_escaped(finding['check'])}`"]
    if finding["remedy"] and event["event"] != "resolved":
        lines.append(f"```{_escaped(_lines(finding['remedy']), _MOST_REMEDY)}```")
    return "\n".join(lines)


def _lines(text: str) -> str:
    """Several, none of which ends the block that they stand in."""
    return "\n".join(map(printable, text.replace("```", "").splitlines()))


def _escaped(text: str, most: int = 200) -> str:
    """As Slack wants it, which is no mention of anybody either; never cut within what is written out."""
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return whole if len(whole) <= most else re.sub(r"&[a-z]*$", "", whole[: most - 1]) + "…"


def _pagerduty(document: Mapping[str, Any]) -> dict[str, Any]:
    """The Events API, version 2: of the one event of a notice, what goes beside the routing key."""
    [event] = document["events"]
    if event["event"] == "resolved":
        return {"event_action": "resolve", "dedup_key": event["dedup_key"]}
    finding = event["finding"]
    payload = {
        "summary": one_line(f"{event['database']}: {finding['summary']}", _MOST_SUMMARY),
        "source": event["server"] or event["database"],
        "severity": finding["severity"],
        "timestamp": event["at"],
        "component": event["database"],
        "class": finding["check"],
        "custom_details": dict(_details(finding)),
    }
    return {
        "event_action": "trigger",
        "dedup_key": event["dedup_key"],
        "client": f"PGDoctor {document['agent']['version']} on {document['agent']['hostname']}",
        "payload": payload,
    }


def _details(finding: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What there is, without evidence that is too long: PagerDuty takes 512 KB."""
    for key in ("subject", "threshold", "remedy", "caution", "days_left", "because_of", "category"):
        if finding[key]:
            yield key, finding[key]
    if finding["since"] is not None:
        yield "since", iso_time(finding["since"])
    if finding["evidence"] and len(json.dumps(finding["evidence"])) <= _MOST_EVIDENCE:
        yield "evidence", finding["evidence"]
