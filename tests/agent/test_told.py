"""What is news to a channel, by what it knows."""

from dataclasses import replace
from typing import Any

import pytest

from pgdoctor_lib.agent import told as module
from pgdoctor_lib.agent.told import SILENT_S, Heard, Told, last_words, unreachable
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.finding import Finding, Severity

AT = 1_800_000_000.0
CHANNEL = Channel("command", "command", repeat_s=0)
LOST = Finding("slot-lost", "gone", Severity.CRITICAL, "slot gone is lost", remedy="SELECT 1;", evidence={"a": 1})
BLOAT = Finding("table-bloat", "public.t", Severity.WARNING, "table t is bloated")


def heard(*findings: Finding, name: str = "app", at: float = AT, **more: Any) -> Heard:
    target = Target(name, Dsn.parse("host=db1,db2 dbname=app", {}), tags=("prod",))
    given: dict[str, Any] = {"brought": frozenset({"slots", "bloat"}), "unsure": frozenset(), **more}
    found = {each.id: each for each in findings}
    watched = frozenset(given.pop("watched", found))
    return Heard(target, "db1:5432,db2:5432", "id-1", at, found, watched=watched, **given)


def news(told: Told, said: Heard, channel: Channel = CHANNEL) -> list[tuple[str, str]]:
    return [(event.what, event.dedup_key) for event in told.news(channel, said)]


@pytest.fixture
def told() -> Told:
    return Told({}, AT)


def test_opened_once_then_gone_and_opened_again(told: Told) -> None:
    lost, bloat = "pgdoctor/db1:5432,db2:5432/slot-lost:gone", "pgdoctor/db1:5432,db2:5432/app/table-bloat:public.t"
    assert news(told, heard(LOST, BLOAT)) == [("open", lost), ("open", bloat)]
    assert news(told, heard(LOST, BLOAT)) == []
    assert news(told, heard(LOST)) == [("resolved", bloat)]
    assert news(told, heard()) == [("resolved", lost)]
    assert news(told, heard()) == []
    assert news(told, heard(LOST)) == [("open", lost)]


def test_what_it_knows_is_kept(told: Told) -> None:
    news(told, heard(LOST, BLOAT))
    kept = Told.of_bytes(told.as_bytes(), AT)
    assert kept.as_bytes() == told.as_bytes()
    assert news(kept, heard(LOST, BLOAT)) == []
    [event] = kept.news(CHANNEL, heard(BLOAT))
    assert (event.what, event.finding) == ("resolved", replace(LOST, remedy="", evidence={}))


@pytest.mark.parametrize("data", [b"", b"[]", b'{"places": 1}', b'{"places": {"a": {"b": {}}}}', b"\xff"])
def test_what_cannot_be_read_is_nothing(data: bytes) -> None:
    assert Told.of_bytes(data, AT).as_bytes() == b'{"places":{}}'


def test_of_a_servers_databases_one_tells(told: Told) -> None:
    assert len(news(told, heard(LOST, BLOAT))) == 2
    assert news(told, heard(LOST, BLOAT, name="other")) == [
        ("open", "pgdoctor/db1:5432,db2:5432/other/table-bloat:public.t")
    ]
    # the other one saw it once, and the section has been brought by the first since
    assert news(told, heard(BLOAT, name="first")) == [
        ("open", "pgdoctor/db1:5432,db2:5432/first/table-bloat:public.t"),
        ("resolved", "pgdoctor/db1:5432,db2:5432/slot-lost:gone"),
    ]
    assert news(told, heard(LOST, BLOAT, name="other", brought=frozenset())) == []


def test_servers_whose_sockets_lie_in_one_folder(told: Told) -> None:
    def of(port: int, name: str, **more: Any) -> Heard:
        target = Target(name, Dsn.parse(f"host=/var/run/postgresql port={port} dbname=app", {}))
        return replace(Heard.failed(target, LOST, AT), brought=frozenset({"slots"}), **more)

    assert news(told, of(5432, "one")) == [("open", "pgdoctor//var/run/postgresql:5432/slot-lost:gone")]
    assert news(told, of(5433, "two", findings={})) == []
    assert news(told, of(5433, "two")) == [("open", "pgdoctor//var/run/postgresql:5433/slot-lost:gone")]


@pytest.mark.parametrize(
    "more", [{"brought": frozenset()}, {"unsure": frozenset({"table-bloat"})}, {"watched": {BLOAT.id}}]
)
def test_what_was_not_looked_at_or_is_not_shown_is_not_gone(told: Told, more: dict[str, Any]) -> None:
    news(told, heard(BLOAT))
    assert news(told, heard(**more)) == []
    assert len(news(told, heard())) == 1


def test_what_was_found_in_a_part_is_told(told: Told) -> None:
    assert len(news(told, heard(LOST, BLOAT, unsure=frozenset({"slot-lost", "table-bloat"})))) == 2


def test_a_check_that_there_is_no_more(told: Told) -> None:
    kept = Told.of_bytes(told_of("of-yore"), AT)
    assert news(kept, heard()) == [("resolved", "pgdoctor/db1:5432,db2:5432/app/of-yore")]


def told_of(check: str) -> bytes:
    finding = f'{{"check":"{check}","key":"","severity":"warning","summary":"s"}}'
    place = f'"db1:5432,db2:5432/app":{{"{check}":{{"told_at":1,"finding":{finding}}}}}'
    return f'{{"places":{{{place}}}}}'.encode()


