"""Secrets that do not print, and the one redactor that all output goes through.

A `Secret` registers its value when it is made; `redact` replaces every registered value, plain or
as URLs, JSON, HTML, base64, SQL and Python write it, and whatever stands as a password in a URL, a
keyword DSN or JSON. `one_line` also neutralises what a terminal or a log reader could act upon.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
_MARGIN = 4096  # characters beyond what is shown, twice, that are looked through for secrets
_SHORTEST = 4  # a shorter value would mask harmless words; structure (URL, keyword) still masks it
_TOKEN = re.compile(r"[!-~]{1,4096}")
_KEPT = 3
_Forms = dict[str, set[str]]
_known: _Forms = {}  # by the first characters: most texts hold none of these, and are done with
_passing: list[_Forms] = []  # of each generation that is still known
# In two steps, which one look through the text each: a server may send `://a:` a thousand times, and no "@".
_BEFORE_AT = re.compile(r"(?<![^\s@])[^\s@]+@")
_URL_PASSWORD = re.compile(r"(://[^/:]*):.*@")
_KEY_PASSWORD = re.compile(r"(?i)\b(password|sslpassword|passwd|pwd)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)")
_JSON_PASSWORD = re.compile(r'(?i)("(?:password|passwd|pwd|token|secret)"\s*:\s*)"(?:[^"\\]|\\.)*"')
_BEARER = re.compile(r"(?i)\b(bearer\s+|authorization: basic\s+)[!-~]+")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # Python's own module keeps a table of 2,231 names
_HTML_QUOTED = {**_HTML, **str.maketrans({'"': "&quot;", "'": "&#x27;"})}
_EMOJI = "\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"  # between two of these a joiner makes one picture of them
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
    f"|(?<![{_EMOJI}])\u200d|\u200d(?![{_EMOJI}])"
)


class Secret(str):
    """A string whose `str`, `repr` and format are `***`; `reveal()` gives the value."""

    __slots__ = ()

    def __new__(cls, value: str) -> "Secret":
        """Make it, and have its value masked from now on."""
        remember(value)
        return super().__new__(cls, value)

    def reveal(self) -> str:
        """The value itself: for the wire, never for people."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


class Generations:
    """The secrets of a source that changes them for ever. The last `_KEPT` generations are masked: a session, or a
    request, of before may still be named in an error.
    """

    def __init__(self) -> None:
        self._known: list[tuple[list[Secret], _Forms]] = []

    def take(self, *values: str) -> list[Secret]:
        """What the source says now, as secrets."""
        same = [each for each in self._known if each[0] == list(values)]
        if same:
            self._known.remove(same[0])
            self._known.append(same[0])
        else:
            self._known.append(([str.__new__(Secret, value) for value in values], _forms_of(values)))
            _passing.append(self._known[-1][1])
        if len(self._known) > _KEPT:
            _passing.remove(self._known.pop(0)[1])  # or an equal one, which will do
        return self._known[-1][0]


def is_token(text: str) -> bool:
    """Whether it can be a bearer token: printable ASCII without spaces, 4096 characters at most."""
    return _TOKEN.fullmatch(text) is not None


def remember(value: str) -> None:
    """From now on `redact` masks this value, and the forms in which it may come back."""
    if value not in _known.get(value[:_SHORTEST], ()):
        _add(value, _known)


def _forms_of(values: Iterable[str]) -> _Forms:
    forms: _Forms = {}
    for value in values:
        _add(value, forms)
    return forms


def _add(value: str, forms: _Forms) -> None:
    if len(value) >= _SHORTEST:
        for form in _forms(value):
            if len(form) >= _SHORTEST:
                forms.setdefault(form[:_SHORTEST], set()).add(form)


def redact(text: str) -> str:
    """`text` with every known secret, and everything in a password's place, masked."""
    # A copy is made in one step: a reload, in a thread, may remember another secret meanwhile.
    starts = {text[index : index + _SHORTEST] for index in range(len(text))}
    tables = [_known, *_passing]
    found = [
        form for table in tables for start in starts & table.keys() for form in tuple(table[start]) if form in text
    ]
    for form in sorted(found, key=len, reverse=True):  # a secret may be a part of another
        text = text.replace(form, MASK)
    text = _BEFORE_AT.sub(lambda match: _URL_PASSWORD.sub(rf"\1:{MASK}@", match[0]), text)
    text = _KEY_PASSWORD.sub(rf"\1\2{MASK}", text)
    text = _JSON_PASSWORD.sub(rf'\1"{MASK}"', text)
    return _BEARER.sub(rf"\1{MASK}", text)


def _longest() -> int:
    """Characters of the longest that is masked wherever it stands."""
    tables = [_known, *_passing]
    return max((len(form) for table in tables for forms in tuple(table.values()) for form in tuple(forms)), default=0)


def _forms(value: str) -> Iterator[str]:
    """The value as it is, and as it is written in other languages; in URLs once or twice."""
    yield value
    octets = value.encode("utf-8", "surrogatepass")
    yield octets.decode("latin-1")  # what HTTP libraries make of UTF-8 in a header
    for once in {quote(octets, safe=""), quote(octets), quote_plus(octets)}:
        for form in (once, quote(once), quote(once, safe="")):
            yield from (form, re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form))
    for text in (
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        ascii(value),
        ascii(octets)[1:],
    ):
        yield from (text[1:-1], json.dumps(text[1:-1], ensure_ascii=False)[1:-1])
    yield from (value.translate(_HTML_QUOTED), value.translate(_HTML), value.replace("'", "''"))
    yield value.replace("\\", "\\\\").replace("'", "\\'")
    yield from _base64_cores(octets)


def _base64_cores(octets: bytes) -> Iterator[str]:
    """What base64 makes of the value wherever it stands in a longer text, without the characters that others share."""
    for before in range(3):
        text = base64.b64encode(b"\0" * before + octets).decode()
        core = text[(before * 8 + 5) // 6 : (before + len(octets)) * 8 // 6]
        yield from (core, core.replace("+", "-").replace("/", "_"))


def printable(text: str) -> str:
    """`text` with control, bidirectional and line-separating characters written as escapes."""
    return UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def one_line(text: str, limit: int = 500) -> str:
    """Text from outside, fit for a log line: redacted, on one line, no escapes, not long."""
    line = printable(" ".join(_redacted_head(text, limit).split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _redacted_head(text: str, limit: int) -> str:
    """`text` redacted; of a long one no more than its beginning, so that this takes no longer however long it is.

    Where it was cut, the first half of a secret may stand, which is not known for one: as much as that is left out.
    """
    half = _MARGIN if len(text) <= limit + 2 * _MARGIN else max(_MARGIN, 2 * _longest())  # a mask may be the longer one
    if len(text) <= limit + 2 * half:
        return redact(text)
    return f"{redact(text[: limit + 2 * half])[:-half]}…"
