"""Findings over their life, and what happened at which moment."""

import random

import pytest

from pgdoctor_lib.receiver.store import Store, events
from tests.receiver.store.documents import T0, counters, finding, iso, many, snapshot

A, B = finding(key="a", since=T0 - 50), finding(key="b", severity="critical")


def _keep(store: Store, minute: float, *findings: object, **more: object) -> None:
    at = T0 + 60 * minute
    store.keep(snapshot(at, findings=list(findings), database=counters(1), **more), T0 + 36_000)


def _lives(store: Store) -> list[tuple[str, float, float, float | None]]:
    """Id, since, last seen, gone at, in minutes."""
    found = store.findings(open_only=False)
    return sorted((row.id, *(None if t is None else (t - T0) / 60 for t in (row.since, row.last_seen, row.gone_at)))
                  for row in found)  # fmt: skip


def test_a_finding_opens_goes_on_and_is_resolved(store: Store) -> None:
    _keep(store, 0, A)
    _keep(store, 1, {**A, "summary": "worse"}, B)
    assert [(row.id, row.data["summary"]) for row in store.findings()] == [
        ("index-unused:b", "index-unused of b"),
        ("index-unused:a", "worse"),
    ]
    (source,) = store.sources()
    assert (source.critical, source.warnings) == (1, 1)
    _keep(store, 2, B)
    _keep(store, 3, B)
    assert _lives(store) == [("index-unused:a", -50 / 60, 1, 2), ("index-unused:b", 1, 3, None)]
    assert store.findings(source.id, since=T0 + 150, open_only=False) == store.findings(source.id)


def test_what_comes_again_is_a_life_of_its_own(store: Store) -> None:
    _keep(store, 0, B)
    _keep(store, 1)
    _keep(store, 2, B)
    assert _lives(store) == [("index-unused:b", 0, 0, 1), ("index-unused:b", 2, 2, None)]


def test_a_check_that_could_not_tell_resolves_nothing(store: Store) -> None:
    _keep(store, 0, A, finding("deadlocks"))
    _keep(store, 1, diagnosis={"not_examined": {"index-unused": "timed out"}})
    assert [row.id for row in store.findings()] == ["index-unused:a"]


def test_what_is_open_is_counted_whether_or_not_it_could_be_told_again(store: Store) -> None:
    _keep(store, 0, B, A, finding(key="info", severity="info"))
    for told in ({"diagnosis": {"not_examined": {"index-unused": "timed out"}}}, {"findings": None}):
        store.keep(snapshot(T0 + 60, **{"findings": [], "database": counters(1), **told}), T0 + 60)
        (source,) = store.sources()
        assert (source.critical, source.warnings) == (1, 1)
    _keep(store, 3)
    (source,) = store.sources()
    assert (source.critical, source.warnings) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_late_snapshots_neither_open_nor_close_what_is_newer(store: Store, seed: int) -> None:
    _keep(store, 10, B)
    late = [(1, (A,)), (2, ()), (3, (A, B)), (4, ())]
    random.Random(seed).shuffle(late)
    for minute, findings in late:
        _keep(store, minute, *findings)
    assert [row.id for row in store.findings()] == ["index-unused:b"]
    assert ("index-unused:b", 10, 10, None) in _lives(store)


def test_hostile_findings_do_no_harm(store: Store) -> None:
    _keep(
        store,
        0,
        {"check": None},
        {"check": ["x"], "key": {"a": 1}, "since": "x", "severity": 7},
        {"check": "c\0d", "summary": "\ud800" * 30_000},
        finding(since=1e300),
        finding(key="early", since=-1),
        7,
    )
    assert {row.severity for row in store.findings()} == {"info", "warning"}


def test_restarts_versions_settings_schema_and_marks_are_events(store: Store) -> None:
    setting = {"name": "work_mem", "setting": "4096", "unit": "kB"}
    first = {"settings": many([setting]), "schema": many([{"kind": "contents", "fingerprint": "a"}])}
    store.keep(snapshot(T0, database=counters(1), **first), T0)
    changed = {"settings": many([{**setting, "setting": "65536"}]), "schema": many([{"fingerprint": "b"}])}
    restarted = counters(1, postmaster_start_time=iso(T0 + 30))
    mark = {"label": "v1.2", "at": iso(T0 + 40)}
    for at in (T0 + 60, T0 + 120):
        store.keep(snapshot(at, database=restarted, mark=mark, **changed), at)
    promoted = {**restarted, "in_recovery": True}
    store.keep(snapshot(T0 + 180, database=promoted, findings=[A]), T0 + 180)
    (source,) = store.sources()
    told = [(event.at - T0, event.kind, event.text) for event in store.events(source.id, T0, T0 + 200)]
    assert told == [
        (30, "restart", "the server was restarted"),
        (40, "mark", "v1.2"),
        (60, "schema", "the schema changed"),
        (60, "settings", "work_mem: 4.0 MiB → 64.0 MiB"),
        (180, "failover", "a standby now"),
    ]
    assert [event.kind for event in store.events(source.id, T0 - 60, T0 - 1)] == ["opened"]


def test_a_changed_schema_is_told_object_by_object(store: Store) -> None:
    change = {"change": "created", "kind": "table", "schemaname": "public", "name": "t", "relname": None}
    for minute in range(2):
        sections = {"schema": many([{"fingerprint": str(minute)}]), "schema_changes": many([change])}
        store.keep(snapshot(T0 + minute * 3600, database=counters(1), **sections), T0 + 7200)
    (source,) = store.sources()
    assert {event.text for event in store.events(source.id, T0, T0 + 7200)} == {"table public.t created"}


def test_an_unknown_key_of_a_late_snapshot_changes_no_state(store: Store) -> None:
    store.keep(snapshot(T0 + 60, database=counters(1, size_bytes=9)), T0 + 60)
    store.keep(snapshot(T0, database=counters(1, size_bytes=1), findings=[B]), T0 + 61)
    (source,) = store.sources()
    assert (source.size_bytes, source.critical) == (9, 0)


def test_findings_of_one_project(store: Store) -> None:
    for project, key in (("", "a"), ("red", "b"), ("blue", "c")):
        store.keep(snapshot(T0, findings=[finding(key=key)]), T0, project)
    assert [row.id for row in store.findings(project="red")] == ["index-unused:b"]
    assert [row.id for row in store.findings(project="")] == ["index-unused:a"]
    assert len(store.findings()) == 3


def test_the_worst_of_each_database(store: Store) -> None:
    told = (("a", [finding(severity="info"), finding(key="b", severity="critical")]), ("b", [finding()]), ("c", []))
    for name, found in told:
        store.keep(snapshot(T0, name=name, findings=found), T0)
    names = {source.id: source.name for source in store.sources()}
    worst = {names[identity]: each["key"] for identity, each in store.worst_findings(list(names)).items()}
    assert worst == {"a": "b", "b": "a"}


@pytest.mark.parametrize("odd", ["x" * 1000, {"a": 1}, 1, None])
def test_whether_it_is_a_standby_is_yes_or_no(odd: object) -> None:
    told = {"sections": {"database": {"in_recovery": odd}}}
    assert "in_recovery" not in events.facts(told, {})
    assert events.facts(told, {"in_recovery": False})["in_recovery"] is False
