"""`${NAME}`, `${NAME:-default}` and `$$` in the strings of a configuration file."""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|(?P<bad>\{))"
)


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`text` with its references replaced, once; ValueError names a variable that is not set.

    A default stands in for a variable that is unset or empty, as in the shell.
    """
    return _REFERENCE.sub(lambda match: _replacement(match, environ), text)


def has_reference(text: str) -> bool:
    """True where some of the value comes from the environment."""
    return any(match["name"] for match in _REFERENCE.finditer(text))


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    if match["bad"]:
        raise ValueError("has a ${ that is not ${NAME} or ${NAME:-default}; a dollar itself is $$")
    value, default = environ.get(match["name"]), match["default"]
    if default is not None:
        return value or default.replace("$$", "$")
    if value is None:
        raise ValueError(f"{match['name']} is not set in the environment")
    return value
