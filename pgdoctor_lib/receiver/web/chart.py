"""A chart: a title, lines over time as SVG, what each is now, and the same as a table.

The SVG is drawn without text, so that it may be stretched; the axes' words stand beside it. No script is needed, and
where one runs it takes the numbers from `data-chart`, or asks for them, and draws what can be zoomed.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from pgdoctor_lib.receiver.store.model import Values
from pgdoctor_lib.receiver.web import parts, units

_WIDTH, _HEIGHT = 600, 100
_TABLE_ROWS = 6
_DRAWN_POINTS = 72
_SPARK_POINTS, _SPARK_LEAST, _SPARK_KNOWN = 30, 20, 3
_ALONE = re.compile(r"M\d+ \d+l(?=M|$)")  # a point without neighbours is no line
_PEAK = "line peak"
_FIGURES = 4  # of a number that goes to the script


@dataclass(frozen=True)
class Panel:
    """What a chart shows. `lines`: by the name of each series its title; `zero`: the axis begins there;
    `colors`: their numbers, where they are to mean something."""

    key: str
    title: str
    unit: str
    lines: Mapping[str, str]
    stacked: bool = False
    zero: bool = True
    about: str = ""
    colors: tuple[int, ...] = ()

    @property
    def places(self) -> Mapping[str, int]:
        """By series its colour's number."""
        return dict(zip(self.lines, self.colors or range(len(self.lines)), strict=True))


@dataclass(frozen=True)
class Data:
    """`span`: from when to when, epoch seconds; `values`: by series one for each of `times`, None in a gap.

    `peaks`: of some the highest within the step whose mean the value is.
    """

    span: tuple[float, float]
    times: Sequence[float]
    values: Mapping[str, Values]
    peaks: Mapping[str, Values] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether anything is known of a series."""
        return self.last(name) is not None

    def last(self, name: str) -> float | None:
        """The last value that is known of a series."""
        return next((value for value in reversed(self.values.get(name, ())) if value is not None), None)


def figure(panel: Panel, data: Data, *, carried: bool = False, wide: bool = False) -> str:
    """The chart, of the lines that are known. `carried`: the script is to take the numbers from here."""
    names = _told(panel, data)
    if not names:
        return ""
    drawn = _few(data, names, () if panel.stacked else names)
    places = panel.places
    low, high = _ends(panel, names, drawn)
    about = f'<span class="quiet">{escape(panel.about)}</span>' if panel.about else ""
    told = _for_script(panel, names, places, data, carried)
    return (
        f'<figure class="chart{" wide" if wide else ""}" id="chart-{panel.key}" data-chart=\'{told}\'>'
        f'<figcaption><h3>{escape(panel.title)}</h3>{about}<span class="note quiet"></span></figcaption>'
        f'<div class="plot"><div class="y" aria-hidden="true"><span>{units.told(high, panel.unit)}</span>'
        f"<span>{units.told(low, panel.unit)}</span></div>"
        f"{_picture(panel, names, places, drawn, (low, high))}{_axis(data.span)}</div>"
        f"{_legend(panel, names, places, data)}{_table(panel, names, data)}</figure>"
    )


def _few(data: Data, names: Sequence[str], peaking: Sequence[str]) -> Data:
    """What is drawn: points that are no closer than can be seen."""
    times = [time for time in _thinned(data.times, _DRAWN_POINTS) if time is not None]
    values = {name: _thinned(data.values[name], _DRAWN_POINTS) for name in names}
    peaks = {name: _thinned(data.peaks[name], _DRAWN_POINTS, _highest) for name in peaking if name in data.peaks}
    return Data(data.span, times, values, peaks)


def group(figures: str, source: str = "") -> str:
    """Charts side by side. `source`: the database of which the script may ask for more of their numbers."""
    asked = f' data-series="/api/databases/{source}/series"' if source else ""
    pale = '<p class="quiet">Pale: the highest within each step, beside its mean.</p>' if _PEAK in figures else ""
    return f'<h2 class="unseen">Over time</h2>{pale}<div class="charts"{asked}>{figures}</div>'


def _told(panel: Panel, data: Data) -> list[str]:
    """The series that are known; of a stack those alone that are not always nothing, where there are such."""
    known = [name for name in panel.lines if data.has(name)]
    some = [name for name in known if any(data.values[name])]
    return some if panel.stacked and some else known


def _for_script(panel: Panel, names: Sequence[str], places: Mapping[str, int], data: Data, carried: bool) -> str:
    lines = [{"name": name, "title": panel.lines[name], "color": places[name]} for name in names]
    told: dict[str, object] = {
        "unit": panel.unit, "stacked": panel.stacked, "zero": panel.zero, "lines": lines,
    }  # fmt: skip
    if carried:
        told["times"] = [round(time) for time in data.times]
        told["values"] = {name: [_rounded(value) for value in data.values[name]] for name in names}
    return _within_apostrophes(json.dumps(told, separators=(",", ":")))


def _within_apostrophes(text: str) -> str:
    """For an attribute that is full of quotes: they stay as they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&#39;")


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_FIGURES}g}")


def _ends(panel: Panel, names: Sequence[str], data: Data) -> tuple[float, float]:
    if panel.stacked:
        sums = [sum(data.values[name][place] or 0.0 for name in names) for place in range(len(data.times))]
        return 0.0, units.ceiling(max(sums, default=0.0), panel.unit)
    told = [*(data.values[name] for name in names), *data.peaks.values()]
    known = [value for values in told for value in values if value is not None]
    low, high = min(known), max(known)
    if panel.zero:
        return 0.0, units.ceiling(high, panel.unit)
    air = max((high - low) * 0.1, abs(high) * 0.01, 1.0)
    return max(0.0, low - air), high + air


