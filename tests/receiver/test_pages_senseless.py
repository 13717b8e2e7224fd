"""Snapshots that hold what PostgreSQL never tells: each costs its part of a page, not the page."""

import time
from typing import Any

import pytest

from tests.receiver.client import Client
from tests.receiver.pages import put, visit


def rows(*found: object, **total: object) -> dict[str, Any]:
    return {"rows": list(found), "total": total, "more": 0}


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
