"""Kinds of values: what each must be, in words that error and documentation share, and its parser.

A parser gets what the file or the environment has (a string, or a list or mapping of strings) and
what surrounds it; it raises ValueError, or ConfigError, and never quotes the value.
"""

import ipaddress
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pgdoctor_lib.config.dsn import Command, Dsn
from pgdoctor_lib.secret import MASK, Secret, is_token, printable, remember
from pgdoctor_lib.units import format_bytes, parse_duration, parse_size

_LEADING_ZERO = re.compile(r"\s*0\d")
_TELLTALE = 8  # a query that is shorter is no secret
_URL_CHARACTERS = re.compile(r"[^\s\x00-\x20\x7f\\\ud800-\udfff]{1,2000}")


@dataclass(frozen=True)
class Around:
    """What a value is read against: the environment, and the folder where relative paths begin."""

    environ: Mapping[str, str]
    folder: str


@dataclass(frozen=True)
class Discover:
    """Which of a server's databases are watched: those that fit a pattern of `include`, and none of `exclude`."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def takes(self, dbname: str) -> bool:
        """Whether that database is one of them. Patterns are the shell's; capitals count."""
        return bool(_any_of(self.include).match(dbname)) and not (self.exclude and _any_of(self.exclude).match(dbname))


@dataclass(frozen=True)
class Lines:
    """How many sessions that wait for a lock, and that are at work, are a crowd; None: more than is usual."""

    waiters: int | None = None
    active: int | None = None


LEARNT = Lines()


@dataclass(frozen=True)
class Kind:
    """`text` completes "must be …"; `is_string` where YAML must not read a number or a boolean.

    `takes_trees`: lists and mappings, too.
    """

    text: str
    read: Callable[[Any, Around], Any]
    is_string: bool = True
    takes_trees: bool = False

    def parse(self, value: object, around: Around) -> Any:
        """The value; ValueError says what it must be."""
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty")
        parsed = self.read(value, around) if isinstance(value, str) or self.takes_trees else None
        if parsed is None:
            raise ValueError(f"must be {self.text}")
        return parsed


class InEntry(ValueError):
    """Something within a list or mapping must be otherwise. `at`: the way there; `shown`: its last key, for people."""

    def __init__(self, at: tuple[int | str, ...], what: str, shown: str = "") -> None:
        super().__init__(what)
        self.at = at
        steps = (*at[:-1], shown) if shown else at
        self.path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def duration(low: float, high: float) -> Kind:
    """Seconds within bounds, as a number or with a unit."""
    text = f"a duration from {low:.0f} to {high:.0f} seconds, such as 60, 30s, 5m or 1h"
    return Kind(text, lambda value, _: _within(parse_duration, value, low, high), is_string=False)


def size(low: int, high: int) -> Kind:
    """Bytes within bounds, as a number or with a unit."""
    bounds = " to ".join(format_bytes(bound).replace(".0", "") for bound in (low, high))
    text = f"a size from {bounds}, such as 64MiB or 1GiB"
    return Kind(text, lambda value, _: _within(parse_size, value, low, high), is_string=False)


def whole(low: int, high: int) -> Kind:
    """A whole number within bounds."""
    return Kind(f"a whole number from {low} to {high}", lambda value, _: _whole(value, low, high), is_string=False)


def percent(low: float, high: float) -> Kind:
    """Percent within bounds, with its sign or without."""
    text = f"a percentage from {low:g}% to {high:g}%"
    return Kind(text, lambda value, _: _within(_percent, value, low, high), is_string=False)


def choice(*words: str) -> Kind:
    """One of a few words."""
    text = f"{', '.join(words[:-1])} or {words[-1]}"
    return Kind(text, lambda value, _: value if value in words else None)


def _within(parse: Callable[[object], float], text: str, low: float, high: float) -> float | None:
    """The number, or None where it cannot be read as one, or as two different ones (0123)."""
    try:
        number = parse(text)
    except ValueError:
        return None
    return number if low <= number <= high and not _LEADING_ZERO.match(text) else None


def _percent(text: object) -> float:
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%?\s*", str(text), re.ASCII)
    if not match:
        raise ValueError
    return float(match[1])


def _whole(text: str, low: int, high: int) -> int | None:
    number = int(text) if re.fullmatch(r"0|[1-9][0-9]{0,17}", text.strip()) else None
    return number if number is not None and low <= number <= high else None


def _flag(text: str, _: Around) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def is_name(text: str) -> bool:
    """True for what a database may be called: it stands in lines, and between brackets."""
    return 1 <= len(text) <= 100 and text == text.strip() == printable(text)


def _path(text: str, around: Around) -> str | None:
    if not text.strip() or text != printable(text):
        return None
    if text.startswith("~/"):
        text = os.path.join(around.environ.get("HOME") or os.path.expanduser("~"), text[2:])
    return os.path.abspath(os.path.join(around.folder, text))


