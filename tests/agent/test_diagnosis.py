"""From one snapshot to the next: what opens, stays, and is resolved, and what an earlier one is for."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest

from pgdoctor_lib.agent.checkup import saved
from pgdoctor_lib.agent.diagnosis import Diagnosing, document, examined
from pgdoctor_lib.agent.places import Places
from pgdoctor_lib.agent.readings import Common
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.agent.watch import Server
from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.state import State
from pgdoctor_lib.config.rules import Mute, Thresholds
from pgdoctor_lib.snapshot import Agent, Collected, CollectorError, Section, Snapshot, iso_time, new_id

START = 1_800_000_000.0
VERSION = {"server_version_num": 990000}  # of which there is nothing to tell
LOST = {"slot_name": "gone", "wal_status": "lost", "slot_type": "physical"}


def taken(at: float, *, name: str = "app", failed: str = "", **sections: Any) -> Snapshot:
    """A snapshot `at` seconds; a list is the rows of a section."""
    clock = {"server_version_num": 180000, "in_recovery": False, "server_time": iso_time(START + at)}
    whole = {"database": {**clock, **sections.pop("database", {})}, **sections}
    texts = tuple(
        Section(name, json.dumps({"rows": found, "total": {}, "more": 0} if isinstance(found, list) else found))
        for name, found in whole.items()
    )
    errors = (CollectorError(failed, "denied"),) if failed else ()
    agent = Agent("1", "host", 1)
    collected = Collected("app", "PostgreSQL 18.1", texts, None, errors)
    return Snapshot(new_id(START + at), START + at, 1.0, agent, name, (), 60.0, collected)


@pytest.mark.parametrize("at", [0.1234, 0.1236, 0.9999, 0.001])
def test_what_a_snapshot_brings_was_taken_as_it_was(at: float) -> None:
    made = taken(at, slots=[])
    assert document(made).taken_at("slots") == Document.parse(made.body()).collected_at


def test_a_finding_opens_stays_and_is_resolved() -> None:
    diagnosing = Diagnosing(Common())
    _, news = diagnosing.examine(taken(0, slots=[]))
    assert (news.opened, news.resolved) == ((), ())
    told, news = diagnosing.examine(taken(60, slots=[LOST]))
    assert [each.id for each in news.opened] == ["slot-lost:gone"]
    assert [(each.id, each.since) for each in told.findings] == [("slot-lost:gone", START + 60)]
    told, news = diagnosing.examine(taken(120, slots=[LOST]))
    assert (news.opened, news.resolved) == ((), ())
    assert told.findings[0].since == START + 60
    told, news = diagnosing.examine(taken(180))  # the section was not due
    assert [each.id for each in told.findings] == ["slot-lost:gone"]
    told, news = diagnosing.examine(taken(240, failed="slots"))
    assert (told.findings, news.resolved) == ((), ())  # nobody knows
    assert told.diagnosis["not_examined"]["slot-lost"] == "denied"
    told, news = diagnosing.examine(taken(300, slots=[LOST]))
    assert (told.findings[0].since, news.opened) == (START + 60, ())  # it was there all the time
    told, news = diagnosing.examine(taken(360, slots=[]))
    assert [each.id for each in news.resolved] == ["slot-lost:gone"]
    assert told.findings == ()


def test_what_is_gone_by_the_time_that_it_can_be_told_again_is_resolved() -> None:
    diagnosing = Diagnosing(Common())
    diagnosing.examine(taken(0, slots=[LOST]))
    diagnosing.examine(taken(60, failed="slots"))
    _, news = diagnosing.examine(taken(120, slots=[]))
    assert [each.id for each in news.resolved] == ["slot-lost:gone"]


def test_whoever_comes_first_reads_what_the_server_told_and_the_others_wait() -> None:
    old = Diagnosing(Common()).examine(taken(0, name="a", slots=[LOST], server=VERSION))[0].body()
    server = Server(Places())
    server.names.update("abc")
    read: list[str] = []

    def last(name: str) -> bytes:
        read.append(name)
        gevent.sleep(0.001)  # the disk
        return old

    def come() -> set[str]:
        server.resume(last)
        return set(server.common.told)

    coming = [gevent.spawn(come) for _ in range(3)]
    gevent.joinall(coming, raise_error=True)
    assert [each.value for each in coming] == [{"slot-lost:gone"}] * 3
    assert read == ["a", "b", "c"]


def test_what_a_cycle_tells_while_older_words_are_read_is_not_undone() -> None:
    old = Diagnosing(Common()).examine(taken(0, name="a", slots=[LOST], server=VERSION))[0].body()
    server = Common()

    def bodies() -> Iterator[bytes]:
        Diagnosing(server).examine(taken(60, name="b", slots=[], server=VERSION))
        yield old

    server.resume(bodies())
    assert server.told == {}


def test_what_is_not_among_the_five_that_are_shown_is_not_told_anew_when_it_is() -> None:
    diagnosing = Diagnosing(Common())
    slots = [{**LOST, "slot_name": f"s{number}"} for number in range(6)]
    _, news = diagnosing.examine(taken(0, slots=slots))
    assert len(news.opened) == 5
    _, news = diagnosing.examine(taken(60, slots=slots[::-1]))
    assert [each.id for each in news.opened] == ["slot-lost:s5"]
    _, news = diagnosing.examine(taken(120, slots=slots))
    assert (news.opened, news.resolved) == ((), ())


def test_what_the_server_tells_is_told_by_the_database_that_brings_it_along() -> None:
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    told, _ = first.examine(taken(0, name="a", slots=[LOST], server=VERSION))
    assert [each.id for each in told.findings] == ["slot-lost:gone"]
    told, _ = second.examine(taken(1, name="b", slots=[LOST], server=VERSION))  # it comes more often
    assert [each.id for each in told.findings] == ["slot-lost:gone"]
    told, news = first.examine(taken(60, name="a"))
    assert (told.findings, news.resolved, told.diagnosis["watched"]) == ((), (), {})
    told, news = first.examine(taken(120, name="a", slots=[LOST], server=VERSION))  # the other one is gone
    assert [(each.id, each.since) for each in told.findings] == [("slot-lost:gone", START)]
    assert (news.opened, news.resolved) == ((), ()), "it was told under the other's name"
    _, news = first.examine(taken(180, name="a", slots=[], server=VERSION))
    assert [each.id for each in news.resolved] == ["slot-lost:gone"]


def test_what_the_server_told_in_an_earlier_run_is_known_whichever_database_brings_it_now() -> None:
    first, second = Diagnosing(Common()), Diagnosing(Common())
    bodies = [
        first.examine(taken(at, name=name, slots=slots, server=VERSION))[0].body()
        for at, name, slots in ((0, "b", []), (60, "a", [LOST]))
    ]
    bodies.append(second.examine(taken(120, name="b"))[0].body())  # it did not bring the server
    server = Common()
    server.resume(
        [*bodies[::-1], b'{"server":{', b'{"sections":{"server":{}},"diagnosis":{"watched":3},"findings":[]}']
    )
    resumed = Diagnosing(server)
    resumed.resume(bodies[0])
    told, news = resumed.examine(taken(180, name="b", server=VERSION))  # the slots are not due
    assert [(each.id, each.since) for each in told.findings] == [("slot-lost:gone", START + 60)]
    assert (news.opened, news.resolved) == ((), ())
    _, news = resumed.examine(taken(240, name="b", slots=[LOST], server=VERSION))
    assert (news.opened, news.resolved) == ((), ())
    _, news = resumed.examine(taken(300, name="b", slots=[], server=VERSION))
    assert [each.id for each in news.resolved] == ["slot-lost:gone"]


def test_what_the_server_brought_before_is_there_for_each_of_its_databases() -> None:
    """autovacuum-cancelled compares a database's tables, and the server's progress, which another one brings."""
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    worker = {"pid": 7, "query_start": iso_time(START), "is_autovacuum": True, "command": "VACUUM", "datname": "app"}
    table = {"relid": 5, "schemaname": "s", "relname": "t", "autovacuum_count": 3, "vacuum_count": 0}
    found = []
    for minute in range(0, 151, 10):
        progress = [{**worker, "relid": 5, "query_start": iso_time(START + minute * 60)}]
        first.examine(taken(minute * 60, name="a", progress=progress, server=VERSION))
        queue = [{"relid": 5, "vacuum_due": True}]
        told, _ = second.examine(taken(minute * 60 + 1, name="b", tables=[table], autovacuum_queue=queue))
        found.append([each.id for each in told.findings if each.check == "autovacuum-cancelled"])
        assert "autovacuum-cancelled" not in told.diagnosis["not_examined"] or minute < 30
    assert found[0] == [] and found[-1] == ["autovacuum-cancelled:s.t"]


def test_at_long_intervals_it_is_compared_with_the_one_before() -> None:
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    for hour in (0, 2, 4):
        for name, each in (("a", first), ("b", second)):
            sections = {"progress": [], "server": VERSION} if name == "a" else {}
            snapshot = taken(hour * 3600, name=name, tables=[], autovacuum_queue=[], **sections)
            if hour:
                now = each._document(snapshot)
                before = each._before(now)
                assert now.taken_at("progress") - before.taken_at("progress") == 7200
                assert now.taken_at("tables") - before.taken_at("tables") == 7200
            each.examine(snapshot)


def test_what_a_check_lacked_is_looked_at_once_it_is_there() -> None:
    """A database may be the first to be collected from, before the one that brings the server along."""
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    queue = {"rows": [], "total": {"waiting_count": 4}, "more": 0}
    told, _ = second.examine(taken(0, name="b", autovacuum_queue=queue))
    assert told.diagnosis["not_examined"]["autovacuum-behind"] == "the snapshot has no section autovacuum"
    first.examine(taken(1, name="a", autovacuum=[], settings=[], server=VERSION))
    told, _ = second.examine(taken(60, name="b"))
    assert "autovacuum-behind" not in told.diagnosis["not_examined"]


@pytest.mark.parametrize(("started", "deadlocks"), [(START - 9000, ["deadlocks"]), (START + 30, [])])
def test_counters_of_another_run_of_the_server_are_not_compared_with(started: float, deadlocks: list[str]) -> None:
    diagnosing = Diagnosing(Common())
    counted = {"xact_commit": 1, "xact_rollback": 1}
    before = {**counted, "deadlocks": 1, "postmaster_start_time": iso_time(START - 9000)}
    diagnosing.examine(taken(0, database=before))
    after = {**counted, "deadlocks": 500, "postmaster_start_time": iso_time(started)}
    told, _ = diagnosing.examine(taken(60, database=after))
    assert [each.check for each in told.findings if each.check == "deadlocks"] == deadlocks


def test_what_happened_once_is_never_resolved() -> None:
    diagnosing = Diagnosing(Common())
    crowd = {"started_at": iso_time(START), "ended_at": iso_time(START + 20), "peak_waiting_count": 9}
    _, news = diagnosing.examine(taken(60, recording=[crowd]))
    assert [each.check for each in news.opened] == ["incident"]
    told, news = diagnosing.examine(taken(120, recording=[]))
    assert (told.findings, news.opened, news.resolved) == ((), (), ())


def test_what_is_off_on_the_server_is_told_by_one_of_its_databases() -> None:
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    off = {"rows": [], "total": {"autovacuum": False}, "more": 0}
    told, _ = first.examine(taken(0, tables=[], autovacuum=off, settings=[], server=VERSION))
    assert [each.id for each in told.findings] == ["autovacuum-off:autovacuum"]
    told, _ = second.examine(taken(1, tables=[]))
    assert told.findings == ()
    told, news = first.examine(taken(60, tables=[]))  # its section was left out, for the budget
    assert [each.id for each in told.findings] == ["autovacuum-off:autovacuum"]
    _, news = first.examine(taken(120, tables=[], autovacuum={**off, "total": {"autovacuum": True}}))
    assert [each.id for each in news.resolved] == ["autovacuum-off:autovacuum"]


def test_what_pg_stat_statements_forgets_is_told_by_one_of_a_servers_databases() -> None:
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    for at, dealloc in ((0, 0), (600, 1000)):
        queries = {"rows": [], "total": {"dealloc": dealloc, "max": 5000, "recording": True}, "more": 0}
        ours, _ = first.examine(taken(at, queries=queries, server=VERSION))
        theirs, _ = second.examine(taken(at + 1, queries=queries))
    assert [each.id for each in ours.findings] == ["pgss-thrashing"]
    assert theirs.findings == ()


MD5_SET = [{"name": "password_encryption", "setting": "md5"}]
SEEN = {"md5_password_count": 1, "md5_password_roles": ["app"], "hba_rule_count": 3, "hba_trust": [], "hba_errors": []}
HIDDEN = {"md5_password_count": None, "hba_rule_count": None}


def security(found: Any) -> list[str]:
    return [each.id for each in found if each.check == "security-auth"]


def test_what_a_check_found_before_it_stopped_stays() -> None:
    diagnosing = Diagnosing(Common())
    told, _ = diagnosing.examine(taken(0, settings=MD5_SET, failed="security"))
    assert security(told.findings) == ["security-auth:password_encryption"]
    assert told.diagnosis["not_examined"]["security-auth"] == "denied"
    told, news = diagnosing.examine(taken(60, settings=[], failed="security"))
    assert (security(told.findings), news.resolved) == ([], ())  # nobody knows how far it would have come


def test_a_check_that_is_examined_in_part() -> None:
    diagnosing = Diagnosing(Common())
    told, _ = diagnosing.examine(taken(0, settings=MD5_SET, security=SEEN))
    assert security(told.findings) == ["security-auth:password_encryption", "security-auth:md5"]
    assert "security-auth" not in told.diagnosis["not_examined"]
    told, news = diagnosing.examine(taken(60, settings=[], security=HIDDEN))
    assert "pg_authid" in told.diagnosis["not_examined"]["security-auth"]
    assert security(news.resolved) == ["security-auth:password_encryption"]  # of the other nobody knows
    told, news = diagnosing.examine(taken(120, settings=[], security=SEEN))
    assert [(each.id, each.since) for each in told.findings] == [("security-auth:md5", START)]
    assert security(news.opened) == []  # it was told, and not as resolved


def test_what_was_examined_in_part_is_told_once_of_a_saved_snapshot() -> None:
    made = examined(taken(0, settings=MD5_SET, security=HIDDEN))
    told = saved(made.body(), None)
    assert security(told.findings) == ["security-auth:password_encryption"]


INVALID = {"indexrelid": 9, "schemaname": "s", "relname": "t", "indexrelname": "i", "relkind": "i", "indisvalid": False}


def test_what_takes_several_snapshots_is_named_where_there_is_one_and_not_by_the_daemon() -> None:
    rows = {"indexes": [INVALID], "progress": []}
    alone = "s.i is there now, and told once it was there in 2 snapshots in a row: name the one before with --previous"
    one, other = examined(taken(0, **rows)), examined(taken(60, **rows))
    assert (one.findings, one.diagnosis["not_examined"]["index-invalid"]) == ((), alone)
    assert saved(one.body()).not_examined["index-invalid"] == alone
    told = saved(other.body(), one.body())
    assert [each.id for each in told.findings] == ["index-invalid:s.i"]
    assert "index-invalid" not in told.not_examined
    diagnosing = Diagnosing(Common())
    by_daemon = [diagnosing.examine(taken(at, **rows))[0] for at in (0, 60)]
    assert not any("index-invalid" in each.diagnosis["not_examined"] for each in by_daemon)
    assert [[each.id for each in saved(each.body()).findings] for each in by_daemon] == [[], ["index-invalid:s.i"]]
    assert saved(by_daemon[0].body()).not_examined["index-invalid"] == alone
    new = saved(other.body(), examined(taken(0, indexes=[], progress=[])).body())
    assert new.not_examined["index-invalid"].endswith(": the daemon sees that")


def test_a_snapshot_tells_the_same_when_it_is_read_again() -> None:
    made = examined(taken(0, slots=[LOST]))
    told = json.loads(made.body())
    again = Document.parse(made.body())
    found = diagnose(again, Document({}, {}))
    assert [each.as_json() for each in found.findings] == told["findings"]
    assert State.of_json(told["diagnosis"], told["findings"]) == found.state


def test_what_checks_cost_is_in_the_ledger() -> None:
    for made in (examined(taken(0, slots=[LOST])), Diagnosing(Common()).examine(taken(0, slots=[LOST]))[0]):
        cost = json.loads(made.body())["agent"]["collectors"]["checks"]
        assert cost["ms"] > 0
        assert cost["rows"] == len(made.findings) > 0


def test_what_the_server_tells_is_shared_and_what_a_database_tells_is_not() -> None:
    server = Common()
    first, second = Diagnosing(server), Diagnosing(server)
    first.examine(taken(0, settings=[{"name": "fsync", "setting": "on"}], vacuum=[{"relname": "mine"}]))
    seen = second._document(taken(1))
    assert not seen.is_fresh("settings")
    assert not seen.has("vacuum")


def test_earlier_readings_are_up_to_an_hour_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgdoctor_lib.agent.diagnosis.sections_compared", lambda: {"database"})
    diagnosing = Diagnosing(Common())
    for minute in range(0, 300, 5):
        snapshot = taken(minute * 60, database={"deadlocks": minute})
        before = diagnosing._before(document(snapshot))
        diagnosing.examine(snapshot)
        if not minute:
            continue
        age = START + minute * 60 - before.taken_at("database")
        assert age <= 3600
        assert age >= min(1800, minute * 60)


def test_numbers_are_by_the_millisecond_as_in_the_snapshot() -> None:
    snapshot = replace(taken(0), collected_at=START + 0.1234567)
    assert document(snapshot).collected_at == Document.parse(snapshot.body()).collected_at


def test_a_new_run_goes_on_from_the_last_snapshot() -> None:
    told, _ = Diagnosing(Common()).examine(taken(0, slots=[LOST]))
    resumed = Diagnosing(Common())
    resumed.resume(told.body())
    again, news = resumed.examine(taken(600, slots=[LOST]))
    assert (news.opened, news.resolved) == ((), ())
    assert again.findings[0].since == START
    _, news = resumed.examine(taken(660, slots=[]))
    assert [each.id for each in news.resolved] == ["slot-lost:gone"]
    for senseless in (b"{}", b"[]", b"x", b'{"sections":{},"diagnosis":{"watched":3},"findings":[]}'):
        Diagnosing(Common()).resume(senseless)


def test_what_changes_slowly_is_looked_at_every_five_minutes_unless_it_warns() -> None:
    rules = [Rules()]
    diagnosing = Diagnosing(Common(), lambda: rules[0])

    def dead_at(at: float, dead: int) -> list[float | None]:
        row = {"relid": 7, "schemaname": "s", "relname": "t", "relkind": "r", "table_size_bytes": 10**9}
        told, _ = diagnosing.examine(taken(at, tables=[{**row, "n_dead_tup": dead, "n_live_tup": 40_000}]))
        return [each.evidence["n_dead_tup"] for each in told.findings if each.check == "dead-tuples"]

    assert dead_at(0, 0) == []
    assert dead_at(240, 20_000) == []  # not asked again so soon
    assert dead_at(300, 30_000) == [30_000]
    assert dead_at(301, 31_000) == [31_000]  # asked each time as long as it warns
    assert dead_at(302, 0) == []
    assert dead_at(303, 20_000) == []
    rules[0] = Rules(thresholds=(Thresholds("dead-tuples", {"warning_percent": 30.0}),))
    assert dead_at(304, 20_000) == [20_000]


def test_a_number_that_the_configuration_set_says_so() -> None:
    idle = {"pid": 7, "backend_type": "client backend", "state": "idle in transaction", "state_age_s": 1000.0}
    own = "5 min since its last statement (critical: 30 min, where it keeps VACUUM from cleaning)"
    set_ = own.replace("5 min", "10 s").replace("30 min", "1 min") + "; critical_s, warning_s set by thresholds"
    for limits, told in (
        ({}, own),
        ({"warning_s": 300.0}, own),
        ({"warning_s": 10.0, "critical_s": 60.0}, set_),
    ):
        made = examined(taken(0, activity=[idle]), Rules(thresholds=(Thresholds("idle-in-transaction", limits),)))
        for findings in (made.findings, saved(made.body()).findings):
            assert [each.threshold for each in findings] == [told]


def test_a_check_whose_section_was_not_due_was_not_asked() -> None:
    diagnosing = Diagnosing(Common())
    row = {"relid": 7, "schemaname": "s", "relname": "t", "relkind": "r", "table_size_bytes": 10**9}
    dead = {**row, "n_dead_tup": 30_000, "n_live_tup": 40_000}
    diagnosing.examine(taken(0, tables=[]))
    diagnosing.examine(taken(300))  # there was no time for it
    told, _ = diagnosing.examine(taken(360, tables=[dead]))
    assert [each.check for each in told.findings if each.check == "dead-tuples"] == ["dead-tuples"]


def test_what_is_muted_is_known_where_its_section_is_not_due() -> None:
    rules = [Rules(mutes=(Mute(check="slot-lost"),))]
    diagnosing = Diagnosing(Common(), lambda: rules[0])
    for at, sections in ((0, {"slots": [LOST]}), (60, {})):
        told, news = diagnosing.examine(taken(at, **sections))
        assert (told.findings, told.diagnosis["muted"], news.opened) == ((), ["slot-lost:gone"], ())
    rules[0] = Rules()
    told, news = diagnosing.examine(taken(120))
    assert [each.id for each in told.findings] == [each.id for each in news.opened] == ["slot-lost:gone"]


def test_why_a_check_could_not_tell_is_told_until_it_is_asked_again() -> None:
    diagnosing = Diagnosing(Common())
    failed, _ = diagnosing.examine(taken(0, failed="constraints"))
    later, _ = diagnosing.examine(taken(60))
    assert failed.diagnosis["not_examined"]["fk-unindexed"] == later.diagnosis["not_examined"]["fk-unindexed"]
    cured, _ = diagnosing.examine(taken(120, constraints=[]))
    assert "fk-unindexed" not in cured.diagnosis["not_examined"]
