"""A page as a browser reads it: its tags, its text, its addresses; and that there is nothing in it but ours."""

import json
import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from pgdoctor_lib.snapshot import iso_time, new_id
from tests.receiver.client import Client

_VOID = {"meta", "link", "img", "input", "br", "rect", "path", "line", "circle"}
_TAGS = _VOID | {
    *("html", "head", "title", "script", "noscript", "body", "header", "nav", "main", "footer", "section", "div"),
    *("a", "p", "span", "h1", "h2", "h3", "h4", "b", "i", "code", "pre", "time", "details", "summary"),
    *("ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("form", "label", "select", "option", "button", "figure", "figcaption", "svg", "g", "text", "tspan", "desc"),
}
_SCRIPTS = re.compile(r"/static/[0-9a-f]{12}/(pgdoctor\.js|uPlot\.iife\.min\.js)")


@dataclass
class Page(HTMLParser):
    """`links`: where its links lead; `text`: what is read, with single spaces."""

    path: str
    html: str
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", self.html)
        self.feed(self.html)
        self.close()
        assert self.open == [], f"{self.path}: not closed"
        assert len(self.ids) == len(set(self.ids)), f"{self.path}: an id twice"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS, f"{self.path}: <{tag}>"
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on") or name in ("style", "srcdoc", "formaction")]
        for name in ("href", "src", "action"):
            if (address := given.get(name)) is not None:
                assert address.startswith(("/", "#")) and not address.startswith("//"), f"{self.path}: {address}"
        if tag == "script":
            assert _SCRIPTS.fullmatch(given["src"] or "")
        if tag == "a":
            self.links.append(given["href"] or "")
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{self.path}: </{tag}>"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            assert data == "", "a script in the page"
        self.words.append(data)


def put(client: Client, sections: dict[str, Any], ago_s: float = 0, name: str = "many", **more: Any) -> str:
    """A snapshot with these sections; the database's id."""
    at = time.time() - ago_s
    document = {
        "schema_version": 1, "snapshot_id": new_id(at), "collected_at": iso_time(at),
        "database": {"name": name, "interval_s": 60, "tags": []}, "meta": {}, "sections": sections, **more,
    }  # fmt: skip
    body = json.dumps(document).replace("Infinity", "1e999")  # which is JSON
    answer = client.post(body.encode())
    assert answer.status == 201, answer.text
    return str(answer.json["source_id"])


def visit(client: Client, path: str) -> Page:
    answer = client.get(path)
    assert answer.status == 200, (path, answer.text)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(path, answer.text)


def crawl(client: Client, start: str, most: int = 250) -> dict[str, Page]:
    """All pages below `start` that links lead to, each address without its sorting and times once."""
    found: dict[str, Page] = {}
    todo = [start]
    while todo and len(found) < most:
        path = todo.pop()
        if path in found:
            continue
        found[path] = visit(client, path)
        for link in found[path].links:
            target = urlsplit(urljoin(path, link))
            if target.path.startswith(start) and not target.path.startswith("/api/"):
                chosen = dict(parse_qsl(target.query)).get("show")
                todo.append(f"{target.path}?show={chosen}" if chosen else target.path)
    return found
