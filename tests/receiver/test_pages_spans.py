"""A span of time that an address names: what is shown is of that span, and what cannot be meant so is said."""

import time

import pytest

from pgdoctor_lib.snapshot import iso_time
from tests.receiver.client import Client
from tests.receiver.pages import put, visit


def finding(key: str, severity: str) -> dict[str, str]:
    return {"check": "index-unused", "key": key, "severity": severity, "summary": f"The index {key} is of no use."}


@pytest.fixture
def base(receiver: Client) -> str:
    """A finding that is gone, and one that is there; a database that has grown, and a table with it."""
    for ago_s, found, size in (
        (7200, [finding("old_one", "critical")], 1 << 30),
        (3600, [finding("new_one", "warning")], 5 << 30),
        (0, [finding("new_one", "warning")], 5 << 30),
    ):
        row = {"relid": 7, "indexrelid": 8, "schemaname": "public", "relname": "t", "indexrelname": "i"}
        rows = {"rows": [{**row, "size_bytes": size}], "total": {"count": 1}, "more": 0}
        source = put(
            receiver,
            {"database": {"size_bytes": size}, "tables": rows, "indexes": rows, "vacuum": rows},
            ago_s,
            findings=found,
        )
    return f"/databases/{source}"


def test_a_span_that_is_over_shows_what_was_then(receiver: Client, base: str) -> None:
    now = time.time()
    over = f"?from={now - 9000:.0f}&to={now - 5400:.0f}"
    page = visit(receiver, f"{base}{over}")
    assert "Findings within this span: 1 critical" in page.text
    assert "old_one" in page.text
    assert "2 h ago , gone 60 min ago" in page.text
    assert "new_one" not in page.text
    assert "Size at the end 1.0 GiB" in page.text
    assert "now 1 warning" in page.text
    for view in ("tables", "tables/7", "indexes", "vacuum"):
        text = visit(receiver, f"{base}/{view}{over}").text
        assert "1.0 GiB" in text, view
        assert "read 2 h ago" in text, view


def test_a_span_that_goes_on_shows_what_is_now(receiver: Client, base: str) -> None:
    page = visit(receiver, f"{base}?from={time.time() - 9000:.0f}")
    assert "Findings: 1 warning" in page.text
    assert "critical" not in page.text
    assert "5.0 GiB" in page.text


def test_a_span_when_nothing_was_wrong(receiver: Client, base: str) -> None:
    now = time.time()
    text = visit(receiver, f"{base}?from={now - 90_000:.0f}&to={now - 80_000:.0f}").text
    assert "Nothing was wrong that PGDoctor knows of." in text


def test_times_are_taken_as_the_interface_takes_them(receiver: Client, base: str) -> None:
    now = time.time()
    first, last = iso_time(now - 9000), iso_time(now - 5400)
    assert "old_one" in visit(receiver, f"{base}?from={first}&to={last}").text
    told = receiver.get(f"/api{base}/events?from={first}&to={last}").json
    assert (told["from"], told["to"]) == (first, last)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=abc", "from=abc is no time"),
        ("from=1000&to=%3Cb%3E", "to=<b> is no time"),
        ("range=-1h", "range=-1h is no span"),
        ("from=2000&to=1000", "It begins after its end"),
    ],
)
def test_what_cannot_be_meant_is_said(shared: Client, query: str, said: str) -> None:
    source = put(shared, {}, name="spans")
    for view in ("", "/queries", "/tables"):
        assert said in visit(shared, f"/databases/{source}{view}?{query}").text
    assert "is no " not in visit(shared, f"/databases/{source}?range=3h").text


def test_over_long_spans_the_highest_is_drawn_besides_the_mean(receiver: Client) -> None:
    for minute in range(12):
        source = put(receiver, {"database": {"size_bytes": (9 if minute == 6 else 1) << 30}}, 60.0 * minute)
    pages = {name: receiver.get(f"/databases/{source}?range={name}").text for name in ("15m", "24h")}
    assert {name: 'class="line peak' in page for name, page in pages.items()} == {"15m": False, "24h": True}
    assert "Pale: the highest within each step" in pages["24h"]
    asked = f"/api/databases/{source}/series?metrics=database.size_bytes,made.cache_hit&range=24h&points=180"
    told = receiver.get(f"{asked}&with=peaks").json
    highest = max(value for value in told["peaks"]["database.size_bytes"] if value is not None)
    assert highest == 9 << 30 > max(value for value in told["values"]["database.size_bytes"] if value is not None)
    assert list(told["peaks"]) == ["database.size_bytes"]
    assert receiver.get(asked).json["peaks"] == {}
