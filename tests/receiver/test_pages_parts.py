"""The ways to and from a page: ranges, assets, series for the script, compression, the policy."""

import gzip
import json
import re
import time

import pytest

from pgdoctor_lib.receiver.store.model import MOST_FINDINGS, FindingRow
from pgdoctor_lib.receiver.web import chart, findings, frame, parts, units
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.locks import recorded
from tests.receiver.client import Client, snapshot
from tests.receiver.pages import visit


def test_an_asset_is_kept_for_good_under_an_address_that_has_its_hash(shared: Client) -> None:
    source = shared.post(snapshot("assets").body()).json["source_id"]
    page = shared.get(f"/databases/{source}").text
    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
    assert {each.rpartition("/")[2] for each in assets} == {
        "style.css",
        "pgdoctor.js",
        "uPlot.iife.min.js",
        "uPlot.min.css",
        "icon.svg",
    }
    for each in assets:
        answer = shared.get(each)
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        packed = shared.get(each, Accept_Encoding="br, gzip")
        assert gzip.decompress(packed.body) == answer.body
        assert packed.headers["vary"] == "Accept-Encoding"
    assert shared.get("/static/000000000000/style.css").status == 404
    [script] = [each for each in assets if each.endswith("pgdoctor.js")]
    assert len(shared.get(script).body) <= 16_000


def test_the_policy_lets_only_our_own_files_run(shared: Client) -> None:
    policy = shared.get("/").headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'"):
        assert part in policy
    assert "unsafe" not in policy


def test_a_page_is_packed_for_those_who_take_it(shared: Client) -> None:
    source = shared.post(snapshot("packed").body()).json["source_id"]
    plain, packed = (shared.get(f"/databases/{source}", Accept_Encoding=each) for each in ("identity", "gzip"))
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed.body)[:300] == plain.body[:300]
    assert shared.ask("HEAD", f"/databases/{source}", Accept_Encoding="gzip").body == b""


def test_series_for_the_charts(shared: Client) -> None:
    for ago in (120, 60, 0):
        source = shared.post(snapshot("charted", ago_s=ago, size_bytes=10**9 - ago * 10**6).body()).json["source_id"]
    now = time.time()
    address = f"/api/databases/{source}/series"
    found = shared.get(f"{address}?metrics=database.size_bytes,made.cache_hit&from={now - 600:.0f}&to={now:.0f}").json
    sizes = [value for value in found["values"]["database.size_bytes"] if value is not None]
    assert (min(sizes), max(sizes)) == (880_000_000, 1_000_000_000)
    assert set(found["values"]["made.cache_hit"]) == {None}
    assert len(found["times"]) == len(found["values"]["database.size_bytes"])
    for query in (
        "",
        "metrics=nothing",
        "metrics=database.size_bytes&points=0",
        "metrics=database.size_bytes&points=99999",
    ):
        answer = shared.get(f"{address}?{query}")
        assert (answer.status, list(answer.json)) == (400, ["error"])
    assert shared.get("/api/databases/000000000000/series?metrics=database.size_bytes").status == 404


def test_a_range_goes_into_every_address(shared: Client) -> None:
    source = shared.post(snapshot("ranged").body()).json["source_id"]
    base = f"/databases/{source}"
    page = visit(shared, f"{base}?from=1700000000&to=1700003600")
    assert f"{base}/queries?from=1700000000&to=1700003600" in page.links
    assert f"{base}?range=7d" in page.links
    assert 'data-refresh="0"' in page.html
    assert f"{base}/queries?range=24h" in visit(shared, f"{base}?range=24h").links


def test_home_is_searched_by_words_and_tags(receiver: Client) -> None:
    for number in range(14):
        receiver.post(snapshot(f"db{number:02}", tags={"team": "core" if number % 2 else "web"}).body())
    everything = visit(receiver, "/")
    assert everything.html.count('<tr class="ok"') == 14
    assert 'class="map"' in everything.html
    assert visit(receiver, "/?q=DB03").html.count('<tr class="ok"') == 1
    assert visit(receiver, "/?tag=team%3A+core").html.count('<tr class="ok"') == 7
    assert "No database like that" in visit(receiver, "/?q=nothing").text


@pytest.mark.parametrize(
    ("query", "span"),
    [
        ("", 21_600),
        ("range=1h", 3600),
        ("range=x", 21_600),
        ("from=1000&to=2000", 1000),
        ("from=2000&to=1000", 1000),
        ("from=1000&to=1000", 10),
        ("from=-5&to=100000", 21_600),
        ("range=3h", 10_800),
        ("range=-1h", 21_600),
        ("from=2001-09-09T01:00:00Z", 2800),
        ("from=2001-09-09T02:00:00%2B01:00", 2800),
        ("from=2001-09-09T00:00:00Z&to=2001-09-09T01:00:00.000Z", 3600),
        ("from=999990000", 10_000),
        ("to=999990000&range=1h", 3600),
        ("from=1&to=99999999999", 3 * 366 * 86_400),
        ("from=nan&to=inf", 21_600),
    ],
)
def test_spans(query: str, span: float) -> None:
    first, last = Ask.of(1e9, "/", query).span
    assert last - first == pytest.approx(span)


