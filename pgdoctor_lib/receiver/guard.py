"""Who may: the bearer token for writing, and for reading from beyond this machine; the Host that is meant.

Reading is open only to a browser that sits on this machine and means it. Two things could make
somebody else look like that: a page of another site whose name was pointed at 127.0.0.1 (DNS
rebinding: the Host header gives it away), and a reverse proxy (the headers that it adds do).
Whoever shows the token is past both, under whatever name the receiver was reached.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from pgdoctor_lib.secret import Secret

COOKIE = "pgdoctor"
_HOST = re.compile(r"(?:\[(?P<literal>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA")


class Guard:
    """`loopback`: the receiver is bound to this machine alone; `host`: the name it was bound by."""

    def __init__(self, token: Secret, *, loopback: bool, host: str) -> None:
        self._token = token.reveal().encode("ascii")
        self._pass = hmac.new(self._token, b"pgdoctor: may read", hashlib.sha256).hexdigest()
        self._loopback = loopback
        self._names = {"localhost", host.lower()}

    def is_token(self, value: str) -> bool:
        """True for the token itself, in a time that says nothing about it."""
        return hmac.compare_digest(value.encode("utf-8", "replace"), self._token)

    def may_write(self, environ: Mapping[str, str]) -> bool:
        """True where `Authorization: Bearer` has the token."""
        scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(value.strip())

    def may_read(self, environ: Mapping[str, str]) -> bool:
        """True with the token, with the cookie of somebody who had it, and on loopback."""
        return self.may_write(environ) or self._has_cookie(environ) or (self._loopback and not _forwarded(environ))

    def is_meant(self, environ: Mapping[str, str]) -> bool:
        """False for a request under a foreign name that would be let in for its place alone."""
        if not self._loopback or self.may_write(environ) or self._has_cookie(environ):
            return True
        return self._is_own(environ.get("HTTP_HOST", ""))

    def cookie(self) -> str:
        """The Set-Cookie value for whoever showed the token: not the token, and no use for writing."""
        return f"{COOKIE}={self._pass}; Path=/; HttpOnly; SameSite=Strict"

    def _has_cookie(self, environ: Mapping[str, str]) -> bool:
        try:
            found = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode("utf-8", "replace"), self._pass.encode())

    def _is_own(self, host: str) -> bool:
        """True for names of this machine's loopback, and for addresses: rebinding needs a name."""
        found = _HOST.fullmatch(host)
        if not found:
            return False
        name = found["name"] or found["literal"]
        return name.lower().removesuffix(".") in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _forwarded(environ: Mapping[str, str]) -> bool:
    return any(header in environ for header in _FORWARDED)
