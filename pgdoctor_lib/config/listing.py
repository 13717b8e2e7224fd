"""What is in force, for people and for programs: each value with its origin, secrets masked."""

from collections.abc import Iterator
from json import dumps
from typing import Any

from pgdoctor_lib.config.dsn import Command, Dsn
from pgdoctor_lib.config.load import warnings
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.config.notify import as_given as channel_as_given
from pgdoctor_lib.config.rules import Mute, Thresholds, as_given
from pgdoctor_lib.config.settings import Setting, Settings
from pgdoctor_lib.config.values import Discover, Lines, shown_url
from pgdoctor_lib.secret import MASK, Secret, printable

_COLUMN = 58


def lines(settings: Settings) -> Iterator[str]:
    """The way the file would have it, with each value's origin as a comment."""
    yield f"# from {printable(settings.source)}" if settings.source else "# single-database mode, from the environment"
    yield from (_line(key, setting, "") for key, setting in settings.agent.items())
    yield "databases:"
    for database in settings.databases:
        yield from (_line(key, each, "    " if row else "  - ") for row, (key, each) in enumerate(database.items()))
    yield from (f"# warning: {warning}" for warning in warnings(settings))


def as_json(settings: Settings) -> dict[str, Any]:
    """The same as one object; every value is {"value": …, "origin": …}."""
    return {
        "source": settings.source,
        "mode": "multi" if settings.source else "single",
        "settings": _group(settings.agent),
        "databases": [_group(database) for database in settings.databases],
        "warnings": list(warnings(settings)),
    }


def _line(key: str, setting: Setting, indent: str) -> str:
    text = f"{indent}{key}: {dumps(_shown(setting.value), ensure_ascii=False)}"
    return printable(f"{text:<{_COLUMN}}  # {setting.origin}")


def _group(values: dict[str, Setting]) -> dict[str, Any]:
    return {key: {"value": _shown(setting.value), "origin": setting.origin} for key, setting in values.items()}


def _shown(value: Any) -> Any:
    """The value as JSON may hold it; a URL's query may be a secret, and so may a command's arguments: masked."""
    if isinstance(value, Secret | Dsn):
        return str(value)
    if isinstance(value, Command):
        return [value[0], *([MASK] if len(value) > 1 else [])]
    if isinstance(value, Discover | Lines):
        return {key: each for key, each in vars(value).items() if each is not None} if value != type(value)() else True
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return shown_url(value)
    if isinstance(value, tuple):
        value = [_entry(each) for each in value]
    return value


def _entry(value: Any) -> Any:
    if isinstance(value, Channel):
        return channel_as_given(value)
    return as_given(value) if isinstance(value, Mute | Thresholds) else value
