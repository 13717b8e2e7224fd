"""What is around every view: the way to the others, the range, and on the foot how much data there is and how old."""

import re
from dataclasses import dataclass
from html import escape
from typing import Any

from pgdoctor_lib import __version__
from pgdoctor_lib.receiver.store.model import Source
from pgdoctor_lib.receiver.web import assets, parts
from pgdoctor_lib.receiver.web.ask import RANGES, Ask
from pgdoctor_lib.receiver.web.state import badge, state
from pgdoctor_lib.snapshot import iso_time

REFRESH_S = 30
_LEAST_REFRESH_S = 5
_VIEWS = (
    ("Overview", ""),
    ("Queries", "/queries"),
    ("Tables", "/tables"),
    ("Indexes", "/indexes"),
    ("Locks", "/locks"),
    ("Replication", "/replication"),
    ("Vacuum", "/vacuum"),
    ("Settings", "/settings"),
    ("Compare", "/compare"),
    ("Snapshots", "/snapshots"),
)
_DATABASE = re.compile(r"/databases/[0-9a-f]{12}(?=/)")
_TITLES = {"15m": "15 minutes", "1h": "1 hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}


@dataclass(frozen=True)
class Foot:
    """What the foot of a page tells. `size_bytes`: of the store, to who may see all of it; `most_bytes`: what that may
    take, 0: as much as there is; `newest`: when the newest snapshot came, epoch seconds; None: there is none."""

    size_bytes: int | None
    newest: float | None
    most_bytes: int


def page(title: str, body: str, ask: Ask, foot: Foot, *, refresh_s: float = REFRESH_S) -> str:
    """A page that stands for no database. `title` is plain text, `body` HTML."""
    return _whole(title, _top(_pause(ask)), f"{_refusing(ask)}{body}", _foot(foot, ask), 0 if ask.paused else refresh_s)


def of_database(
    source: Source, view: str, body: str, ask: Ask, foot: Foot, *, charts: bool = False, title: str = ""
) -> str:
    """A page of a database. `view`: the name of the one that it is, or belongs to; `charts`: whether it has some."""
    refresh_s = max(source.interval_s, _LEAST_REFRESH_S) if ask.is_live and not ask.paused else 0
    name = f"{title or view} · {source.name}"
    body = f"{_refusing(ask)}{_silent(source, ask.now)}{body}"
    return _whole(
        name,
        _top(_tabs(source, view, ask), way=True),
        body,
        _foot(foot, ask),
        min(refresh_s, 60),
        charts,
    )


def _refusing(ask: Ask) -> str:
    if ask.refusing_since is None:
        return ""
    return (
        f'<div class="silent" role="status"><b>For {parts.span(ask.now - ask.refusing_since)} no snapshot was kept:'
        " the receiver's store cannot be written.</b> Its log says why. Agents deliver later what they collect.</div>"
    )


def _silent(source: Source, now: float) -> str:
    kind, words = state(source, now)
    if kind != "stale":
        return ""
    where = f" on {parts.safe(source.hostname)}" if source.hostname else ""
    asked = f"ask its agent{where}: <code>pgdoctor daemon status</code>, <code>pgdoctor daemon logs</code>"
    reason = f"<b>{parts.safe(source.why[0].upper() + source.why[1:])}.</b>" if source.why else f"To see why, {asked}"
    return f'<div class="silent" role="status"><b>There is {words}.</b> {reason} What follows is how it was then.</div>'


def bare(title: str, body: str) -> str:
    """A page for somebody who is not signed in."""
    return _whole(title, _top(""), body, "", 0)


def failed(message: str, path: str, *, again: bool) -> str:
    """In place of a page: why there is none (text), and ways back. `again`: it may come by itself, so it is tried."""
    database = _DATABASE.match(path)
    links = ['<a href="/">All databases</a>', *([f'<a href="{database[0]}">The database</a>'] if database else [])]
    title = message[:1].upper() + message[1:]
    body = f'<div class="teach"><h1>{escape(title)}</h1><p>{" · ".join(links)}</p></div>'
    return _whole(title, _top(""), body, "", REFRESH_S if again else 0)


def ranges(ask: Ask) -> str:
    """The ranges as links, and the span that is shown where it is none of them."""
    first, last = ask.span
    links = "".join(
        f'<a href="{ask.link(**{"range": name, "from": None, "to": None})}" title="the last {_TITLES[name]}"'
        f"{_current(ask.range == name)}>{parts.range_name(name)}</a>"
        for name in RANGES
    )
    told = "" if ask.range else f'<span class="quiet">{parts.moment(first)} – {parts.moment(last)}</span>'
    ends = f'data-from="{first:.0f}" data-to="{last:.0f}"'
    return f'<nav class="ranges" aria-label="Span of time" {ends}>{told}{_moves(ask)}{links}</nav>'


def _moves(ask: Ask) -> str:
    """Earlier, later, and out."""
    first, last = ask.span
    step, length = (last - first) / 2, last - first
    end = min(last + step, ask.now)
    spans = (
        ("‹", "earlier", first - step, last - step),
        ("›", "later", end - length, end),
        ("−", "a longer span", first - length, last),
    )
    return "".join(
        f'<a href="{ask.link(**_span(start, end))}" title="{title}" aria-label="{title}">{sign}</a>'
        for sign, title, start, end in spans
    )


def _span(start: float, end: float) -> dict[str, Any]:
    return {"range": None, "from": int(start), "to": int(end)}


def heading(title: str, ask: Ask | None = None, more: str = "") -> str:
    """A view's title, what else is to say, and where it shows a span of time the ranges. `title` and `more`: HTML."""
    unread = "".join(f'<p class="unread" role="status">{parts.safe(told)}</p>' for told in (ask.unread if ask else ()))
    return f'<div class="heading"><h1>{title}</h1>{more}{ranges(ask) if ask else ""}</div>{unread}'


def _current(here: bool) -> str:
    return ' aria-current="page"' if here else ""


def _tabs(source: Source, view: str, ask: Ask) -> str:
    base = f"/databases/{source.id}"
    links = "".join(f'<a href="{ask.link(base + path)}"{_current(name == view)}>{name}</a>' for name, path in _VIEWS)
    name = f'<a class="name" href="{base}">{parts.safe(source.name)}</a>'
    now = "" if ask.is_live else ' <span class="quiet">now</span>'
    return (
        f'<div class="where" id="where">{name}{now} {badge(source, ask.now)}'
        f'<span class="quiet">data from {parts.ago(source.collected_at, ask.now)}</span></div>'
        f"{_pause(ask) if ask.is_live else ''}"
        f'<nav class="tabs" aria-label="Views of {parts.safe(source.name)}">{links}</nav>'
    )


def _pause(ask: Ask) -> str:
    """What keeps pages as they are, or lets them move on; without a script, too."""
    value, sign, word, about = (
        ("", "▶", "Go on", "Keep pages fresh") if ask.paused else ("1", "❙❙", "Pause", "Keep pages as they are")
    )
    return (
        f'<form class="pause" method="post" action="/pause"><input type="hidden" name="to" value="{ask.link()}">'
        f'<input type="hidden" name="paused" value="{value}"><button id="pause" title="{about}">'
        f'<span aria-hidden="true">{sign}</span> {word}</button></form>'
    )


def _top(more: str, *, way: bool = False) -> str:
    home = f'<a class="brand" href="/">{assets.drawing("icon.svg")}PGDoctor</a>'
    back = '<nav aria-label="Main"><a href="/">All databases</a></nav>'
    return f'<header class="top" id="top"><div class="bar">{home}{back if way else ""}{more}</div></header>'


def _stored(foot: Foot) -> str:
    if foot.size_bytes is None:
        return ""
    is_over = 0 < foot.most_bytes < foot.size_bytes
    over = f", more than the {parts.size(foot.most_bytes)} of --max-size" if is_over else ""
    return f"{parts.size(foot.size_bytes)} stored{over} · "


def _foot(foot: Foot, ask: Ask) -> str:
    newest = f"newest data {parts.ago(foot.newest, ask.now)}" if foot.newest is not None else "no data yet"
    told = f"PGDoctor {escape(__version__)} · {_stored(foot)}{newest}"
    out = '<form method="post" action="/logout"><button id="out">Sign out</button></form>' if ask.signed_in else ""
    return f'<footer id="foot"><p>{told} · shown as of <time>{iso_time(ask.now)[11:19]} UTC</time></p>{out}</footer>'


def _whole(title: str, top: str, body: str, foot: str, refresh_s: float, charts: bool = False) -> str:
    again = f'<noscript><meta http-equiv="refresh" content="{max(refresh_s, REFRESH_S):.0f}"></noscript>'
    plot = (
        f'<link rel="stylesheet" href="{assets.address("vendor/uPlot.min.css")}">'
        f'<script defer src="{assets.address("vendor/uPlot.iife.min.js")}"></script>'
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{again if refresh_s else ""}'
        f'<title>{parts.safe(title)} · PGDoctor</title><link rel="icon" href="{assets.address("icon.svg")}">'
        f'<link rel="stylesheet" href="{assets.address("style.css")}">{plot if charts else ""}'
        f'<script defer src="{assets.address("pgdoctor.js")}"></script></head>'
        f'<body data-refresh="{refresh_s:g}"><a class="skip" href="#main">Skip to the content</a>'
        f'{top}<main id="main" tabindex="-1">{body}</main>{foot}'
        '<div class="unseen" id="said" role="status"></div></body></html>'
    )
