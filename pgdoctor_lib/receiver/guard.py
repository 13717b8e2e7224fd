"""Who may: the bearer token for writing, and for reading from beyond this machine; the Host that is meant.

Reading is open only to a browser that sits on this machine and means it. Two things could make
somebody else look like that: a page of another site whose name was pointed at 127.0.0.1 (DNS
rebinding: the Host header gives it away), and a reverse proxy (the headers that it adds do; before a receiver
that such a proxy may reach by a plain connection, reading has to need the token: `serve --sign-in`).
Whoever shows the token is past both, under whatever name the receiver was reached.

The receiver's own token writes to the project "" and reads all. A project's token writes to and reads its own
databases only; it is looked up at each request, so that a revoked one ends at once.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pgdoctor_lib.secret import Secret

ProjectOf = Callable[[str], str | None]
COOKIE = "pgdoctor"
SIGNED_IN_S = 30 * 86_400
_HOST = re.compile(r"(?:\[(?P<literal>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")  # how their names begin


@dataclass(frozen=True)
class Reader:
    """Who may read. `project`: None where all may be read; `signed_in`: by a token, not by being on this machine."""

    project: str | None
    signed_in: bool = True


class Guard:
    """`loopback`: bound to this machine alone, which may read; `host`: the name it was bound by.

    `reads`, `writes`: whose token has this digest (`store.project_of`), for whoever reads or writes, so that neither
    waits for the other; `wall`: epoch seconds.
    """

    def __init__(
        self,
        token: Secret,
        *,
        loopback: bool,
        host: str,
        wall: Callable[[], float],
        reads: ProjectOf,
        writes: ProjectOf,
    ) -> None:
        self._token = token.reveal().encode("ascii")
        self._reads, self._writes, self._wall = reads, writes, wall
        self._loopback = loopback
        self._names = {"localhost", host.lower()}

    def writer(self, environ: Mapping[str, str]) -> str | None:
        """The project that `Authorization: Bearer` writes to; None where it has no token."""
        return self._bearer(environ, self._writes)

    def reader(self, environ: Mapping[str, str]) -> Reader | None:
        """With a token or the cookie of somebody who had it, and on loopback; else None."""
        project = self._bearer(environ, self._reads)
        if project is None:
            project = self._cookie_of(environ)
        if project is not None:
            return Reader(project or None)
        return Reader(None, signed_in=False) if self._is_open_to(environ) else None

    def is_meant(self, environ: Mapping[str, str]) -> bool:
        """False for a request under a foreign name that has nothing to show but its place."""
        return (
            not self._loopback
            or _forwarded(environ)
            or "HTTP_AUTHORIZATION" in environ
            or any(_cookies(environ))
            or self._is_own(environ.get("HTTP_HOST", ""))
        )

    def cookie(self, token: str, *, secure: bool = False) -> str | None:
        """The Set-Cookie value for this token: not the token, and no use for writing. None for what is no token.

        It is good for `SIGNED_IN_S`. `secure`: the browser came by TLS, and is to show it there only.
        """
        project = self._project(token, self._reads)
        if project is None:
            return None
        digested = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest() if project else ""
        return _set_cookie(self._pass(digested, str(int(self._wall() + SIGNED_IN_S))), SIGNED_IN_S, secure=secure)

    def no_cookie(self, environ: Mapping[str, str], *, secure: bool = False) -> str | None:
        """The Set-Cookie value that takes it away. None where it did not come: by another site's form, say."""
        return _set_cookie("", 0, secure=secure) if any(_cookies(environ)) else None

    def _bearer(self, environ: Mapping[str, str], project_of: ProjectOf) -> str | None:
        scheme, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return self._project(value.strip(), project_of) if scheme.lower() == "bearer" else None

    def _project(self, token: str, project_of: ProjectOf) -> str | None:
        """Whose token it is: for the receiver's own in a time that says nothing about it."""
        given = token.encode("utf-8", "replace")
        if hmac.compare_digest(given, self._token):
            return ""
        return project_of(hashlib.sha256(given).hexdigest()) if token else None

    def _pass(self, digested: str, until: str) -> str:
        """What the cookie holds: whose token, by its digest, until when, and a proof that this receiver made it."""
        told = f"pgdoctor: may read {digested} until {until}"
        return f"{digested}.{until}.{hmac.new(self._token, told.encode(), hashlib.sha256).hexdigest()}"

    def _cookie_of(self, environ: Mapping[str, str]) -> str | None:
        """The project that the cookie reads; None where it has none."""
        for given in _cookies(environ):
            digested, until = (*given.split("."), "")[:2]
            own = self._pass(digested, until)
            if hmac.compare_digest(given.encode(), own.encode()) and self._wall() < int(until):
                return self._reads(digested) if digested else ""
        return None

    def _is_open_to(self, environ: Mapping[str, str]) -> bool:
        """True for a browser on this machine that means it."""
        return self._loopback and not _forwarded(environ) and self._is_own(environ.get("HTTP_HOST", ""))

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
    return any(name.startswith(_FORWARDED) for name in environ)


def _set_cookie(value: str, seconds: int, *, secure: bool) -> str:
    return f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{'; Secure' * secure}"


def _cookies(environ: Mapping[str, str]) -> Iterator[str]:
    """What goes by our name. Other programs on this host send theirs along, which need not be well-formed."""
    for each in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = each.partition("=")
        if name.strip() == COOKIE:
            yield value.strip()
