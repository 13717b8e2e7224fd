"""What a channel has been told, and what is news to it. Pure; the notifier keeps it on disk.

What a check says of a server belongs to the server's place, whichever of its databases brings it; all else to the
database's. Only a snapshot with the check's own section opens or ends what is the server's, and ends anything at all:
where a section was not due, or a check could not tell, what was last said stands.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgdoctor_lib.agent.readings import is_of_server
from pgdoctor_lib.agent.rules import UNREACHABLE
from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.deliver.notices import Event, What, dedup_key
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.snapshot import Snapshot

MOST = 5000  # findings that a channel knows of: what is beyond is not told
SILENT_S = 30 * 86_400.0  # a place that nothing was heard of for so long is forgotten
_KEPT = ("check", "key", "severity", "summary", "subject", "category", "since")


@dataclass(frozen=True)
class Heard:
    """What a database's diagnosis says. `server`: its hosts.

    `findings`: by id; `brought`: the sections of this very snapshot; `unsure`: checks that could not tell all;
    `watched`: ids of what is there, shown or not.
    """

    target: Target
    server: str
    snapshot_id: str
    at: float
    findings: Mapping[str, Finding]
    brought: frozenset[str]
    unsure: frozenset[str]
    watched: frozenset[str]

    @classmethod
    def of(cls, target: Target, snapshot: Snapshot) -> "Heard":
        """From a snapshot that was examined."""
        return cls(
            target,
            ",".join(map(str, target.dsn.hosts)),
            snapshot.snapshot_id,
            snapshot.collected_at,
            {each.id: each for each in snapshot.findings},
            frozenset(section.name for section in snapshot.collected.sections),
            frozenset(snapshot.diagnosis["not_examined"]),
            frozenset(snapshot.diagnosis["watched"]),
        )

    @classmethod
    def failed(cls, target: Target, finding: Finding, at: float) -> "Heard":
        """There is nothing but that to be said: no snapshot came."""
        server, nothing = ",".join(map(str, target.dsn.hosts)), frozenset[str]()
        return cls(target, server, "", at, {finding.id: finding}, nothing, nothing, nothing)

    @property
    def places(self) -> tuple[str, str]:
        """The server's, and the database's."""
        return self.server, f"{self.server}/{self.target.name}"

    def place(self, check: str) -> str:
        """Where that check's findings belong."""
        return self.places[0 if is_of_server(check) else 1]

    def brings(self, check: str) -> bool:
        """Whether the check looked at something fresh, or at a part of it; what is none (`unreachable`) always does."""
        return check not in checks() or checks()[check].reads[0] in self.brought

    def event(self, what: What, place: str, finding: Finding) -> Event:
        """As it is told."""
        key = dedup_key(place, finding.id)
        return Event(what, key, self.target.name, self.server, finding, self.at, self.snapshot_id)


@dataclass(frozen=True)
class Entry:
    """A finding that a channel knows to be there, in brief. `told_at`: the last time, epoch seconds."""

    finding: Finding
    told_at: float

    @classmethod
    def of(cls, finding: Finding, told_at: float) -> "Entry":
        """Without its evidence and remedy."""
        return cls(Finding(**{name: getattr(finding, name) for name in _KEPT}), told_at)


