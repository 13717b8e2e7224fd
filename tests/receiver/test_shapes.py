"""A snapshot may hold anything: each view of it is a page, and each question has an answer, all the same."""

import json
import time
from typing import Any

import pytest

from tests.receiver.client import Client
from tests.receiver.pages import visit
from tests.receiver.store.documents import document, many, query

VIEWS = (
    *("", "/queries", "/tables", "/indexes", "/locks", "/replication", "/vacuum", "/settings"),
    *("/compare", "/snapshots"),
)
ASKED = ("", "/queries", "/tables", "/indexes", "/findings", "/events", "/snapshots")
HALF = "\ud800"
_DEEP: Any = "end"
for _ in range(380):
    _DEEP = [_DEEP]


def _rows(**cells: Any) -> dict[str, Any]:
    return {kind: many([cells]) for kind in ("tables", "indexes", "queries", "plans", "settings", "locks")}


def _deliver(receiver: Client, name: str, made: Any) -> str:
    """Two of them, five minutes apart."""
    for ago in (300, 0):
        told = {**document(time.time() - ago, name=name), **made}
        answer = receiver.post(json.dumps(told).encode())
        assert answer.status == 201, answer.text
    return str(answer.json["source_id"])


def _assert_answers(receiver: Client, source: str) -> None:
    wrong = len(receiver.running.errors)
    for view in VIEWS:
        assert visit(receiver, f"/databases/{source}{view}").text
    assert visit(receiver, "/").text
    for path in ASKED:
        assert receiver.get(f"/api/databases/{source}{path}").status == 200, path
    assert receiver.get("/metrics").status == 200
    assert receiver.running.errors[wrong:] == []


@pytest.mark.parametrize("sections", [None, [], "x", 7, {"queries": [], "tables": "x", "indexes": None, "activity": 1}])
def test_sections_that_are_none(shared: Client, sections: Any) -> None:
    _assert_answers(shared, _deliver(shared, f"none {sections!r}", {"sections": sections}))


@pytest.mark.parametrize(
    "cells",
    [
        {"relid": [1], "indexrelid": {"a": 1}, "queryid": [1], "userid": {}, "rolname": [], "size_bytes": 1},
        {"relid": HALF, "indexrelid": HALF, "queryid": HALF, "rolname": HALF, "relname": HALF, "query": HALF},
        {"relid": _DEEP, "queryid": _DEEP, "stats_since": _DEEP, "plan": _DEEP, "query": _DEEP, "rolname": _DEEP},
        {"relid": 1e308, "queryid": 1.5, "size_bytes": 1e308, "calls": 1e308, "total_exec_time_ms": 1e308},
        {"relid": True, "queryid": None, "size_bytes": {}, "calls": "x", "stats_since": 7, "plan": HALF},
    ],
)
def test_cells_that_are_none(shared: Client, cells: dict[str, Any]) -> None:
    rows = _rows(**{"relname": "t", "schemaname": "s", "size_bytes": 1, **cells})
    made = {"sections": rows, "top_queries": [query(**cells)]}
    _assert_answers(shared, _deliver(shared, f"cells {list(cells.values())!r}"[:60], made))


def test_what_nests_too_deep_is_refused(shared: Client) -> None:
    for opened, closed, times in ((b"[", b"]", 401), (b'{"a":', b"}", 5000), (b'[{"a":', b"}]", 90_000)):
        answer = shared.post(b'{"sections":' + opened * times + b"1" + closed * times + b"}")
        assert (answer.status, "nests" in answer.json["error"]) == (400, True)
