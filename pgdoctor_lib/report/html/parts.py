"""What all parts of the page share: text made inert, numbers and times for people, tables, a picture's frame."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from unicodedata import combining, east_asian_width

from pgdoctor_lib.report.figures import number
from pgdoctor_lib.secret import printable
from pgdoctor_lib.snapshot import iso_time
from pgdoctor_lib.units import format_bytes, format_span

NOTHING = "–"
_MOST_CHARS = 4000
_MOST_ROWS = 30
_MOST_COLUMNS = 12
_IDS = ("pid", "oid", "relid", "queryid", "id")


def safe(text: object, most: int = _MOST_CHARS) -> str:
    """Text from outside as HTML that shows it and does nothing else: control and bidi characters as escapes."""
    told = str(text)
    return escape(printable(told if len(told) <= most else told[: most - 1] + "…"))


def lines(text: str) -> str:
    """The same of several lines, for <pre>."""
    return "\n".join(safe(line) for line in text.rstrip().split("\n"))


def fit(text: object, columns: float) -> str:
    """What of a text goes into a picture's line of so many columns, as HTML: a picture wraps nothing."""
    told, taken = "", 0
    for character in printable(" ".join(str(text if text is not None else "").split())):
        taken += 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        if taken > columns:
            return escape(f"{told}…")
        told += character
    return escape(told)


def moment(epoch: float) -> str:
    """A time, the same for whoever reads it."""
    try:
        exact = iso_time(epoch)
    except (OverflowError, ValueError, OSError):
        return NOTHING
    return f'<time datetime="{exact}">{exact[:10]} {exact[11:19]} UTC</time>'


def seconds(value: float) -> str:
    """A length of time in the unit that suits it."""
    return f"{value:.2g} s" if 0 < abs(value) < 10 else format_span(value)


def milliseconds(value: float | None) -> str:
    """The same of milliseconds."""
    if value is None:
        return NOTHING
    return (
        f"{value:,.3g} ms" if value < 1000 else f"{value / 1000:.1f} s" if value < 60_000 else format_span(value / 1000)
    )


def count(value: float | None) -> str:
    """A number, thousands apart."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.1f}"


def value(key: str, found: object) -> str:
    """A value of the evidence as HTML, in the unit that its name ends in."""
    figure = number(found)
    if found is None:
        return NOTHING
    if isinstance(found, bool):
        return "yes" if found else "no"
    if figure is not None:
        return _figure(key, figure) if not key.endswith(_IDS) else safe(found)
    if isinstance(found, list) and not any(isinstance(each, dict | list) for each in found):
        return safe(", ".join(str(each) for each in found))
    return safe(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str))


def _figure(key: str, figure: float) -> str:
    for ending, written in (("_bytes", format_bytes), ("_ms", milliseconds), ("_s", seconds)):
        if key.endswith(ending):
            return written(figure)
    return count(figure) + ("\u202f%" if key.endswith(("_percent", "_pct")) else "")


def label(key: str) -> str:
    """A name of the evidence as people read it: without what its value shows."""
    for ending in ("_bytes", "_ms", "_s", "_percent", "_estimate"):
        key = key.removesuffix(ending)
    return safe(key.replace("_", " "))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: frozenset[int] = frozenset(), caption: str = ""
) -> str:
    """Cells and heads are HTML; the columns in `numeric` are set to the right."""
    kind = [' class="n"' if column in numeric else "" for column in range(len(heads))]
    top = "".join(f'<th scope="col"{kind[column]}>{head}</th>' for column, head in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind[column]}>{cell}</td>" for column, cell in enumerate(row)) + "</tr>" for row in rows
    )
    named = f"<caption>{caption}</caption>" if caption else ""
    return f'<div class="scroll"><table>{named}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def table_of(rows: Sequence[Mapping[str, object]], caption: str) -> str:
    """Rows of the evidence; columns are those that any of them has a value in."""
    shown = rows[:_MOST_ROWS]
    keys = list(dict.fromkeys(str(key) for row in shown for key, found in row.items() if found is not None))
    keys = keys[:_MOST_COLUMNS]
    numeric = frozenset(
        column
        for column, key in enumerate(keys)
        if not key.endswith(_IDS) and all(number(row.get(key)) is not None for row in shown)
    )
    more = f'<p class="quiet">and {len(rows) - _MOST_ROWS} more</p>' if len(rows) > _MOST_ROWS else ""
    cells = [[_cell(key, row.get(key)) for key in keys] for row in shown]
    return table([label(key) for key in keys], cells, numeric=numeric, caption=caption) + more


def _cell(key: str, found: object) -> str:
    told = value(key, found)
    return f"<code>{told}</code>" if key in ("query", "definition") and found is not None else told


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names (text) with their values (HTML)."""
    told = "".join(f"<div><dt>{safe(name)}</dt><dd>{shown}</dd></div>" for name, shown in pairs)
    return f'<dl class="facts">{told}</dl>' if told else ""


def picture(key: str, size: tuple[float, float], title: str, about: str, drawn: str) -> str:
    """An SVG with a name and a description (texts). `key`: unique in the page; `drawn`: what is in it."""
    width, height = size
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{key}-title {key}-about">'
        f'<title id="{key}-title">{safe(title)}</title><desc id="{key}-about">{safe(about)}</desc>{drawn}</svg>'
    )


def as_table(inner: str) -> str:
    """The same as a picture's, for those who do not see it, or want the numbers."""
    return f"<details><summary>as a table</summary>{inner}</details>"
