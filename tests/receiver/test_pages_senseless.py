"""Snapshots that hold what PostgreSQL never tells: each costs its part of a page, not the page."""

import time
from typing import Any

import pytest

from pgdoctor_lib.receiver.web import parts, queries
from pgdoctor_lib.snapshot import iso_time
from tests.receiver.client import Client
from tests.receiver.pages import put, visit

TOO_LATE, TOO_EARLY = "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00"


def rows(*found: object, **total: object) -> dict[str, Any]:
    return {"rows": list(found), "total": total, "more": 0}


def finding(key: str, **more: object) -> dict[str, object]:
    return {"check": "c", "key": key, "severity": "warning", "summary": f"about {key}", "evidence": {}, **more}


@pytest.mark.parametrize("view", ["compare", "settings"])
@pytest.mark.parametrize("senseless_ago_s", [600, 0])
def test_findings_that_cannot_be_compared(shared: Client, view: str, senseless_ago_s: float) -> None:
    name = f"{view} {senseless_ago_s}"
    settings = rows({"name": "work_mem", "setting": "4096", "unit": "kB"})
    for ago_s in (600, 0):
        found = [1] if ago_s == senseless_ago_s else []
        source = put(shared, {"settings": settings}, ago_s, name, findings=found)
    page = visit(shared, f"/databases/{source}/{view}?then={time.time() - 300:.0f}")
    assert "These cannot be compared: not a snapshot: its findings make no sense" in page.text


@pytest.mark.parametrize("when", [TOO_LATE, TOO_EARLY])
def test_times_beyond_the_calendar(shared: Client, when: str) -> None:
    recorded = {"started_at": when, "samples": [[0, 3, 0], [4e17, 9, 6]], "roots": [], "sessions": [], "blocked": []}
    sections = {
        "database": {"stats_reset": when},
        "tables": rows({"relid": 1, "schemaname": "public", "relname": "t", "size_bytes": 1, "last_vacuum": when}),
        "locks": rows(),
        "recording": rows(recorded, {**recorded, "started_at": iso_time(time.time())}),
        "replication": {"in_recovery": True, "last_replay_at": when, "senders": []},
    }
    told = finding("x", evidence={"then": when, "rows": [{"then": when}]})
    source = put(shared, sections, name=f"far {when}", findings=[told])
    for view in ("", "/tables", "/tables/1", "/locks", "/replication", "/vacuum", "/snapshots"):
        visit(shared, f"/databases/{source}{view}")


@pytest.mark.parametrize("when", [4e17, -4e17, 1e30, 253402300800.0, -62135596801.0])
def test_a_time_that_no_calendar_has_is_not_told(when: float) -> None:
    assert {parts.moment(when), parts.clock(when, 60), parts.ago(when, 0)} == {parts.NOTHING}


def test_an_end_that_never_comes(shared: Client) -> None:
    tables = rows({"relid": 1, "schemaname": "public", "relname": "t", "size_bytes": 1})
    told = [finding("never", days_left=1e999), finding("soon", days_left=3.0, subject="disk")]
    source = put(shared, {"tables": tables}, name="endless", findings=told)
    page = visit(shared, f"/databases/{source}/tables")
    assert "3 d disk about soon" in page.text
    assert "about never" not in page.text
    assert visit(shared, f"/databases/{source}").text.count("Left at this pace") == 1


@pytest.mark.parametrize("pid", [[7], {"a": 1}, "7"])
def test_a_process_id_that_is_none(shared: Client, pid: object) -> None:
    sections = {"progress": rows({"pid": pid, "command": "VACUUM"}), "autovacuum": rows({"pid": 9}, {"pid": pid})}
    source = put(shared, sections, name=f"pid {pid}")
    assert "VACUUM" in visit(shared, f"/databases/{source}/vacuum").text


def test_a_long_chain_of_causes_goes_on_on_another_page(shared: Client) -> None:
    told = [finding(str(number), because_of=f"c:{number - 1}") for number in range(1, 301)]
    source = put(shared, {}, name="deep", findings=told)
    path, seen = f"/databases/{source}", set[str]()
    while path:
        page = visit(shared, path)
        seen |= {each for each in page.ids if each.startswith("f-")}
        path = next((link for link in page.links if "/findings/" in link and link != path), "")
    assert len(seen) == 300


def test_a_plan_of_more_nodes_than_are_shown() -> None:
    node: dict[str, object] = {"Node Type": "Result"}
    for number in range(300):
        node = {"Node Type": f"Append {number}", "Plans": [{"Node Type": "Scan"}, node, *[{}] * 20_000]}
    began = time.monotonic()
    lines = queries._outline(node)
    assert time.monotonic() - began < 0.5  # of the nodes that say nothing, few are looked at
    assert [line.partition("(")[0].strip() for line in lines[:4]] == ["Append 299", "Scan", "Append 298", "Scan"]
    assert len(lines) == 200
