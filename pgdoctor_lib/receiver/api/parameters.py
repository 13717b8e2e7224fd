"""What an address may give besides its path: each parameter with its bounds. Whatever else it gives is refused."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from pgdoctor_lib.receiver.moments import LENGTH, MOST_S, length_of, moment_of
from pgdoctor_lib.receiver.wire import Rejected

Schema = dict[str, Any]
_MOST_FIELDS = 30


@dataclass(frozen=True)
class Parameter:
    """A field of the query. `read`: its value, ValueError says what it must be; `default`: where it is not given."""

    name: str
    about: str
    schema: Schema
    read: Callable[[str], Any]
    default: Any = None
    required: bool = False
    style: Schema = field(default_factory=dict)


def whole(name: str, about: str, default: int, least: int, most: int) -> Parameter:
    """A whole number within bounds."""

    def read(given: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", given, re.ASCII) or not least <= int(given) <= most:
            raise ValueError(f"must be a number from {least} to {most}")
        return int(given)

    return Parameter(
        name, about, {"type": "integer", "minimum": least, "maximum": most, "default": default}, read, default
    )


def moment(name: str, about: str) -> Parameter:
    """A time, as ISO 8601 or in epoch seconds."""

    def read(given: str) -> float:
        try:
            return moment_of(given)
        except ValueError:
            raise ValueError("must be a time like 2024-01-15T10:00:00Z, or epoch seconds") from None

    written = {"type": "string", "format": "date-time", "maxLength": 40}
    return Parameter(name, about, {"anyOf": [written, {"type": "number", "minimum": 0, "maximum": int(MOST_S)}]}, read)


def length(name: str, about: str, default: str) -> Parameter:
    """How long a span is: minutes, hours, days."""

    def read(given: str) -> float:
        try:
            return length_of(given)
        except ValueError:
            raise ValueError("must be a span like 30m, 6h or 7d") from None

    schema = {"type": "string", "pattern": f"^{LENGTH}$", "default": default}
    return Parameter(name, about, schema, read, read(default))


def choice(name: str, about: str, words: Sequence[str]) -> Parameter:
    """One of some words."""

    def read(given: str) -> str:
        if given not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return given

    return Parameter(name, about, {"type": "string", "enum": list(words)}, read)


def choices(name: str, about: str, words: Sequence[str]) -> Parameter:
    """Some of some words, with commas between; at least one."""

    def read(given: str) -> list[str]:
        names = list(dict.fromkeys(given.split(",")))
        if unknown := [each for each in names if each not in words]:
            raise ValueError(f"{unknown[0][:50]!r} is none" if unknown[0] else "must be names, with commas between")
        return names

    schema: Schema = {"type": "array", "items": {"type": "string", "enum": list(words)}, "minItems": 1}
    return Parameter(name, about, schema, read, required=True, style={"style": "form", "explode": False})


def given_in(query: str, known: Sequence[Parameter]) -> dict[str, Any]:
    """Every parameter's value. Rejected names what is unknown, comes twice, lacks or is out of bounds."""
    pairs = _pairs(query)
    fields = dict(pairs)
    names = [parameter.name for parameter in known]
    if strange := [name for name in fields if name not in names]:
        offered = f"; there are {', '.join(names)}" if names else "; there are none"
        raise Rejected(400, f"unknown parameter {strange[0][:50]!r}{offered}")
    if len(pairs) > len(fields):
        raise Rejected(400, "a parameter is given twice")
    return {parameter.name: _value(parameter, fields) for parameter in known}


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError:
        raise Rejected(400, f"more than {_MOST_FIELDS} parameters") from None


def _value(parameter: Parameter, fields: Mapping[str, str]) -> Any:
    if parameter.name not in fields:
        if parameter.required:
            raise Rejected(400, f"{parameter.name}: is needed")
        return parameter.default
    try:
        return parameter.read(fields[parameter.name])
    except ValueError as wrong:
        raise Rejected(400, f"{parameter.name}: {wrong}") from None
