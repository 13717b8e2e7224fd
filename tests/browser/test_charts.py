"""What a chart does when it is touched, and when answers come late, or not at all."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser.planted import Site
from tests.browser.tab import Tab

if TYPE_CHECKING:
    from playwright.sync_api import Route

_SERIES = re.compile(r"/series\?")


def test_what_stands_for_no_span_is_not_zoomed(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(f"{site.crowded}/locks")
    over = seen.page.locator(".plot.drawn .u-over").first
    over.dblclick()
    box = over.bounding_box()
    assert box
    seen.page.mouse.move(box["x"] + 20, box["y"] + 30)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 40, steps=4)
    seen.page.mouse.up()
    seen.page.wait_for_timeout(200)
    assert urlsplit(seen.page.url).query == ""


def test_an_answer_that_comes_late_is_not_drawn(tab: Callable[..., Tab], site: Site) -> None:
    seen = tab(site.shop)
    held: list[Route] = []

    def hold(route: "Route") -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    seen.page.route(_SERIES, hold)
    longer = seen.page.locator(".ranges a[title='a longer span']")
    with seen.page.expect_request(_SERIES):
        longer.click()
    with seen.page.expect_response(_SERIES):
        longer.click()
    seen.page.wait_for_timeout(1000)
    drawn = _pictures(seen)
    with seen.page.expect_response(_SERIES):
        held[0].continue_()
    seen.page.wait_for_timeout(300)
    assert _pictures(seen) == drawn


@pytest.mark.parametrize("dark", [True, False])
def test_charts_that_get_no_answer_say_so(tab: Callable[..., Tab], site: Site, dark: bool) -> None:
    seen = tab(site.shop)
    seen.page.route(_SERIES, lambda route: route.abort())
    if dark:
        seen.page.emulate_media(color_scheme="dark")
    else:
        seen.page.set_viewport_size({"width": 900, "height": 900})
    seen.page.get_by_role("alert").filter(has_text="The receiver does not answer").wait_for()
    seen.complaints[:] = [each for each in seen.complaints if "ERR_FAILED" not in each]


def _pictures(seen: Tab) -> list[str]:
    found: list[str] = seen.page.eval_on_selector_all("canvas", "all => all.map((each) => each.toDataURL())")
    return found
