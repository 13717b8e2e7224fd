"""`notify`: who is told of findings, and of which. What is told lies in deliver/notices.py."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import urlsplit

from pgdoctor_lib.config import values
from pgdoctor_lib.config.dsn import Command
from pgdoctor_lib.config.rules import Where
from pgdoctor_lib.config.tree import shown_key
from pgdoctor_lib.config.values import Around, InEntry, Kind
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.secret import MASK, Secret, remember

Form = Literal["webhook", "slack", "pagerduty", "command"]
FORMS: tuple[Form, ...] = ("webhook", "slack", "pagerduty", "command")
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
_MOST = 20
_TELLTALE = 8  # a URL's path that is shorter is no secret
_NAME = re.compile("[A-Za-z0-9_-]{1,40}")
_OURS = frozenset({"content-type", "content-length", "host", "idempotency-key", "transfer-encoding", "connection"})


@dataclass(frozen=True)
class Channel:
    """One who is told, `name` among all of them. `url` for all but a `command`; `key`: PagerDuty's routing key.

    `severity`: the least that is told; `repeat_s`: after which a finding that is still there is told again (0: never);
    `databases`, `tags`: patterns of names, and tags: of all databases where there are none. `token` or `token_file`:
    what goes as Authorization: Bearer.
    """

    form: Form
    name: str
    url: Secret | None = None
    key: Secret | None = None
    command: Command | None = None
    severity: Severity = Severity.WARNING
    repeat_s: float = 86_400.0
    databases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    token: Secret | None = None
    token_file: str | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    ca_file: str | None = None

    def fits(self, name: str, tags: Iterable[str] | Mapping[str, str]) -> bool:
        """Whether that database's findings are told here."""
        named = not self.databases or any(Where(database=each).fits(name, tags) for each in self.databases)
        return named and (not self.tags or any(Where(tag=each).fits(name, tags) for each in self.tags))


def as_given(channel: Channel) -> dict[str, Any]:
    """As the file has it, secrets masked; of a URL its host is shown."""
    url = _masked(channel.url.reveal()) if channel.url else None
    address: Any = MASK if channel.form == "pagerduty" else url
    if channel.command:
        address = [channel.command[0], *([MASK] if len(channel.command) > 1 else [])]
    given = {
        "name": channel.name,
        channel.form: address,
        "url": url if channel.form == "pagerduty" else None,
        "severity": channel.severity.word,
        "databases": channel.databases,
        "tags": channel.tags,
        "token": MASK if channel.token else None,
        "token_file": channel.token_file,
        "headers": dict.fromkeys(channel.headers, MASK),
        "ca_file": channel.ca_file,
    }
    return {**{key: value for key, value in given.items() if value}, "repeat": int(channel.repeat_s)}


def _masked(url: str) -> str:
    parts = urlsplit(url)
    return url if url == PAGERDUTY else f"{parts.scheme}://{parts.netloc}/{MASK}"


def _channels(value: object, around: Around) -> tuple[Channel, ...] | None:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        return None
    for each in value:  # before anything can fail
        _remember(each)
    channels = tuple(_channel(each, (index,), around) for index, each in enumerate(value))
    names = [channel.name for channel in channels]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InEntry((index,), f"another one is called {name}; give each a name of its own")
    return channels


def _channel(given: object, at: tuple[int], around: Around) -> Channel:
    if not isinstance(given, dict):
        raise InEntry(at, "must be a mapping, such as {webhook: URL}")
    for key in given:
        if key not in _KEYS:
            near = get_close_matches(key.lower(), _KEYS, 1, 0.6)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}"
            raise InEntry((*at, key), f"unknown key; {hint}", shown_key(key))
    forms = [form for form in FORMS if form in given]
    if len(forms) != 1:
        raise InEntry(at, f"must have one of {', '.join(FORMS[:-1])} and {FORMS[-1]}")
    if {"token", "token_file"} <= given.keys():
        raise InEntry((*at, "token_file"), "token is given as well; keep one of them")
    read = dict(_read(key, forms[0], at, given[key], around) for key in given)
    if forms[0] == "pagerduty":
        read.setdefault("url", Secret(PAGERDUTY))
    return Channel(forms[0], **{"name": forms[0], **read})


