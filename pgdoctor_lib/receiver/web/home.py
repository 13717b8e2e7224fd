"""The first view: every database, worst first; where there is none yet, the lines that connect one."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.receiver.store.model import Series, Source, Values
from pgdoctor_lib.receiver.web import chart, frame, measures, parts, units
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.down import Down
from pgdoctor_lib.receiver.web.listing import paged, way
from pgdoctor_lib.receiver.web.state import badge, order, state
from pgdoctor_lib.units import counted

PAGE_ROWS = 100
_LINES = 40  # of a page's rows, the worst, have lines beside their figures
_MAP_FROM, _MAP_MOST = 12, 200  # fewer databases are seen without it
_SUMMARY_CHARS, _NAME_CHARS = 160, 32
_CELL_CHARS, _CELL_END = 12, 6
SPARKS: Mapping[str, tuple[str, str, bool]] = {
    "made.transactions": ("Transactions", "/s", True),
    "activity.active": ("Active", "", True),
    "made.cache_hit": ("Cache hits", "%", False),
    "database.size_bytes": ("Size", "bytes", False),
    "made.lag": ("Lag", "bytes", True),
}
SPARK_NAMES = measures.needed(list(SPARKS))
SPARK_S, YOUNG_S, SPARK_POINTS = 3600.0, 900.0, 30
MANY, FEW_POINTS = 40, 20  # of so many databases lines are drawn of so few points: of steps that are summed up already


@dataclass(frozen=True)
class Home:
    """What it shows. `sparks` and `worst`, a finding: by database; `down`: those that agents tell of as failing, by
    project and name; `endpoint`: the address that agents send to; `token_path`: the token's file, if it is in one.
    """

    sources: Sequence[Source]
    down: Mapping[tuple[str, str], Down]
    sparks: Mapping[str, Series]
    worst: Mapping[str, Mapping[str, Any]]
    endpoint: str
    token_path: str | None

    @property
    def unseen(self) -> list[Down]:
        """Those that are configured, and have sent nothing yet, as nobody could collect from them."""
        known = {(source.project, source.name) for source in self.sources}
        return [each for key, each in sorted(self.down.items()) if key not in known]


def chosen(sources: Sequence[Source], ask: Ask) -> list[Source]:
    """Those that are asked for, worst first."""
    words, tag = ask.text("q").lower().split(), ask.text("tag")
    found = [
        source
        for source in sources
        if (not tag or tag in tag_words(source)) and all(word in _searched(source) for word in words)
    ]
    return sorted(found, key=lambda source: order(source, ask.now))


def view(home: Home, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    if not home.sources:
        return frame.page("No data yet", _first_steps(home, ask.signed_in), ask, foot, refresh_s=5)
    found = chosen(home.sources, ask)
    body = (
        f'<div class="heading"><h1>{_headline(home, ask)}</h1></div>{_tools(home.sources, found, ask)}'
        f"{_map(found, ask) if len(found) >= _MAP_FROM else ''}{_table(home, found, ask)}"
    )
    return frame.page("Databases", body, ask, foot, refresh_s=15)


def tag_words(source: Source) -> list[str]:
    """Tags as they are shown and filtered by."""
    tags = source.tags
    return [f"{key}: {word}" for key, word in tags.items()] if isinstance(tags, Mapping) else list(tags)


def _searched(source: Source) -> str:
    fields = (source.name, source.db_name, source.db_version, source.hostname, *tag_words(source))
    return " ".join(fields).lower()


def _headline(home: Home, ask: Ask) -> str:
    kinds = [state(source, ask.now)[0] for source in home.sources]
    unseen = home.unseen
    count = counted(len(home.sources) + len(unseen), "database")
    bad = [f'<span class="stale">{len(unseen)} never seen</span>'] if unseen else []
    bad += [
        f'<span class="{kind}">{kinds.count(kind)} {words}</span>'
        for kind, words in (
            ("stale", "without data"),
            ("critical", "critical"),
            ("warning", "with warnings"),
            ("errors", "seen in part"),
        )
        if kind in kinds
    ]
    return f"{count}: {', '.join(bad)}" if bad else f'{count}, <span class="ok">nothing wrong</span>'


def _tools(sources: Sequence[Source], found: Sequence[Source], ask: Ask) -> str:
    tags = sorted({word for source in sources for word in tag_words(source)}, key=str.lower)[:200]
    options = "".join(
        f'<option value="{parts.attribute(tag)}"{chosen}>{parts.safe(tag)}</option>'
        for tag in tags
        for chosen in (" selected" if tag == ask.text("tag") else "",)
    )
    choice = (
        f'<select name="tag" id="tag" aria-label="Tag"><option value="">All tags</option>{options}</select>'
        if tags
        else ""
    )
    shown = f"{len(found)} of {len(sources)}" if len(found) != len(sources) else ""
    return (
        '<div class="tools"><form method="get" action="/" role="search" data-soft>'
        f'<input type="search" name="q" id="q" value="{parts.attribute(ask.text("q"))}" autocomplete="off"'
        f' placeholder="Name, host, version, tag" aria-label="Search databases">{choice}<button>Search</button></form>'
        f'<span class="quiet" role="status">{shown}</span></div>'
    )


def _map(found: Sequence[Source], ask: Ask) -> str:
    """All of them at a glance: a cell each."""
    cells = "".join(_cell(source, *state(source, ask.now)) for source in found[:_MAP_MOST])
    more = f"<li>and {len(found) - _MAP_MOST} more</li>" if len(found) > _MAP_MOST else ""
    return f'<ul class="map" aria-label="All databases, worst first">{cells}{more}</ul>'


def _cell(source: Source, kind: str, words: str) -> str:
    """A link. Many names begin alike: where there is no room, one loses of its middle."""
    name = " ".join(source.name.split())
    told = f"{parts.attribute(name)}: {words}"
    if len(name) > _CELL_CHARS:
        shown = f"<span>{parts.safe(name[:-_CELL_END])}</span><b>{parts.safe(name[-_CELL_END:])}</b>"
    else:
        shown = parts.safe(name)
    return f'<li class="{kind}"><a href="/databases/{source.id}" title="{told}" aria-label="{told}">{shown}</a></li>'


def _table(home: Home, found: Sequence[Source], ask: Ask) -> str:
    unseen = _never_seen(home, ask)
    if not found and not unseen:
        return '<p class="quiet">No database like that.</p>'
    heads = "".join(
        f'<th scope="col">{title}</th>' for title in ("State", *(title for title, _, _ in SPARKS.values()), "Data")
    )
    shown, page, pages = paged(found, ask, PAGE_ROWS)
    rows = unseen if page == 1 else ""
    rows += "".join(_row(source, home, ask, has_lines=place < _LINES) for place, source in enumerate(shown))
    few = " few" if len(found) < _MAP_FROM else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Databases">'
        f'<table class="listing home{few}"><thead><tr><th scope="col">Database</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{way(ask, page, pages)}"
    )


def _row(source: Source, home: Home, ask: Ask, *, has_lines: bool) -> str:
    kind = state(source, ask.now)[0]
    whole = f' title="{parts.attribute(source.name)}"' if len(source.name) > _NAME_CHARS else ""
    name = f'<a href="/databases/{source.id}"{whole}>{parts.one_line(source.name, 60)}</a>{parts.tags(source.tags)}'
    series = home.sparks.get(source.id)
    cells = "".join(f"<td>{_spark(series, name, has_lines, kind)}</td>" for name in SPARKS)
    worst = home.worst.get(source.id)
    said = f' <span class="said">{parts.one_line(worst.get("summary"), _SUMMARY_CHARS)}</span>' if worst else ""
    if kind == "stale" and (down := home.down.get((source.project, source.name))):
        said = _reason(down, ask.now)
    return (
        f'<tr class="{kind}" id="d-{source.id}"><th scope="row">{name}</th>'
        f'<td class="words"><div>{badge(source, ask.now)}{said}</div></td>{cells}'
        f"<td>{parts.ago(source.collected_at, ask.now)}</td></tr>"
    )


def _never_seen(home: Home, ask: Ask) -> str:
    """A row of each that is asked for."""
    words = ask.text("q").lower().split()
    return "".join(
        f'<tr class="stale"><th scope="row">{parts.one_line(each.name, 60)}</th><td class="words">'
        f'<span class="state stale">never seen</span>{_reason(each, ask.now)}</td>'
        f'<td colspan="{len(SPARKS) + 1}"></td></tr>'
        for each in home.unseen
        if not ask.text("tag") and all(word in each.name.lower() for word in words)
    )


def _reason(down: Down, now: float) -> str:
    return f'<span class="said">{parts.one_line(down.words(now), _SUMMARY_CHARS)}</span>'


def _spark(series: Series | None, name: str, has_line: bool, kind: str) -> str:
    """The newest figure, and the line to it. Of a silent database none: they would be taken for now's."""
    _, unit, zero = SPARKS[name]
    values: Values = measures.made(series, [name])[name] if series else ()
    last = next((value for value in reversed(values) if value is not None), None)
    is_past = kind == "stale" and name != "database.size_bytes"
    if last is None or is_past or (name == "made.lag" and not any(values)):
        return f'<span class="quiet">{parts.NOTHING}</span>'
    told = units.told(last, unit)
    if name == "made.lag" or not has_line:
        return told
    return f'<span class="figure">{chart.spark(values, zero=zero)}{told}</span>'


def _first_steps(home: Home, signed_in: bool) -> str:
    path = None if signed_in else home.token_path  # who is elsewhere has no use for it
    token = f'"$(cat {shlex.quote(path)})"' if path else "…"
    which = "one that you signed in with" if signed_in else "PGDOCTOR_TOKEN that this receiver was started with"
    whence = "" if path else f"<p>The token is the {which}.</p>"
    lines = (
        f"export PGDOCTOR_ENDPOINT={shlex.quote(home.endpoint)}\n"
        f"export PGDOCTOR_TOKEN={token}\n"
        "PGDOCTOR_DSN=postgres://user:password@host:5432/database pgdoctor daemon"
    )
    return (
        '<div class="teach"><h1>No data yet</h1><p>Three lines connect a first database. Its snapshots show up here by '
        f"themselves.</p>{parts.copyable(lines)}{whence}<p>Put your database's address in the third. The role needs"
        " no more than <code>GRANT pg_monitor</code>. To send more than one database, list them in a file:"
        " <code>pgdoctor config init</code> writes one.</p><p>Only want to look? <code>pgdoctor demo</code> shows"
        " everything at work, on a server of its own.</p></div>"
    )
