"""Without a mouse, with a screen reader, in the dark: what keys reach, and what axe-core has to say."""

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from tests.browser.planted import Site
from tests.browser.tab import VIEWS, Tab

# what Tab stops at: each in the order of the page, one that is folded away not
_STOPS = """
() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex="0"]')]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.disabled)
  .map((each, place) => (each.dataset.stop = `${place} ${each.textContent.trim().slice(0, 40)}`))
"""
_FOCUSED = """
() => {
  const focused = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  const isSeen = outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
  const isTold = focused.closest("svg") && getComputedStyle(focused.querySelector("text")).opacity === "1";
  return [focused.dataset.stop ?? "", isSeen || isTold];
}
"""
_MORE_OF_IT = (
    "figure.chart:nth-child(n+6), .events li:nth-child(n+9), "
    "tbody tr:nth-child(n+9), .cards dl > :nth-child(n+13), .cards section:nth-child(n+4), .finding:nth-child(n+9)"
)
_WRONG = """
async (rules) => (await axe.run({ resultTypes: ["violations"], ...rules })).violations
  .filter((each) => ["serious", "critical"].includes(each.impact))
  .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 200))}`)
"""


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view or "overview")
def test_axe_finds_no_serious_fault(tab: Callable[..., Tab], site: Site, view: str) -> None:
    assert _faults(tab(f"{site.shop}/{view}".rstrip("/"))) == {"light": [], "dark": []}


def test_axe_finds_no_serious_fault_on_the_first_page(tab: Callable[..., Tab]) -> None:
    assert _faults(tab()) == {"light": [], "dark": []}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view or "overview")
def test_keys_reach_everything_in_its_order(tab: Callable[..., Tab], site: Site, view: str) -> None:
    seen = tab(f"{site.shop}/{view}".rstrip("/"))
    stops = seen.page.evaluate(_STOPS)
    assert stops[0].endswith("Skip to the content")
    reached: list[str] = []
    unseen: list[str] = []
    while len(reached) < len(stops):
        seen.page.keyboard.press("Tab")
        name, is_seen = seen.page.evaluate(_FOCUSED)
        if name not in reached[-1:]:  # a date has stops within itself
            assert name == stops[len(reached)]
            reached.append(name)
            unseen += [] if is_seen else [name]
    assert unseen == []


def test_the_first_stop_skips_to_the_content(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(site.shop)
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "main"


def test_a_finding_opens_and_its_remedy_is_copied_with_keys_alone(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(site.shop, permissions=["clipboard-read", "clipboard-write"])
    finding = seen.page.locator("details.finding:has(button.copy)").first
    _press(seen, "summary", "Enter", finding.locator("button.copy").first.is_visible)
    _press(seen, "button.copy", "Enter", lambda: seen.page.evaluate("document.activeElement.textContent") == "Copied")
    copied = seen.page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == (finding.locator("pre").first.text_content() or "").strip()


def _press(seen: Tab, selector: str, key: str, done: Callable[[], bool]) -> None:
    """Go on with Tab to what this selects, and press the key there."""
    for _ in range(200):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            seen.page.keyboard.press(key)
            seen.page.wait_for_timeout(100)
            if done():
                return
    raise AssertionError(f"{selector} was not reached")


def _faults(seen: Tab) -> dict[str, Any]:
    """What is wrong in each colour scheme, with all that can be opened open, and of what is alike a few."""
    seen.page.evaluate(f"document.querySelectorAll('{_MORE_OF_IT}').forEach((each) => each.remove())")
    seen.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    seen.page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    light = seen.page.evaluate(_WRONG, {})
    seen.page.emulate_media(color_scheme="dark")
    dark = seen.page.evaluate(_WRONG, {"runOnly": ["color-contrast"]})  # nothing else depends on it
    return {"light": light, "dark": dark}


def test_charts_zoom_with_keys_alone(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(f"{site.shop}?range=15m")
    _press(seen, "#chart-connections .plot", "ArrowLeft", lambda: "Active" in _said(seen))
    moments = seen.page.eval_on_selector_all(
        "figure.chart .note", "all => all.map((each) => each.textContent.slice(0, 18))"
    )
    assert len(set(moments)) == 1 and _said(seen).startswith(moments[0])
    for _ in range(12):
        seen.page.keyboard.press("Shift+ArrowLeft")
    chosen = seen.page.eval_on_selector_all(".u-select", "all => all.map((each) => each.clientWidth)")
    assert len(chosen) > 8 and min(chosen) > 0
    assert "Enter" in _said(seen)
    spans = [_span(seen)]
    for key in ("Enter", "-", "Escape"):
        seen.page.keyboard.press(key)
        seen.page.wait_for_function("was => document.querySelector('.ranges').dataset.from != was", arg=spans[-1][0])
        spans.append(_span(seen))
        assert seen.page.evaluate("document.activeElement.matches('#chart-connections .plot')")
    lengths = [float(last) - float(first) for first, last in spans]
    assert lengths[1] < lengths[0] and lengths[1] < lengths[2] < lengths[3]
    assert "UTC" in _said(seen)


def test_escape_lets_go_of_what_is_chosen(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(f"{site.shop}?range=15m")
    _press(seen, "#chart-connections .plot", "Shift+ArrowLeft", lambda: "Enter" in _said(seen))
    seen.page.keyboard.press("Escape")
    assert set(seen.page.eval_on_selector_all(".u-select", "all => all.map((each) => each.clientWidth)")) == {0}
    assert "from=" not in seen.page.url


def test_a_pause_keeps_the_focus_and_ends(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(site.shop)
    for word, every in (("Go on", "0"), ("Pause", "5")):
        seen.page.locator("#pause").press("Enter")
        seen.page.wait_for_function("word => document.getElementById('pause').textContent.includes(word)", arg=word)
        assert seen.page.evaluate("[document.activeElement.id, document.body.dataset.refresh]") == ["pause", every]


def _said(seen: Tab) -> str:
    return seen.page.text_content("#said") or ""


def _span(seen: Tab) -> tuple[str, str]:
    found = seen.page.locator(".ranges")
    return found.get_attribute("data-from") or "", found.get_attribute("data-to") or ""