def test_an_address_keeps_what_it_is_not_asked_to_change() -> None:
    ask = Ask.of(1e9, "/databases/a/tables", "q=a+b&sort=size&range=1h")
    assert ask.link(sort=None) == "/databases/a/tables?q=a+b&amp;range=1h"
    assert ask.link("/other") == "/other?range=1h"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "", "–"),
        (0, "bytes/s", "0"),
        (1234, "/s", "1.23k/s"),
        (999.9, "", "1k"),
        (1536, "bytes/s", "1.5 KiB/s"),
        (0.25, "s", "250 ms"),
        (98.123, "%", "98.12\u202f%"),
    ],
)
def test_units(value: float | None, unit: str, text: str) -> None:
    assert units.told(value, unit) == text


@pytest.mark.parametrize(
    ("highest", "unit", "end"),
    [(0, "", 1), (0.3, "", 0.5), (7, "", 10), (99, "%", 100), (3000, "bytes", 4096), (11, "/s", 20)],
)
def test_axes_end_at_round_numbers(highest: float, unit: str, end: float) -> None:
    assert units.ceiling(highest, unit) == pytest.approx(end)


@pytest.mark.parametrize("unit", ["", "bytes", "%"])
def test_every_number_has_an_axis(unit: str) -> None:
    for highest in (float("inf"), float("-inf"), float("nan"), 1.7e308, 5e-324, 1e-300):
        assert 0 < units.ceiling(highest, unit) < float("inf")


def test_figures_beyond_all_measure_hang_nothing(receiver: Client) -> None:
    document = json.loads(snapshot("hostile").body())
    document["sections"]["activity"]["total"]["by_state"] = {"active": 1e308, "idle": 1e308}
    document["sections"]["database"]["size_bytes"] = int("9" * 300)
    source = receiver.post(json.dumps(document).encode()).json["source_id"]
    assert visit(receiver, f"/databases/{source}").text
    assert visit(receiver, "/").text
    found = receiver.get(f"/api/databases/{source}/series?metrics=activity.active,activity.idle").json
    assert {value for values in found["values"].values() for value in values} <= {None, 0}


def test_times_far_away_are_told() -> None:
    assert parts.ago(None, 0) == "–"
    assert "2 h ago" in parts.ago(1e9, 1e9 + 7300)
    assert "in 5 min" in parts.ago(1e9 + 300, 1e9)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([0, 9, 18, 9], "M0 19l1-9 1-9 1 9"),
        ([18, 18, None, 18, 18], "M0 1l1 0M3 1l1 0"),
        ([18, None, 18, 0, None, 18], "M2 1l1 18"),
        ([18, None, 18, None, 18], None),
        ([1, 2], None),
    ],
)
def test_small_lines_have_gaps_and_no_points_alone(values: list[float | None], path: str | None) -> None:
    drawn = chart.spark(values)
    assert re.findall('d="([^"]*)"', drawn) == ([path] if path else [])


def test_a_cause_stands_where_the_worst_that_follows_from_it_would() -> None:
    def row(name: str, severity: str, because_of: object = "") -> FindingRow:
        data = {"check": name, "key": "", "severity": severity, "summary": f"of {name}", "because_of": because_of}
        return FindingRow("a", name, name, severity, 0.0, 0.0, None, {**data, "evidence": {}})

    rows = [row("effect", "critical", "between"), row("warning", "warning"), row("between", "info", "cause")]
    told = findings.told([*rows, row("cause", "info"), row("hostile", "info", {})])
    assert [each.finding.check for each in told] == ["cause", "between", "effect", "warning", "hostile"]
    shown = findings.lines(told, Ask.of(1e9, "/databases/a", ""), "/databases/a", {})
    assert 'of cause <span class="quiet">and 1 that follows, critical</span>' in shown
    assert "of effect</span>" in shown


def test_where_there_may_be_more_findings_the_page_says_so() -> None:
    ask = Ask.of(1e9, "/databases/a", "page=2")
    told = [
        findings.told([FindingRow("a", f"c:{number}", "c", "info", 0.0, 0.0, None, {
            "check": "c", "key": str(number), "severity": "info", "summary": f"number {number}", "evidence": {},
        })])[0]
        for number in range(MOST_FINDINGS)
    ]  # fmt: skip
    shown = findings.lines(told, ask, "/databases/a", {})
    assert f"number {findings.PAGE_ROWS}" in shown
    assert "There may be more" in shown
    assert "There may be more" not in findings.lines(told[:-1], ask, "/databases/a", {})


def test_who_was_recorded_in_a_queue_stands_below_the_nearest_in_its_way() -> None:
    """Each in a queue waits for all that are ahead of it; 4 waits for 3 alone."""
    edges = [(2, 1), (3, 1), (3, 2), (4, 3)]
    blocked = [{"pid": pid, "blocking_pid": other, "first_s": 0.0, "last_s": 10.0 - pid} for pid, other in edges]
    [chain] = recorded({"roots": [{"pid": 1}], "sessions": [], "blocked": blocked})
    assert [(node.name, node.above) for node in chain.nodes] == [
        ("pid 1", -1),
        ("pid 2", 0),
        ("pid 3", 0),
        ("pid 4", 2),
    ]


@pytest.mark.parametrize(
    ("size", "most", "told"),
    [(20, 16, "20.0 MiB stored, more than the 16.0 MiB of --max-size · "), (20, 0, "20.0 MiB stored · no data yet")],
)
def test_the_foot_tells_of_a_store_that_takes_too_much(size: int, most: int, told: str) -> None:
    foot = frame.Foot(size * 1024**2, None, most * 1024**2)
    assert told in frame.page("t", "", Ask(1e9, "/"), foot)