class Told:
    """All that one channel knows to be there, by place and id. `now`: epoch seconds."""

    def __init__(self, places: Mapping[str, dict[str, Entry]], now: float) -> None:
        self._places = dict(places)
        self._heard = dict.fromkeys(places, now)

    @classmethod
    def of_bytes(cls, data: bytes, now: float) -> "Told":
        """As it was kept; nothing where that cannot be read."""
        try:
            places = json.loads(data)["places"]
            return cls({place: {key: _entry(each) for key, each in of.items()} for place, of in places.items()}, now)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls({}, now)

    def as_bytes(self) -> bytes:
        """To be kept."""
        places = {place: {key: _kept(each) for key, each in of.items()} for place, of in self._places.items() if of}
        return json.dumps({"places": places}, separators=(",", ":")).encode()

    @property
    def has_room(self) -> bool:
        """Whether it can be told of more."""
        return sum(map(len, self._places.values())) < MOST

    def news(self, channel: Channel, heard: Heard) -> list[Event]:
        """What the channel is to be told now: from here on it counts as told."""
        self._heard.update(dict.fromkeys(heard.places, heard.at))
        gone = list(self._gone(channel, heard))
        there = list(self._there(channel, heard))
        self._forget(heard.at)
        return [*there, *gone]

    def _there(self, channel: Channel, heard: Heard) -> Iterator[Event]:
        for key, finding in heard.findings.items():
            if finding.severity < channel.severity:
                continue
            place = heard.place(finding.check)
            known = self._places.get(place, {})
            was = known.get(key)
            what = _what(channel, heard, finding, was)
            if what and (was or self.has_room):
                self._places.setdefault(place, known)[key] = Entry.of(finding, heard.at)
                yield heard.event(what, place, finding)
            elif was and heard.brings(finding.check):  # less bad by now: should it get worse again, that is news
                known[key] = Entry.of(finding, was.told_at)

    def _gone(self, channel: Channel, heard: Heard) -> Iterator[Event]:
        for place in heard.places:
            for key, entry in list(self._places.get(place, {}).items()):
                if _is_gone(channel, heard, entry.finding):
                    del self._places[place][key]
                    yield heard.event("resolved", place, entry.finding)

    def _forget(self, now: float) -> None:
        for place in [place for place, at in self._heard.items() if now - at > SILENT_S]:
            del self._heard[place]
            self._places.pop(place, None)


def last_words(events: Iterable[Event]) -> list[list[Event]]:
    """What is told of what was gathered, in a notice, and in one after it: in each, one thing of a finding.

    That is how it stands by now against what the channel knew before: nothing, where it came and went, or went and
    came. But what happened once (an incident) is past when it is found: it is told, and after that, that it is over.
    """
    gathered: dict[str, list[Event]] = {}
    for event in events:
        gathered.setdefault(event.dedup_key, []).append(event)
    words = list(map(_last_words, gathered.values()))
    return [[of[turn] for of in words if len(of) > turn] for turn in range(2)]


def unreachable(target: Target, why: str, since: float) -> Finding:
    """What is told of a database that cannot be collected, since then (epoch seconds)."""
    summary = f"nothing can be collected: {why.removeprefix('collection failed: ')}"
    return Finding(UNREACHABLE, "", Severity.CRITICAL, summary, target.name, since=since, category="connections")


def _what(channel: Channel, heard: Heard, finding: Finding, was: Entry | None) -> What | None:
    """What is to be told of a finding that is there."""
    is_fresh = heard.brings(finding.check)
    is_word = is_fresh or not is_of_server(finding.check)
    if was is None:
        return "open" if is_word and channel.fits(heard.target.name, heard.target.tags) else None
    if is_word and finding.severity > was.finding.severity:
        return "worsened"
    is_due = channel.repeat_s and heard.at - was.told_at >= channel.repeat_s
    return "still_open" if is_fresh and is_due else None


def _last_words(of: Sequence[Event]) -> list[Event]:
    """Of one finding, what is left to be told, in turn."""
    first, last = of[0], of[-1]
    was_there, is_there = first.what != "open", last.what != "resolved"
    if was_there and is_there:
        return _change(first, last)
    if is_there:
        return [replace(last, what="open")]
    if was_there:
        return [last]
    check = last.finding.check
    return [replace(of[-2], what="open"), last] if check in checks() and checks()[check].is_event else []


def _change(first: Event, last: Event) -> list[Event]:
    """Of one that was there before the first event, and is after the last."""
    known, now = first.finding.severity, last.finding.severity
    if now > known or (now == known and first.what == "worsened"):
        return [replace(last, what="worsened")]
    return [] if first.what == "resolved" else [replace(last, what="still_open")]


def _is_gone(channel: Channel, heard: Heard, finding: Finding) -> bool:
    """Whether it is there no more, or no longer bad enough for this channel."""
    if finding.check not in checks():
        return finding.id not in heard.findings
    if not heard.brings(finding.check) or finding.check in heard.unsure:
        return False
    now = heard.findings.get(finding.id)
    return now.severity < channel.severity if now else finding.id not in heard.watched


def _kept(entry: Entry) -> dict[str, Any]:
    whole = entry.finding.as_json()
    return {"told_at": entry.told_at, "finding": {name: whole[name] for name in _KEPT}}


def _entry(kept: Mapping[str, Any]) -> Entry:
    return Entry(Finding.of_json(kept["finding"]), float(kept["told_at"]))