def test_worse_is_news_and_less_bad_is_not(told: Told) -> None:
    worse = replace(BLOAT, severity=Severity.CRITICAL)
    assert [what for what, _ in news(told, heard(BLOAT))] == ["open"]
    assert [what for what, _ in news(told, heard(worse))] == ["worsened"]
    assert news(told, heard(BLOAT)) == []
    assert [what for what, _ in news(told, heard(worse))] == ["worsened"]


def test_what_is_not_bad_enough_is_not_there(told: Told) -> None:
    channel = replace(CHANNEL, severity=Severity.CRITICAL)
    assert news(told, heard(BLOAT, replace(LOST, severity=Severity.INFO)), channel) == []
    assert [what for what, _ in news(told, heard(LOST), channel)] == ["open"]
    assert [what for what, _ in news(told, heard(replace(LOST, severity=Severity.WARNING)), channel)] == ["resolved"]


def test_told_again_after_a_while(told: Told) -> None:
    channel = replace(CHANNEL, repeat_s=3600)
    news(told, heard(BLOAT), channel)
    assert news(told, heard(BLOAT, at=AT + 3599), channel) == []
    assert [what for what, _ in news(told, heard(BLOAT, at=AT + 3600), channel)] == ["still_open"]
    assert news(told, heard(BLOAT, at=AT + 7199), channel) == []
    assert [what for what, _ in news(told, heard(at=AT + 7200), channel)] == ["resolved"]


def test_told_again_by_a_snapshot_that_looked_again(told: Told) -> None:
    channel = replace(CHANNEL, repeat_s=60)
    news(told, heard(LOST, BLOAT), channel)
    assert news(told, heard(LOST, BLOAT, at=AT + 90, brought=frozenset()), channel) == []
    assert [key for _, key in news(told, heard(LOST, BLOAT, at=AT + 120, brought=frozenset({"slots"})), channel)] == [
        "pgdoctor/db1:5432,db2:5432/slot-lost:gone"
    ]
    assert [what for what, _ in news(told, heard(LOST, BLOAT, at=AT + 150), channel)] == ["still_open"]


def test_a_database_that_is_out_of_reach_is_told_again(told: Told) -> None:
    channel, target = replace(CHANNEL, repeat_s=60), heard().target

    def failed(at: float) -> list[tuple[str, str]]:
        return news(told, Heard.failed(target, unreachable(target, "no answer", AT), at), channel)

    assert [[what for what, _ in failed(AT + s)] for s in (0, 59, 60)] == [["open"], [], ["still_open"]]


def test_whose_findings(told: Told) -> None:
    assert news(told, heard(BLOAT), replace(CHANNEL, databases=("prod*",))) == []
    assert news(told, heard(BLOAT), replace(CHANNEL, tags=("staging",))) == []
    assert len(news(told, heard(BLOAT), replace(CHANNEL, databases=("prod*", "app"), tags=("prod",)))) == 1
    # it is there no more, whatever the configuration says of the database by now
    assert len(news(told, heard(), replace(CHANNEL, databases=("prod*",)))) == 1


def test_bounds(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    assert len(news(told, heard(BLOAT, LOST))) == 1
    assert news(told, heard(BLOAT, LOST)) == []
    assert len(news(told, heard(LOST))) == 2, "one is gone, which makes room"


def test_a_database_that_nothing_is_heard_of_is_forgotten(told: Told) -> None:
    news(told, heard(LOST, BLOAT))
    assert news(told, heard(LOST, name="other", at=AT + SILENT_S + 1)) == []
    assert b"slot-lost" in told.as_bytes()
    assert b"table-bloat" not in told.as_bytes()


def gathered(check: str, *events: str) -> list[list[str]]:
    """What is told of "open warning" and so on."""
    made = [each.split() for each in events]
    severity = {each.word: each for each in Severity}
    words = last_words(
        heard().event(what, "db", Finding(check, "k", severity[word], what))  # type: ignore[arg-type]
        for what, word in made
    )
    return [[f"{each.what} {each.finding.severity.word}" for each in of] for of in words]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (["open warning"], "open warning"),
        (["open warning", "worsened critical"], "open critical"),
        (["open warning", "still_open info"], "open info"),
        (["open warning", "resolved warning", "open critical"], "open critical"),
        (["open warning", "resolved warning"], None),
        (["open warning", "worsened critical", "resolved critical"], None),
        (["worsened critical"], "worsened critical"),
        (["worsened critical", "still_open critical"], "worsened critical"),
        (["worsened critical", "still_open warning"], "still_open warning"),
        (["still_open warning", "worsened critical"], "worsened critical"),
        (["still_open warning", "still_open warning"], "still_open warning"),
        (["still_open warning", "resolved warning", "open warning"], "still_open warning"),
        (["worsened critical", "resolved critical"], "resolved critical"),
        (["resolved warning"], "resolved warning"),
        (["resolved warning", "open warning"], None),
        (["resolved critical", "open warning"], None),
        (["resolved warning", "open critical"], "worsened critical"),
        (["resolved warning", "open warning", "resolved warning"], "resolved warning"),
    ],
)
def test_of_what_was_gathered_the_last_word(events: list[str], told: str | None) -> None:
    assert gathered("blocking-chain", *events) == [[told] if told else [], []]


def test_what_happened_once_is_told_and_then_that_it_is_over() -> None:
    assert gathered("incident", "open warning", "worsened critical", "resolved critical") == [
        ["open critical"],
        ["resolved critical"],
    ]
    assert gathered("incident", "resolved warning") == [["resolved warning"], []]


def test_others_are_told_beside_it() -> None:
    lost, bloat = (heard().event("open", "db", each) for each in (LOST, BLOAT))
    assert last_words([lost, bloat, replace(lost, what="resolved")]) == [[bloat], []]
