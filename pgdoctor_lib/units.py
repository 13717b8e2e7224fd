"""Quantities as people write them: durations ("30s", "5m", "1h"), sizes ("256 MiB") and numbers of things."""

import math
import re

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_QUANTITY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", re.ASCII)


def parse_duration(value: object) -> float:
    """Seconds from a number of seconds, or from "90s", "5m", "1h", "7d". ValueError says what is wrong."""
    return _parse(value, _SECONDS, lambda unit: unit, "a duration: seconds, or 30s, 5m, 1h")


def parse_size(value: object) -> int:
    """Bytes from a number of bytes, or from "256MiB", "1 GB". ValueError says what is wrong."""
    return int(_parse(value, _BYTES, str.upper, "a size: bytes, or 64MiB, 1GiB"))


def _parse(value: object, factors: dict[str, float] | dict[str, int], fold, wanted: str) -> float:  # type: ignore[no-untyped-def]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"must be {wanted}")
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"must be {wanted}")
        return float(value)
    match = _QUANTITY.fullmatch(value)
    if not match or fold(match[2]) not in factors:
        raise ValueError(f"must be {wanted}")
    return float(match[1]) * factors[fold(match[2])]


def format_duration(seconds: float) -> str:
    """The way SPEC's lines write it: "60s", "0.5s"."""
    return f"{seconds:g}s"


def format_bytes(size: float) -> str:
    """For people: "4.2 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def counted(count: int, noun: str, plural: str = "") -> str:
    """For people: "1 snapshot", "2 snapshots". `plural`: where it takes more than an s."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def format_span(seconds: float) -> str:
    """For people: "45 s", "12 min", "3 h 12 min", "2 d 4 h"."""
    whole = max(0, round(seconds))
    for unit, size, below, below_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            rest = whole % size // below_size
            return f"{whole // size} {unit} {rest} {below}" if rest else f"{whole // size} {unit}"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"


def format_used(percent: float, *, is_left: bool) -> str:
    """For people: "99.7 %"; never 100 while something is left."""
    return f"{min(percent, 99.9) if is_left else percent:.1f} %"


def format_count(number: float) -> str:
    """For people: "812", "12,345", "1.2 million", "3.4 billion"."""
    for word, size in (("billion", 1e9), ("million", 1e6)):
        if abs(number) >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:,.0f}"
