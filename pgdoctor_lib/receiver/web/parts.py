"""What all views share: text made inert, numbers and times as people read them, small tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from urllib.parse import quote

from pgdoctor_lib.checks.document import epoch
from pgdoctor_lib.report.html import parts as html
from pgdoctor_lib.secret import printable
from pgdoctor_lib.snapshot import iso_time
from pgdoctor_lib.units import format_bytes

NOTHING = "–"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:", re.ASCII)
facts = html.facts


def safe(text: object) -> str:
    """Text from outside as HTML that shows it and does nothing else: control and bidi characters as escapes."""
    return escape(printable(str(text)))


def attribute(text: object) -> str:
    """The same for what a form sends back: a field's value is not to change on its way, so controls are dropped."""
    return escape("".join(each for each in str(text) if each.isprintable() or each == " "))


def plural(count: int, noun: str) -> str:
    """ "warning", "warnings"."""
    return noun if count == 1 else f"{noun}s"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: frozenset[int] = frozenset()) -> str:
    """Cells are HTML, heads are text; the columns in `numeric` are set to the right."""
    return html.table([safe(head) for head in heads], rows, numeric=numeric)


def ago(when: float | None, now: float) -> str:
    """A time as its distance, the exact one on hover."""
    if when is None:
        return NOTHING
    distance = f"{span(now - when)} ago" if when <= now else f"in {span(when - now)}"
    return _time(when, distance)


def read_at(when: float | None, now: float) -> str:
    """How old figures are that were read at a moment."""
    return "" if when is None else f'<span class="quiet">read {ago(min(when, now), now)}</span>'


def moment(when: float | None) -> str:
    """A time by the clock, with its day; seconds where they say something. UTC, as the whole page."""
    if when is None or not (exact := _exact(when)):
        return NOTHING
    return _time(when, f"{exact[:10]} {exact[11:16] if when % 60 == 0 else exact[11:19]}")


def _time(when: float, told: str) -> str:
    exact = _exact(when)
    return f'<time datetime="{exact}" title="{exact[:10]} {exact[11:19]} UTC">{told}</time>' if exact else NOTHING


def _exact(when: float) -> str:
    """In ISO 8601; "" for what is beyond the calendar."""
    try:
        return iso_time(when)
    except (OverflowError, ValueError, OSError):
        return ""


def clock(when: float, span_s: float) -> str:
    """A time on an axis of that length, UTC: only what tells it from the others."""
    exact = _exact(when)
    if not exact:
        return NOTHING
    if span_s > 3 * 86_400:
        return exact[5:10]
    if span_s > 86_400:
        return f"{exact[5:10]} {exact[11:16]}"
    return exact[11:16] if span_s >= 900 else exact[11:19]


def range_name(name: str) -> str:
    """ "15m" as people write it: "15 min"."""
    return f"{name[:-1]}\u202f{name[-1].replace('m', 'min')}"


def span(seconds: float) -> str:
    """ "12 s", "5 min", "3 h", "2 d"."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def size(value: float | None) -> str:
    """Bytes as people read them."""
    return NOTHING if value is None else format_bytes(value)


def number(value: float | None) -> str:
    """Whole numbers with their thousands apart, others with what matters of their decimals."""
    if value is None:
        return NOTHING
    if value == int(value):
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:,.{1 if abs(value) >= 100 else 3}f}".replace(",", "\u202f")


def milliseconds(value: float | None) -> str:
    """A duration in the unit that suits it."""
    if value is None:
        return NOTHING
    for factor, unit in ((3_600_000, "h"), (60_000, "min"), (1000, "s")):
        if value >= factor:
            return f"{value / factor:.1f}".removesuffix(".0") + f" {unit}"
    if 0 < value < 0.01:
        return "&lt;0.01 ms"
    return f"{value:.0f} ms" if value == 0 or value >= 100 else f"{value:.3g} ms" if value >= 1 else f"{value:.2f} ms"


def figure(key: str, value: object) -> str:
    """A section's value in the unit that its name ends in, as HTML."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        when = epoch(value) if isinstance(value, str) and _MOMENT.match(value) else None
        return moment(when // 1) if when is not None else safe(value)
    if key.endswith("_bytes"):
        return size(value)
    if key.endswith("_ms"):
        return milliseconds(value)
    if key.endswith("_s"):
        return span(value) if value >= 0 else number(value)
    return number(value)


def percent(value: float | None) -> str:
    """A share of 0 to 1."""
    if value is None:
        return NOTHING
    if 0 < value < 0.0005:
        return "&lt;0.1\u202f%"
    return f"{value * 100:.0f}\u202f%" if value == 0 or value >= 0.1 else f"{value * 100:.1f}\u202f%"


def percent_change(was: float | None, now: float | None) -> str:
    """By how much it changed: "+12 %", "3.4 times"."""
    if not was or now is None:
        return NOTHING
    factor = now / was
    return f"{factor:.1f} times" if factor >= 2 else f"{(factor - 1) * 100:+.0f}\u202f%"


def segment(text: object) -> str:
    """A part of an address' path."""
    return quote(str(text), safe="-")


def short(value: float | None) -> str:
    """A number in at most four figures: "812", "12.3k", "1.2M"."""
    if value is None:
        return NOTHING
    for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power * 0.9995:
            return f"{value / power:.3g}{letter}" if abs(value) < power * 999.5 else f"{value / power:.0f}{letter}"
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def one_line(text: object, most: int) -> str:
    """A text's beginning on one line, as HTML."""
    told = " ".join(str(text or "").split())
    return safe(told if len(told) <= most else f"{told[: most - 1]}…")


def lines(text: str) -> str:
    """Text of several lines, for <pre>."""
    return "\n".join(safe(line) for line in text.rstrip().split("\n"))


def copyable(text: str) -> str:
    """Text to be pasted elsewhere, with a button that the script brings to life."""
    button = '<button type="button" class="copy">Copy</button>'
    return f'<div class="copyable"><pre tabindex="0">{lines(text)}</pre>{button}</div>'


def empty(words: str, what: str = "") -> str:
    """In place of what there is nothing of: why (text), and what would bring it (HTML)."""
    return f'<div class="empty"><p>{escape(words)}</p>{what}</div>'


def tags(value: list[str] | Mapping[str, str]) -> str:
    """Tags as small labels."""
    words = [f"{key}: {word}" for key, word in value.items()] if isinstance(value, Mapping) else value
    return "".join(f' <span class="tag">{safe(word)}</span>' for word in words)
