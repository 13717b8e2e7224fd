"""A tab of Chromium, and an eye on what a page does in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Request

VIEWS = ("", "queries", "tables", "indexes", "locks", "replication", "vacuum", "settings", "compare", "snapshots")


class Tab:
    """`page` is Playwright's. `close` asserts that nothing ran, complained, or was asked of anybody else."""

    def __init__(self, browser: "Browser", url: str, **options: Any) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self._is_scripted = options.get("java_script_enabled", True)
        self._context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self._context.new_page()
        self.page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108 (Playwright marks it)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def go(self, path: str) -> None:
        """Open a page, and wait until its charts are drawn."""
        answer = self.page.goto(self.url + path)
        assert answer and answer.status == 200, path
        if self._is_scripted:
            self.settle()

    def settle(self) -> None:
        """Wait until all is there, and the script has drawn each chart."""
        self.page.wait_for_function(
            "() => document.readyState === 'complete'"
            " && [...document.querySelectorAll('figure.chart .plot')].every((each) => each.matches('.drawn'))"
        )

    @property
    def text(self) -> str:
        """What is read, what is folded up too, with single spaces."""
        return " ".join((self.page.text_content("body") or "").split())

    def each_view(self, base: str) -> Sequence[str]:
        """The addresses of all views of a database."""
        return [f"{base}/{view}".rstrip("/") for view in VIEWS]

    @property
    def weight_bytes(self) -> int:
        """What came over the wire so far."""
        sizes = [each.sizes() for each in self.requests]
        return sum(each["responseHeadersSize"] + each["responseBodySize"] for each in sizes)

    def check(self) -> None:
        """Nothing ran, complained, or was asked of anybody else so far."""
        assert self.page.evaluate("typeof window.__pwned") == "undefined", self.page.url
        assert self.complaints == []
        assert [each.url for each in self.requests if not each.url.startswith(f"{self.url}/")] == []

    def close(self) -> None:
        """The end of it."""
        self.check()
        self._context.close()

    def _hear(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")