def _picture(
    panel: Panel, names: Sequence[str], places: Mapping[str, int], data: Data, ends: tuple[float, float]
) -> str:
    drawn = ""
    below = [0.0] * len(data.times)
    for name in names:
        values = data.values[name]
        if panel.stacked:
            above = [low + (value or 0.0) for low, value in zip(below, values, strict=True)]
            points = _points(
                data, [None if value is None else top for top, value in zip(above, values, strict=True)], ends
            )
            floor = _points(
                data, [None if value is None else low for low, value in zip(below, values, strict=True)], ends
            )
            drawn += "".join(
                f'<path class="area c{places[name]}" d="M{"L".join([*up, *reversed(down)])}Z"/>'
                for up, down in zip(points, floor, strict=True)
            )
            below = above
        else:
            kinds = ((_PEAK, data.peaks.get(name, ())), ("line", values))
            drawn += "".join(_line(f"{kind} c{places[name]}", data, told, ends) for kind, told in kinds if told)
    said = escape(f"{panel.title}: {', '.join(panel.lines[name] for name in names)}; the table below has the numbers")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{said}">'
        f'<path class="grid" d="M0 0H{_WIDTH}M0 {_HEIGHT / 2:g}H{_WIDTH}M0 {_HEIGHT}H{_WIDTH}"/>{drawn}</svg>'
    )


def _line(kind: str, data: Data, values: Values, ends: tuple[float, float]) -> str:
    path = "".join(f"M{'L'.join(run)}" for run in _points(data, values, ends))
    return f'<path class="{kind}" d="{path}"/>'


def _points(data: Data, values: Values, ends: tuple[float, float]) -> list[list[str]]:
    """Runs without a gap, each point as "x y". A point alone is drawn as a short dash."""
    (first, last), (low, high) = data.span, ends
    across, up = _WIDTH / max(last - first, 1e-9), _HEIGHT / max(high - low, 1e-9)
    runs: list[list[str]] = [[]]
    for time, value in zip(data.times, values, strict=True):
        if value is None:
            runs.append([])
        elif first <= time <= last:
            runs[-1].append(f"{(time - first) * across:.0f} {_HEIGHT - (value - low) * up:.1f}".replace(".0", ""))
    return [run if len(run) > 1 else [run[0], run[0].replace(" ", ".9 ", 1)] for run in runs if run]


def _axis(span: tuple[float, float]) -> str:
    first, last = span
    times = (first, (first + last) / 2, last)
    words = "".join(f"<span>{parts.clock(at, last - first)}</span>" for at in times)
    return f'<div class="x" aria-hidden="true">{words}</div>'


def _legend(panel: Panel, names: Sequence[str], places: Mapping[str, int], data: Data) -> str:
    items = ""
    for name in names:
        last = data.last(name)
        items += (
            f'<li><i class="key c{places[name]}"></i>{escape(panel.lines[name])} '
            f"<b>{units.told(last, panel.unit)}</b></li>"
        )
    return f'<ul class="legend">{items}</ul>'


def _table(panel: Panel, names: Sequence[str], data: Data) -> str:
    """Means of a few stretches of the span."""
    size = max(1, -(-len(data.times) // _TABLE_ROWS))
    step = (data.times[-1] - data.times[0]) / max(1, len(data.times) - 1) * size
    rows = []
    for start in range(0, len(data.times), size):
        stretch = data.times[start : start + size]
        at = sum(stretch) / len(stretch)
        told = parts.clock(at, 60 if step < 60 else data.span[1] - data.span[0])
        means = [_mean(data.values[name][start : start + size]) for name in names]
        rows.append([told, *(units.told(mean, panel.unit) for mean in means)])
    heads = ["Around (UTC)", *(panel.lines[name] for name in names)]
    table = parts.table(heads, rows, numeric=frozenset(range(1, len(heads))))
    return f'<details class="as-table" id="table-{panel.key}"><summary>as a table</summary>{table}</details>'


def _highest(values: Values) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _mean(values: Values) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def spark(values: Values, *, zero: bool = True) -> str:
    """A small line without axes, beside a number that is told in words. `zero`: it stands on zero, else on its least.

    What hardly moves stays flat: the line's height is a twentieth of its greatest at least. A page may have hundreds:
    each point is told as its distance from the one before, in few letters.
    """
    drawn = _thinned(values)
    known = [value for value in drawn if value is not None]
    if len(known) < _SPARK_KNOWN:
        return ""
    low, high = 0.0 if zero else min(known), max(known)
    height = max(high - low, abs(high) / _SPARK_LEAST, 1e-9)
    low -= (height - (high - low)) / 2 if not zero else 0.0
    path, before = "", None
    for place, value in enumerate(drawn):
        y = None if value is None else round(19 - (value - low) * 18 / height)
        if y is not None:
            path += f"M{place} {y}l" if before is None else f" 1 {y - before}"
        before = y
    path = _ALONE.sub("", path).replace("l ", "l").replace(" -", "-")
    if not path:
        return ""
    return f'<svg class="spark" viewBox="0 0 {len(drawn) - 1} 20" preserveAspectRatio="none"><path d="{path}"/></svg>'


def _thinned(
    values: Values, most: int = _SPARK_POINTS, made: Callable[[Values], float | None] = _mean
) -> list[float | None]:
    """Of so many neighbours one, their mean for instance, that few are left."""
    size = -(-len(values) // most) or 1
    return [made(values[start : start + size]) for start in range(0, len(values), size)]