def _read(key: str, form: Form, at: tuple[int], value: object, around: Around) -> tuple[str, Any]:
    """The name of a field, and what it is. InEntry says what its key must have."""
    field, kind, forms = _KEYS[key]
    if form not in forms:
        raise InEntry((*at, key), f"does not go with {form}")
    try:
        return field, kind.parse(value, around)
    except ValueError as error:
        raise InEntry((*at, key), str(error)) from None


def _remember(given: object) -> None:
    """A URL is masked everywhere from now on, and so is its path. (Keys and headers are once they are read.)"""
    if not isinstance(given, dict):
        return
    for value in given.values():
        if isinstance(value, str) and "://" in value and value != PAGERDUTY:
            remember(value)
            path = value.partition("://")[2].partition("/")[2]
            if len(path) >= _TELLTALE:
                remember(f"/{path}")


def _url(value: object, around: Around) -> Secret | None:
    if not isinstance(value, str):
        return None
    if "@" in value.partition("://")[2].partition("/")[0]:
        raise ValueError("must not have a user or a password in it; use token, or headers")
    return Secret(values.URL.parse(value, around))


def _severity(text: object, _: Around) -> Severity | None:
    words = {each.word: each for each in Severity}
    return words.get(text) if isinstance(text, str) else None


def _words(value: object, _: Around) -> tuple[str, ...] | None:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not 0 < len(words) <= 100:
        return None
    return tuple(words) if all(isinstance(word, str) and 0 < len(word) <= 200 for word in words) else None


def _headers(value: object, _: Around) -> dict[str, Secret] | None:
    if not isinstance(value, dict) or len(value) > 20:
        return None
    for name, text in value.items():
        token = name.replace("-", "").replace("_", "")
        if not (token.isascii() and token.isalnum()) or name.lower() in _OURS:
            return None
        if not isinstance(text, str) or not (text.isascii() and text.isprintable() and text == text.strip() and text):
            return None
    return {name: Secret(text) for name, text in value.items()}


_URL = Kind(values.URL.text, _url, takes_trees=True)
_WEB: tuple[Form, ...] = ("webhook", "slack", "pagerduty")
_KEYS: dict[str, tuple[str, Kind, tuple[Form, ...]]] = {
    "webhook": ("url", _URL, FORMS),
    "slack": ("url", _URL, FORMS),
    "pagerduty": ("key", values.TOKEN, FORMS),
    "command": ("command", values.COMMAND, FORMS),
    "name": (
        "name",
        Kind("up to 40 letters, digits, - and _", lambda text, _: text if _NAME.fullmatch(text) else None),
        FORMS,
    ),
    "severity": ("severity", Kind("info, warning or critical", _severity, takes_trees=True), FORMS),
    "repeat": ("repeat_s", values.duration(0, 30 * 86_400), FORMS),
    "databases": ("databases", Kind("names of databases, or patterns", _words, takes_trees=True), FORMS),
    "tags": ("tags", Kind("a list of tags", _words, takes_trees=True), FORMS),
    "url": ("url", _URL, ("pagerduty",)),
    "token": ("token", values.TOKEN, ("webhook",)),
    "token_file": ("token_file", values.TOKEN_FILE, ("webhook",)),
    "headers": (
        "headers",
        Kind("a mapping of headers' names to printable ASCII", _headers, takes_trees=True),
        ("webhook",),
    ),
    "ca_file": ("ca_file", values.CA_FILE, _WEB),
}
"""By key: the field of a channel, what it must be, and the forms that it goes with."""
NOTIFY = Kind(
    "a list of mappings, each with one of webhook, slack, pagerduty and command",
    _channels,
    is_string=False,
    takes_trees=True,
)
