"""Long lists: what a snapshot has of them is not all that there is, and is as old as it is."""

import time
from typing import Any

import pytest

from pgdoctor_lib.receiver.moments import epoch_of
from pgdoctor_lib.snapshot import iso_time
from tests.receiver.client import Client
from tests.receiver.pages import put, visit


def of_ten_thousand(count: int = 50) -> dict[str, Any]:
    rows = [
        {"relid": number, "indexrelid": number, "schemaname": "public", "relname": f"t{number:05}",
         "indexrelname": f"t{number:05}_pkey", "size_bytes": 8192 * number, "n_live_tup": 10, "n_dead_tup": number,
         "vacuum_percent": 1, "idx_scan": 10, "last_autovacuum": iso_time(time.time() - 7200)}
        for number in range(1, count + 1)
    ]  # fmt: skip
    return {"rows": rows, "total": {"count": 10_000}, "more": 10_000 - count}


@pytest.mark.parametrize(
    ("view", "section", "noun"),
    [("tables", "tables", "tables"), ("indexes", "indexes", "indexes"), ("vacuum", "vacuum", "tables")],
)
def test_a_list_says_what_is_not_in_it(receiver: Client, view: str, section: str, noun: str) -> None:
    base = f"/databases/{put(receiver, {section: of_ten_thousand()})}/{view}"
    page = visit(receiver, base)
    text = page.text.replace("\u202f", " ")
    assert f"50 of 10 000 {noun}" in text
    assert "All told 50" in text
    assert "50 by size" in text or "50 each by size" in text
    assert "The other 9 950 are neither listed nor found" in text
    nothing = visit(receiver, f"{base}?q=t09999").text.replace("\u202f", " ")
    assert f"No {noun} like that among those 50; it may be one of the others" in nothing


def test_a_whole_list_is_called_all(receiver: Client) -> None:
    whole = {**of_ten_thousand(), "more": 0}
    text = visit(receiver, f"/databases/{put(receiver, {'tables': whole})}/tables?q=nothing").text
    assert "All 50" in text
    assert "No tables like that" in text
    assert "others" not in text


@pytest.mark.parametrize("kind", ["tables", "indexes"])
def test_the_api_says_what_is_left_out(receiver: Client, kind: str) -> None:
    source = put(receiver, {kind: of_ten_thousand()}, ago_s=120)
    put(receiver, {})
    for path in (f"{kind}?limit=10", f"sections/{kind}?limit=10"):
        told = receiver.get(f"/api/databases/{source}/{path}").json
        assert (told["more"], told["left_out"], told["total"]) == (40, 9950, {"count": 10_000})
        assert abs(time.time() - 120 - epoch_of(told["collected_at"])) < 60


def test_lists_tell_how_old_they_are(receiver: Client) -> None:
    sections = {name: of_ten_thousand() for name in ("tables", "indexes", "vacuum")}
    source = put(receiver, sections, ago_s=250)
    put(receiver, {})
    for view in ("tables", "tables/7", "indexes", "vacuum"):
        assert "read 4 min ago" in visit(receiver, f"/databases/{source}/{view}").text
    assert "2 h ago" in visit(receiver, f"/databases/{source}/vacuum").text


def test_statements_and_one_of_them_are_told_alike(receiver: Client) -> None:
    """Of what was told over 100 minutes a span of 50 has half; and what the list lacks is said."""
    for ago_s, calls, spent_ms in ((6000, 0, 0), (0, 100, 1000)):
        row = {"queryid": "7", "userid": 10, "toplevel": True, "query": "BEGIN", "rolname": "app",
               "calls": calls, "total_exec_time_ms": spent_ms / 1000, "rows": 0}  # fmt: skip
        queries = {"rows": [row], "total": {"count": 2, "total_exec_time_ms": spent_ms}, "more": 1}
        source = put(receiver, {"queries": queries}, ago_s)
    listed = visit(receiver, f"/databases/{source}/queries?range=50m").text
    assert "BEGIN 0.1 % 50 " in listed.replace("\u202f", " ")
    assert "Those listed took 0.1 % of it" in listed.replace("\u202f", " ")
    assert "Calls 50 " in visit(receiver, f"/databases/{source}/queries/7?range=50m").text
