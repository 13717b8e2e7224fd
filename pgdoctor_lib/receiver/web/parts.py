"""What all views share: text made inert, numbers and times as people read them, tables, the frame."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources

from pgdoctor_lib.secret import printable
from pgdoctor_lib.snapshot import iso_time
from pgdoctor_lib.units import format_bytes

NOTHING = "–"
_REFRESH_S = 30


def style() -> bytes:
    """The style sheet."""
    return resources.files(__package__).joinpath("style.css").read_bytes()


def safe(text: object) -> str:
    """Text from outside as HTML that shows it and does nothing else: control and bidi characters as escapes."""
    return escape(printable(str(text)))


def frame(title: str, body: str, *, refresh: bool = False) -> str:
    """A whole page. `title` is plain text, `body` HTML."""
    again = f'<meta http-equiv="refresh" content="{_REFRESH_S}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{again}<title>{safe(title)} · PGDoctor</title>'
        '<link rel="stylesheet" href="/style.css"></head><body>'
        f'<header><a href="/">PGDoctor</a></header><main>{body}</main></body></html>'
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: frozenset[int] = frozenset()) -> str:
    """Cells are HTML, heads are text; the columns in `numeric` are set to the right."""
    kind = [' class="n"' if column in numeric else "" for column in range(len(heads))]
    top = "".join(f'<th scope="col"{kind[column]}>{escape(head)}</th>' for column, head in enumerate(heads))
    lines = "".join(
        "<tr>" + "".join(f"<td{kind[column]}>{cell}</td>" for column, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def ago(moment: float, now: float) -> str:
    """A time as its distance, the exact one on hover."""
    exact = iso_time(moment)
    return f'<time datetime="{exact}" title="{exact}">{span(max(0.0, now - moment))} ago</time>'


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
            return f"{value / factor:.1f} {unit}"
    return f"{value:.2f} ms"


def figure(key: str, value: object) -> str:
    """A section's value in the unit that its name ends in, as HTML."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return safe(value)
    if key.endswith("_bytes"):
        return size(value)
    if key.endswith("_ms"):
        return milliseconds(value)
    if key.endswith("_s"):
        return span(value) if value >= 0 else number(value)
    return number(value)


def tags(value: list[str] | Mapping[str, str]) -> str:
    """Tags as small labels."""
    words = [f"{key}: {word}" for key, word in value.items()] if isinstance(value, Mapping) else value
    return "".join(f' <span class="tag">{safe(word)}</span>' for word in words)
