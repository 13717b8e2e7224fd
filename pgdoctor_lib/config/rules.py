"""`mute` and `thresholds`: which findings are not told, and which numbers checks go by, of which databases."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from pgdoctor_lib.config.values import Around, Kind
from pgdoctor_lib.units import parse_duration, parse_size

_MOST = 200
_PARSERS = {"_s": parse_duration, "_bytes": parse_size}
_WHERE = ("database", "tag")


@dataclass(frozen=True)
class Where:
    """The databases that a rule is for: a pattern of names, a tag; all where both are ""."""

    database: str = ""
    tag: str = ""

    def fits(self, name: str, tags: Iterable[str] | Mapping[str, str]) -> bool:
        """Whether that database is one of them. Of tags that are a mapping, `key` or `key=value`."""
        if self.database and not fnmatchcase(name, self.database):
            return False
        return not self.tag or self.tag in tags or self.tag in _pairs(tags)


@dataclass(frozen=True)
class Mute:
    """Findings that are not told. `key`: one finding, "slot-lost:gone"; `until`: epoch seconds, None for ever."""

    where: Where = Where()
    check: str = ""
    key: str = ""
    until: float | None = None
    reason: str = ""

    def covers(self, check: str, key: str, now: float) -> bool:
        """Whether a finding of these databases is muted: its check's id, and its own."""
        if self.until is not None and now >= self.until:
            return False
        return self.check in ("", check) and self.key in ("", key)


@dataclass(frozen=True)
class Thresholds:
    """Numbers of one check, by name, in place of its own."""

    check: str
    limits: Mapping[str, float] = field(default_factory=dict)
    where: Where = Where()


def as_given(rule: Mute | Thresholds) -> dict[str, Any]:
    """As the file may have it."""
    where = {"database": rule.where.database, "tag": rule.where.tag}
    if isinstance(rule, Thresholds):
        return {"check": rule.check, **rule.limits, **_without_empty(where)}
    until = None if rule.until is None else datetime.fromtimestamp(rule.until).astimezone().isoformat()
    return _without_empty({"check": rule.check, "key": rule.key, **where, "until": until, "reason": rule.reason})


def _without_empty(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value}


def _mutes(value: object, _: Around) -> tuple[Mute, ...] | None:
    return _list(value, _mute)


def _thresholds(value: object, _: Around) -> tuple[Thresholds, ...] | None:
    return _list(value, _threshold)


def _list(value: object, read: Any) -> tuple[Any, ...] | None:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        return None
    if not all(isinstance(each, dict) and all(isinstance(text, str) for text in each.values()) for each in value):
        return None
    return tuple(map(read, value))


def _mute(given: dict[str, str]) -> Mute:
    if unknown := given.keys() - {"check", "key", *_WHERE, "until", "reason"}:
        raise ValueError(f"{min(unknown)}: unknown key; known are check, key, database, tag, until and reason")
    if not given.keys() & {"check", "key", *_WHERE}:
        raise ValueError("says nothing of what is muted: name a check, key, database or tag")
    until = _moment(given["until"]) if "until" in given else None
    return Mute(_where(given), given.get("check", ""), given.get("key", ""), until, given.get("reason", ""))


def _threshold(given: dict[str, str]) -> Thresholds:
    if not given.get("check"):
        raise ValueError("check is missing: whose thresholds are they?")
    limits = {name: _number(name, text) for name, text in given.items() if name not in ("check", *_WHERE)}
    if not limits:
        raise ValueError(f"{given['check']}: no threshold is given")
    return Thresholds(given["check"], limits, _where(given))


def _where(given: Mapping[str, str]) -> Where:
    return Where(given.get("database", ""), given.get("tag", ""))


def _number(name: str, text: str) -> float:
    """By the unit at the end of the name."""
    parse = next((parse for unit, parse in _PARSERS.items() if name.endswith(unit)), None)
    try:
        number = float(parse(text)) if parse else float(text.rstrip("% "))
    except ValueError as error:
        raise ValueError(f"{name} {error if parse else 'must be a number'}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number")
    return number


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text).timestamp()
        datetime.fromtimestamp(moment).astimezone()  # as it is shown: within the years 1 to 9999 here, too
    except (ValueError, OverflowError):
        raise ValueError("until must be a date, such as 2027-01-31 or 2027-01-31T18:00") from None
    return moment


def _pairs(tags: Iterable[str] | Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in tags.items()] if isinstance(tags, Mapping) else []


MUTE = Kind(
    "a list of mappings with check, key, database, tag, until and reason", _mutes, is_string=False, takes_trees=True
)
THRESHOLDS = Kind(
    "a list of mappings with check, its thresholds, database and tag", _thresholds, is_string=False, takes_trees=True
)