def _readable(text: str, around: Around, check: Callable[[bytes], bool], wanted: str) -> str | None:
    path = _path(text, around)
    if path is None:
        return None
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            content = file.read(1024 * 1024)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not check(content):
        raise ValueError(f"must name a file with {wanted}")
    return path


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes to opens at once, and is empty."""
    return os.open(path, flags | os.O_NONBLOCK)


def _token_file(text: str, around: Around) -> str | None:
    return _readable(text, around, _holds_token, "the token alone in it: printable ASCII, without spaces")


def _holds_token(content: bytes) -> bool:
    return bool(_token(content.decode("utf-8", "replace")))


def _token(text: str, _: Around | None = None) -> Secret | None:
    secret = Secret(text.strip())
    return secret if is_token(secret.reveal()) else None


def _ca_file(text: str, around: Around) -> str | None:
    return _readable(text, around, lambda content: b"BEGIN CERTIFICATE" in content, "certificates in PEM form")


def _cert_file(text: str, around: Around) -> str | None:
    return _readable(text, around, lambda content: b"BEGIN CERTIFICATE" in content, "a certificate in PEM form")


def _key_file(text: str, around: Around) -> str | None:
    return _readable(text, around, _holds_key, "a private key in PEM form, not encrypted")


def _holds_key(content: bytes) -> bool:
    return b"PRIVATE KEY-----" in content and b"ENCRYPTED" not in content


def _url(text: str, _: Around) -> str | None:
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if not _URL_CHARACTERS.fullmatch(text) or parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    if "@" in parts.netloc:
        raise ValueError("must not have a user or a password in it; the token goes into token")
    if "#" in text:
        raise ValueError('must not have a "#" in it')
    if not _has_good_port(parts):
        raise ValueError("must have a port from 1 to 65535, or none")
    if len(parts.query) >= _TELLTALE:
        remember(parts.query)
    return text


def shown_url(url: str) -> str:
    """For people: the query may be a secret."""
    address, mark, _ = url.partition("?")
    return f"{address}?{MASK}" if mark else address


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _tags(value: object, _: Around) -> tuple[str, ...] | dict[str, str] | None:
    """Tags are short and printable; a string alone is none."""
    if not isinstance(value, list | dict) or len(value) > 100:
        return None
    words = [*value, *(value.values() if isinstance(value, dict) else ())]
    if not all(isinstance(word, str) and len(word) <= 200 and word == printable(word) for word in words):
        return None
    return value if isinstance(value, dict) else tuple(value)


def _command(value: object, around: Around) -> Command | None:
    """A program and its arguments; a string is split as a shell would, and nothing else is done as a shell would.

    A program with a slash in its name lies where paths begin, any other in one of PATH's folders.
    """
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError:
            raise ValueError("has a quote that is not closed, or ends in a backslash") from None
    if not isinstance(value, list) or not 1 <= len(value) <= 100:
        return None
    if not all(isinstance(word, str) and "\0" not in word for word in value) or not value[0].strip():
        return None
    program = _path(value[0], around) if "/" in value[0] else value[0]
    return Command((program, *value[1:])) if program else None


def _discover(value: object, _: Around) -> Discover | bool | None:
    if isinstance(value, str):
        flag = {"true": True, "false": False}.get(value.lower())
        return Discover() if flag else flag
    if not isinstance(value, dict) or not value or value.keys() - {"include", "exclude"}:
        return None
    lists = {key: _patterns(given) for key, given in value.items()}
    return Discover(**{key: given for key, given in lists.items() if given}) if all(lists.values()) else None


def _recorder(value: object, _: Around) -> Lines | bool | None:
    if isinstance(value, str):
        flag = {"true": True, "false": False}.get(value.lower())
        return LEARNT if flag else flag
    if not isinstance(value, dict) or not value or value.keys() - {"waiters", "active"}:
        return None
    lines = {key: _whole(given, 1, 100_000) if isinstance(given, str) else None for key, given in value.items()}
    return None if None in lines.values() else Lines(**lines)


@lru_cache(8)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


def _patterns(given: object) -> tuple[str, ...]:
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or len(words) > 100:
        return ()
    return tuple(words) if all(isinstance(word, str) and 0 < len(word) <= 200 for word in words) else ()


def is_loopback(url: str) -> bool:
    """True where what is sent to `url` never leaves the machine."""
    return is_loopback_host(urlsplit(url).hostname or "")


def is_loopback_host(host: str) -> bool:
    """True for a name or an address of this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


FLAG = Kind("true or false", _flag, is_string=False)
NAME = Kind("1 to 100 printable characters", lambda text, _: text if is_name(text) else None)
PATH = Kind("a path", _path)
TOKEN = Kind("printable ASCII without spaces", _token)
TOKEN_FILE = Kind("the path of a file that holds the token", _token_file)
CA_FILE = Kind("the path of a file of certificates (PEM)", _ca_file)
CERT_FILE = Kind("the path of a certificate (PEM)", _cert_file)
KEY_FILE = Kind("the path of a private key (PEM)", _key_file)
URL = Kind("a URL that begins with http:// or https://", _url)
DSN = Kind("a connection string (URL or keyword=value)", lambda text, around: Dsn.parse(text, around.environ))
TAGS = Kind("a list of strings, or a mapping of strings to strings", _tags, takes_trees=True)
COMMAND = Kind("a command: a list of strings, or one string", _command, takes_trees=True)
DISCOVER = Kind(
    "true, false, or a mapping with include and exclude, each a list of patterns",
    _discover,
    is_string=False,
    takes_trees=True,
)
RECORDER = Kind(
    "true, false, or a mapping with waiters and active, each a whole number from 1 to 100000",
    _recorder,
    is_string=False,
    takes_trees=True,
)
