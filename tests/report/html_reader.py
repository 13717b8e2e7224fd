"""A report as a strict reader sees it: what would run or load anything fails there."""

import base64
import hashlib
import re
from html.parser import HTMLParser

_TAGS = """
    html head meta title style body main h1 h2 h3 h4 p span a nav ol ul li section article div dl dt dd details
    summary figure svg desc g rect text tspan path table caption thead tbody tr th td time pre code b footer script
"""
_ATTRIBUTES = """
    lang charset http-equiv content name class id href aria-label aria-labelledby aria-hidden role viewbox x y width
    height rx dx d text-anchor scope datetime tabindex
"""
_VOID = {"meta"}


class Reader(HTMLParser):
    """`texts`: by tag, what stood in each; `policy`: what the page allows itself."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self.links: list[str] = []
        self.policy = ""
        self.feed(page)
        self.close()
        assert self.open == [], "a tag that nothing closes"
        assert len(self.ids) == len(set(self.ids))
        assert {f"#{each}" for each in self.ids} >= set(self.links), "a link to elsewhere"
        assert not re.search(r"(?i)url\(|@import|https?:|javascript:|data:", page.replace("http-equiv", "")), (
            "an address"
        )
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", page)
        assert "default-src 'none'" in self.policy
        for tag in ("style", "script"):
            [text] = self.texts[tag]
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in self.policy

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS.split(), tag
        given = dict(attrs)
        assert set(given) <= set(_ATTRIBUTES.split()), (tag, given)
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "a":
            self.links.append(given["href"] or "")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        for each in (given.get("aria-labelledby") or "").split():
            assert each
        self.texts.setdefault(tag, []).append("")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError("a declaration")
