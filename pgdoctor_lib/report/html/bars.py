"""Sizes and connections as bars."""

from collections.abc import Mapping, Sequence

from pgdoctor_lib.report.figures import Connections, Size
from pgdoctor_lib.report.html.parts import as_table, count, fit, picture, safe, table
from pgdoctor_lib.units import format_bytes

_WIDTH, _ROW, _BAR, _COLUMN = 440, 38, 11, 7.2
KINDS = {
    "this database": "a", "others": "d", "rows": "a", "entries": "a", "dead or free": "b", "TOAST": "c", "indexes": "d",
    "active": "a", "idle": "d", "idle in transaction": "b", "idle in transaction (aborted)": "e", "free": "free",
}  # fmt: skip
"""By a part's name, its colour in the style sheet."""


def sizes(found: Sequence[Size], key: str, title: str) -> str:
    """Bars, the largest first, each of its parts; "" where there is nothing."""
    if not found:
        return ""
    most = found[0].total
    drawn = "".join(_bar(line, each, most) for line, each in enumerate(found))
    names = list(dict.fromkeys(name for each in found for name, part in each.parts.items() if part))
    about = f"{len(found)}, the largest {found[0].name} with {format_bytes(most)}; the table below says the same"
    svg = picture(key, (_WIDTH, len(found) * _ROW), title, about, drawn)
    legend, numbers = _legend([(name, "") for name in names]), as_table(_table(found, names))
    return f'<figure class="bars"><h4>{safe(title)}</h4>{legend}{svg}{numbers}</figure>'


def connections(found: Connections, key: str) -> str:
    """One bar, as long as there can be connections."""
    used = sum(found.by_state.values())
    most = max(used, found.most)
    parts = {**dict(sorted(found.by_state.items())), "free": most - used}
    parts = {name: part for name, part in parts.items() if part > 0}
    title = f"{count(used)} client sessions" + (f" of {count(found.most)} connections" if found.most else "")
    told = ", ".join(f"{count(part)} {name}" for name, part in parts.items())
    drawn = _parts(parts, most, 1, _WIDTH, 22)
    svg = picture(key, (_WIDTH, 24), title, told, drawn)
    rows = [(safe(name), count(part)) for name, part in parts.items()]
    numbers = table(("state", "sessions"), rows, numeric=frozenset((1,)))
    legend = _legend([(name, count(part)) for name, part in parts.items()])
    return f'<figure class="bars"><h4>{safe(title)}</h4>{svg}{legend}{as_table(numbers)}</figure>'


def _bar(line: int, one: Size, most: float) -> str:
    y = line * _ROW
    size = format_bytes(one.total)
    columns = (_WIDTH - 8) / _COLUMN - len(size) - 2
    remarks = f" ({one.remarks})" if one.remarks else ""
    told = ", ".join(f"{name} {format_bytes(part)}" for name, part in one.parts.items() if part)
    return (
        f"<g><title>{safe(f'{one.name}{remarks}: {size}: {told}', 600)}</title>"
        f'<text x="0" y="{y + 14}">{fit(one.name, columns)}</text>'
        f'<text class="n" x="{_WIDTH}" y="{y + 14}" text-anchor="end">{size}</text>'
        f'<rect class="track" x="0" y="{y + 19}" width="{_WIDTH}" height="{_BAR}" rx="2"/>'
        f"{_parts(one.parts, one.total, y + 19, _WIDTH * one.total / most, _BAR)}</g>"
    )


def _parts(parts: Mapping[str, float], total: float, y: float, width: float, height: float) -> str:
    """One after the other; what is there is seen, however small."""
    drawn, x = "", 0.0
    for name, part in parts.items():
        own = width * part / total
        if part > 0:
            drawn += (
                f'<rect class="p-{KINDS.get(name, "d")}" x="{x:.1f}" y="{y}" width="{max(own, 0.5):.1f}"'
                f' height="{height}"/>'
            )
        x += own
    return drawn


def _legend(names: Sequence[tuple[str, str]]) -> str:
    """`names`: each with what is to be said of it, or ""."""
    items = "".join(
        f'<li><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><rect class="p-{KINDS.get(name, "d")}"'
        f' width="10" height="10"/></svg>{safe(name)}{f" <b>{told}</b>" if told else ""}</li>'
        for name, told in names
    )
    return f'<ul class="legend">{items}</ul>'


def _table(found: Sequence[Size], names: Sequence[str]) -> str:
    rows = [
        [
            safe(each.name),
            format_bytes(each.total),
            *(format_bytes(each.parts.get(name, 0.0)) for name in names),
            safe(each.remarks),
        ]
        for each in found
    ]
    heads = ("name", "all", *map(safe, names), "")
    return table(heads, rows, numeric=frozenset(range(1, len(names) + 2)))
