"""Each view in a real browser: what was planted is to be seen, and what is hostile runs nothing."""

import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.planted import HOSTILE, Site
from tests.browser.tab import VIEWS, Tab
from tests.waiting import wait_for

MOST_BYTES = 150_000
SEEN = {
    "": ("Findings", "1 session waits", "Mark v2", "Active sessions, by what they wait for", "Transactions"),
    "queries": ("planted_slow", HOSTILE, "Share"),
    "tables": ("public.orders", "autovacuum off", HOSTILE),
    "indexes": ("orders_note_again", "the same as orders_note"),
    "locks": ("1 session waiting, 1 root", HOSTILE, "row of public."),
    "replication": ("It stands alone",),
    "vacuum": ("Of the way to wraparound", "public.orders"),
    "settings": ("shared_buffers", "pg_stat_statements"),
    "compare": ("Choose what to compare it with", "mark v2", HOSTILE),
    "snapshots": ("Figures of the newest",),
}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view or "overview")
def test_a_view_shows_what_was_planted(tab: Callable[..., Tab], site: Site, view: str) -> None:
    seen = tab(f"{site.shop}/{view}".rstrip("/"))
    assert [words for words in SEEN[view] if words not in seen.text] == []
    assert seen.weight_bytes <= MOST_BYTES


def test_the_first_page_shows_all_databases(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab()
    assert [words for words in ("shop", HOSTILE, "warning") if words not in seen.text] == []
    assert seen.weight_bytes <= MOST_BYTES
    seen.page.get_by_role("searchbox").fill("shop")
    seen.page.wait_for_url("**/?q=shop")
    seen.page.wait_for_function("text => !document.querySelector('main table').textContent.includes(text)", arg=HOSTILE)


def test_what_is_hostile_runs_nothing_wherever_links_lead(tab: Callable[..., Tab], site: Site) -> None:
    seen, todo, been = tab(), ["/"], set[str]()
    while todo and len(been) < 32:
        path = todo.pop()
        been.add(path)
        seen.go(path)
        seen.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        seen.check()
        found = seen.page.eval_on_selector_all(
            "a[href]", "all => all.map((each) => new URL(each.getAttribute('href'), location).href)"
        )
        links = {urlsplit(link).path for link in found if link.startswith(f"{site.url}/")}
        todo += sorted(link for link in links if not link.startswith("/api/") and link not in {*been, *todo})
    assert len([path for path in been if re.search("/(queries|tables)/.", path)]) > 2
    assert len([path for path in been if re.fullmatch("/databases/[^/]+", path)]) >= 2


def test_a_statements_page_shows_it_before_and_after_a_mark(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(f"{site.shop}/queries")
    seen.page.get_by_role("link", name="planted_slow").click()
    seen.page.wait_for_url(f"**{site.shop}/queries/*")
    seen.settle()
    assert "planted_slow" in seen.text
    assert "Seq Scan on orders" in seen.text, seen.text[-3000:]
    [row] = seen.page.locator("table:has(th:text('Mean before')) tr:has(td:text-is('v2'))").all()
    mark, _, before, after, _, *calls = row.locator("td").all_text_contents()
    assert (mark, calls) == ("v2", ["3", "1"])
    assert "–" not in (before, after)


def test_comparing_with_a_mark(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(f"{site.shop}/compare")
    seen.page.get_by_role("link", name="mark v2").click()
    seen.page.wait_for_url("**/compare?*then=*")
    seen.settle()
    assert "planted_later" in seen.text


def test_zooming_into_a_chart_moves_all_of_them(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(site.shop)
    before = _drawn(seen)
    assert len(before) > 8
    box = seen.page.locator(".plot.drawn .u-over").first.bounding_box()
    assert box
    seen.page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + 30)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 40, steps=4)
    seen.page.mouse.up()
    seen.page.wait_for_url("**from=*to=*")
    seen.settle()
    asked = parse_qs(urlsplit(seen.page.url).query)
    span = seen.page.locator(".ranges")
    assert [asked["from"], asked["to"]] == [[span.get_attribute("data-from")], [span.get_attribute("data-to")]]

    def unmoved() -> set[str]:
        return {name for name, drawn in _drawn(seen).items() if before.get(name) == drawn}

    wait_for(lambda: not unmoved(), lambda: f"not moved: {unmoved()}")
    assert _colored_columns(seen, "Connections") > 10
    shared = tab(urlsplit(seen.page.url)._replace(scheme="", netloc="").geturl())
    assert set(_drawn(shared)) == set(_drawn(seen))
    seen.page.go_back()
    seen.page.wait_for_function("() => !location.search")


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("base", ["crowded", "shop"])
def test_a_tree_is_seen_whole(tab: Callable[..., Tab], site: Site, base: str, width: int) -> None:
    seen = tab(f"{getattr(site, base)}/locks", viewport={"width": width, "height": 900})
    ends = "all => all.map((each) => each.getBoundingClientRect().right)"
    boxes = seen.page.eval_on_selector_all(".waits .box", ends)
    assert len(boxes) > 1 and max(boxes) <= width
    links = seen.page.eval_on_selector_all("a:text('as it was')", ends)
    assert max(links, default=0) <= width
    assert links or base == "crowded"


@pytest.mark.parametrize("width", [1400, 820, 390])
def test_the_last_word_of_an_axis_is_not_cut_off(tab: Callable[..., Tab], site: Site, width: int) -> None:
    quarter = (time.time() // 900 + 1) * 900  # a word stands right at the end
    path = f"{site.shop}?from={quarter - 1800:.0f}&to={quarter:.0f}"
    seen = tab(path, viewport={"width": width, "height": 900})
    reaching: list[str] = seen.page.eval_on_selector_all(
        "figure.chart:has(canvas)",
        """(all) => all.filter((each) => {
          const canvas = each.querySelector("canvas");
          const { data } = canvas.getContext("2d").getImageData(canvas.width - 1, 0, 1, canvas.height);
          return data.some((value, at) => at % 4 === 3 && value > 0);
        }).map((each) => each.id)""",
    )
    assert reaching == []
    assert seen.page.locator("figure.chart canvas").count() > 8


def test_without_script_there_are_pictures_and_tables(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(site.shop, java_script_enabled=False)
    assert seen.page.locator("figure.chart svg").count() > 8
    assert seen.page.locator("figure.chart table").count() > 8


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view or "overview")
def test_a_phone_shows_it_without_moving_sideways(tab: Callable[..., Tab], site: Site, view: str) -> None:
    seen = tab(f"{site.shop}/{view}".rstrip("/"), viewport={"width": 360, "height": 740})
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360


def _drawn(seen: Tab) -> dict[str, str]:
    """By a chart's title what its canvas shows."""
    found: dict[str, str] = seen.page.eval_on_selector_all(
        "figure.chart:has(.drawn)",
        "all => Object.fromEntries(all.map((each) => [each.id || each.querySelector('h2, h3, figcaption').textContent,"
        " each.querySelector('canvas').toDataURL()]))",
    )
    return found


def _colored_columns(seen: Tab, title: str) -> int:
    """Over how many pixels of a chart's width there is anything but paper, rules and grey words."""
    figure = seen.page.locator("figure.chart", has_text=title).locator("canvas")
    found: int = figure.evaluate(
        """(canvas) => {
          const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const columns = new Set();
          for (let at = 0; at < data.length; at += 4) {
            const pixel = data.subarray(at, at + 3);
            if (data[at + 3] > 200 && Math.max(...pixel) - Math.min(...pixel) > 90) columns.add((at / 4) % width);
          }
          return columns.size;
        }"""
    )
    return found
