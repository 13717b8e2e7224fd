"""`python -m bench.paint --store FILE`: how soon a browser shows each page of a store that `bench.replay` has filled.

First contentful paint, from the start of the navigation on, in the machine's Chromium over loopback: the first visit
with nothing in the browser's cache, then what is usual. And what a page takes of the browser's main thread, in CPU time
until its charts are drawn, which other work on the machine does not change.
"""

import argparse
import shutil
import statistics

from playwright.sync_api import Browser, sync_playwright

from bench import pages

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Serve it, look at it, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, help="the file that bench.replay --store has left")
    parser.add_argument("--times", type=int, default=9)
    options = parser.parse_args()
    with pages.served(options.store) as url:
        _look(url, options.times)


def _look(url: str, times: int) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for name, address in {"/": "/", **pages.views(url, pages.databases(url)[0])}.items():
            first, *usual = _paints(browser, f"{url}{address}", times)
            print(f"{name}: first {first:.0f} ms, usual median {statistics.median(usual):.0f} ms,"
                  f" worst {max(usual):.0f} ms; {_main_thread_ms(browser, url + address):.0f} ms of CPU")  # fmt: skip


def _paints(browser: Browser, url: str, times: int) -> list[float]:
    page = browser.new_page()
    found = []
    for _ in range(times):
        page.goto(url)
        page.wait_for_function(f"() => {_PAINT}")
        found.append(float(page.evaluate(_PAINT)))
    page.close()
    return found


def _main_thread_ms(browser: Browser, url: str) -> float:
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    page.wait_for_function("() => [...document.querySelectorAll('.plot')].every((each) => each.matches('.drawn'))")
    found = {each["name"]: float(each["value"]) for each in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    return found["TaskDuration"] * 1000


if __name__ == "__main__":
    main()
