"""Times and spans of time as people and programs write them, to seconds; the same on each Python."""

import re
from datetime import datetime, timedelta, timezone

LENGTH = "([1-9][0-9]{0,3})([mhd])"
MOST_S = 99_999_999_999.0
_LATEST_S = 253_402_300_799.0  # the last second that has a date: a calendar ends with the year 9999
_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,20}))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)
_EPOCH = re.compile(r"[0-9]{1,11}(?:\.[0-9]{1,30})?(?:e[+-]?[0-9]{1,2})?", re.ASCII)
_LENGTH = re.compile(LENGTH, re.ASCII)
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
_SHORTEST_S, _LONGEST_S = 10.0, 3 * 366 * 86_400.0


def moment_of(text: str) -> float:
    """Of epoch seconds, MOST_S at most, or what `epoch_of` takes. ValueError for anything else."""
    if not _EPOCH.fullmatch(text):
        return min(epoch_of(text[:80]), MOST_S)
    if float(text) > MOST_S:
        raise ValueError("beyond all times")
    return float(text)


def length_of(text: str) -> float:
    """Of minutes, hours or days: "30m", "6h", "7d". ValueError for anything else."""
    found = _LENGTH.fullmatch(text)
    if not found:
        raise ValueError("not a span of time")
    return int(found[1]) * _UNITS[found[2]]


def span(now: float, first: float | None, last: float | None, length_s: float) -> tuple[float, float]:
    """From when to when, of what an address gives of it: at least 10 s, at most three years back from its end.

    Without an end it ends now; without a beginning it is `length_s` long. Whichever is earlier comes first.
    """
    last = now if last is None else last
    first = last - length_s if first is None else first
    first, last = min(first, last), max(first, last)
    return max(0.0, min(max(first, last - _LONGEST_S), last - _SHORTEST_S)), max(last, _SHORTEST_S)


def epoch_of(text: str) -> float:
    """Of `2024-01-15T10:00:00.000Z`, with its zone. Before 1970 is 1970. ValueError for anything else."""
    found = _WRITTEN.fullmatch(text)
    if not found:
        raise ValueError("not a time")
    day, minute, second, fraction, sign, hours, minutes = found.groups()
    moment = datetime.fromisoformat(f"{day}T{minute}:{second or '00'}").replace(tzinfo=timezone.utc)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)).total_seconds()
    at = moment.timestamp() + float(f"0.{fraction or 0}") - (-offset if sign == "-" else offset)
    return min(max(0.0, at), _LATEST_S)
