"""A line over time as inline SVG, with units on both axes. No script, no style attributes (the policy forbids them)."""

import math
from collections.abc import Sequence
from datetime import datetime, timezone

from pgdoctor_lib.units import format_bytes

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 200, 84, 12, 12, 28


def sizes(points: Sequence[tuple[float, int]]) -> str:
    """Bytes over time (epoch seconds), oldest first; a sentence where there are too few to draw."""
    if len(points) < 2:
        return '<p class="quiet">The line begins with the second snapshot.</p>'
    (first, _), (last, _) = points[0], points[-1]
    low, high = _room([size for _, size in points])
    across = (_WIDTH - _LEFT - _RIGHT) / max(last - first, 0.001)
    up = (_HEIGHT - _TOP - _BOTTOM) / (high - low)
    floor = _HEIGHT - _BOTTOM
    line = " ".join(f"{_LEFT + (at - first) * across:.1f},{floor - (size - low) * up:.1f}" for at, size in points)
    said = f"Size from {format_bytes(points[0][1])} to {format_bytes(points[-1][1])}"
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{said}">'
        f"{_levels(low, high)}{_moments(first, last)}"
        f'<polyline class="line" points="{line}"/></svg>'
    )


def _room(values: Sequence[int]) -> tuple[float, float]:
    """The axis' ends: the values with some air, never a flat axis that makes noise look like growth."""
    low, high = min(values), max(values)
    air = max((high - low) * 0.15, high * 0.02, 1.0)
    return max(0.0, low - air), high + air


def _levels(low: float, high: float) -> str:
    drawn = ""
    unit, power = _unit(high)
    decimals = max(0, min(6, 1 - math.floor(math.log10((high - low) / 3 / power))))  # even steps look even
    for step in range(4):
        value = low + (high - low) * step / 3
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * step / 3
        drawn += (
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value / power:.{decimals}f} {unit}</text>'
        )
    return drawn


def _unit(size: float) -> tuple[str, int]:
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return unit, 1024**power
    return "B", 1


def _moments(first: float, last: float) -> str:
    written = "%H:%M:%S" if last - first < 3600 else "%H:%M" if last - first < 86_400 else "%d %b %H:%M"
    drawn = ""
    for place, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        moment = datetime.fromtimestamp(first + (last - first) * place, timezone.utc).strftime(written)
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * place
        zone = " UTC" if place == 1.0 else ""
        drawn += f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{moment}{zone}</text>'
    return drawn
