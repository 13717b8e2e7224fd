"""The wire document: what is sealed is what the contract says."""

import json
import re
import time
import uuid

from pgdoctor_lib.snapshot import Agent, Collected, CollectorError, Section, Snapshot, iso_time, new_id


def snapshot(collected: Collected) -> Snapshot:
    return Snapshot(
        new_id(1.5), 1705312800.0, 14.23, Agent("1.0.0", "mon-1", 12345), "production", ("a",), 60.0, collected
    )


def test_the_document() -> None:
    collected = Collected(
        "app",
        "PostgreSQL 15.18",
        (Section("wal", '{"x": 1}'),),
        '[{"calls": 2}]',
        (CollectorError("io", "denied", "GRANT x"),),
    )
    document = json.loads(snapshot(collected).body())
    assert document.pop("snapshot_id")
    assert document == {
        "schema_version": 1,
        "collected_at": "2024-01-15T10:00:00.000Z",
        "duration_ms": 14.2,
        "agent": {
            "version": "1.0.0",
            "hostname": "mon-1",
            "pid": 12345,
            "dropped_snapshots": 0,
            "usage": {},
            "unreachable": [],
            "collectors": {},
        },
        "database": {"name": "production", "tags": ["a"], "interval_s": 60},
        "meta": {"db_name": "app", "db_version": "PostgreSQL 15.18"},
        "has_pg_stat_statements": True,
        "top_queries": [{"calls": 2}],
        "sections": {"wal": {"x": 1}},
        "findings": [],
        "errors": [{"collector": "io", "error": "denied", "hint": "GRANT x"}],
    }


def test_without_pg_stat_statements() -> None:
    document = json.loads(snapshot(Collected("app", "PostgreSQL 12.22")).body())
    assert document["has_pg_stat_statements"] is False
    assert document["top_queries"] == []


def test_lone_surrogates_cannot_break_the_body() -> None:
    body = snapshot(Collected("a\ud800b", "x")).body()
    assert json.loads(body)["meta"]["db_name"] == "a?b"


def test_ids_are_version_7_and_ordered_by_time() -> None:
    ids = [new_id(moment) for moment in (1.0, 2.0, 1705312800.0, time.time())]
    assert ids == sorted(ids)
    for each in ids:
        parsed = uuid.UUID(each)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert len({new_id() for _ in range(1000)}) == 1000


def test_sealing_is_final() -> None:
    made = snapshot(Collected("app", "x"))
    assert made.seal() == made.seal()
    assert "body" not in repr(made.seal())


def test_times_are_utc_with_milliseconds() -> None:
    assert iso_time(0.0019) == "1970-01-01T00:00:00.001Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", iso_time(time.time()))


def test_an_error_is_the_same_whatever_its_numbers_and_its_list_are() -> None:
    hidden = [CollectorError("top_queries", f"{count} statements are hidden", "GRANT x") for count in ("42", "1,043.5")]
    assert hidden[0].sort == hidden[1].sort
    listing = [CollectorError("budget", f"9 % of it: {names}", "raise it", is_listing=True) for names in ("a", "a, b")]
    assert listing[0].sort == listing[1].sort
    others = [CollectorError("x", f"permission denied: t{number}") for number in (1, 2)]
    assert others[0].sort != others[1].sort
