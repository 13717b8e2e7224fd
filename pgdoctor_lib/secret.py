"""Secrets that do not print, and the one redactor that all output goes through.

A `Secret` registers its value when it is made; `redact` replaces every registered value, plain
or percent-encoded, and whatever stands as a password in a URL or a keyword DSN. `one_line` also
neutralises what a terminal or a log reader could act upon.
"""

import re
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 4  # a shorter value would mask harmless words; structure (URL, keyword) still masks it
_TOKEN = re.compile(r"[!-~]{1,4096}")
_known: dict[str, None] = {}
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):([^\s@]*)@")
_KEY_PASSWORD = re.compile(r"(?i)\b(password|sslpassword|passwd|pwd)(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[!-~]+")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


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


def is_token(text: str) -> bool:
    """Whether it can be a bearer token: printable ASCII without spaces, 4096 characters at most."""
    return _TOKEN.fullmatch(text) is not None


def remember(value: str) -> None:
    """From now on `redact` masks this value, and its percent-encoded forms."""
    if len(value) >= _SHORTEST:
        for form in (value, quote(value, safe=""), quote(value), quote_plus(value)):
            _known[form] = None


def redact(text: str) -> str:
    """`text` with every known secret, and everything in a password's place, masked."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _KEY_PASSWORD.sub(rf"\1\2{MASK}", text)
    return _BEARER.sub(rf"\1{MASK}", text)


def printable(text: str) -> str:
    """`text` with control, bidirectional and line-separating characters written as escapes."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def one_line(text: str, limit: int = 500) -> str:
    """Text from outside, fit for a log line: redacted, on one line, no escapes, not long."""
    line = printable(" ".join(redact(text).split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
