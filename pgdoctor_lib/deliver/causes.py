"""What went wrong in the network, in the shortest true words.

The libraries' own texts are not used: they hold addresses of objects, whole URLs, and at times the
request's headers, the token among them.
"""

import errno
import http.client
import os
import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3

from pgdoctor_lib.errors import DeliveryError, Retryable
from pgdoctor_lib.secret import one_line


class AnswerTooLong(http.client.HTTPException):
    """An answer that goes on and on."""


_BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (http.client.RemoteDisconnected, "connection closed without an answer"),
    (ConnectionResetError, "connection reset"),
    (BrokenPipeError, "connection reset"),
    (http.client.IncompleteRead, "answer cut short"),
    (urllib3.exceptions.IncompleteRead, "answer cut short"),
    (AnswerTooLong, "answer too long"),
    (http.client.HTTPException, "not an HTTP answer"),
    (urllib3.exceptions.InvalidChunkLength, "not an HTTP answer"),
    (TimeoutError, "timed out"),
    (urllib3.exceptions.TimeoutError, "timed out"),
)
_CLOCK = "look at this machine's clock, or have the certificate renewed"
_CA = "ca_file names the certificates of a private authority"
_NAME = "the URL must have the name that the certificate is for"
_HINTS = {9: _CLOCK, 10: _CLOCK, 18: _CA, 19: _CA, 20: _CA, 21: _CA, 62: _NAME, 64: _NAME}
"""By OpenSSL's numbers (x509_vfy.h)."""


def explain(error: Exception, timeout_s: float) -> DeliveryError:
    """The error of our family for one of requests, urllib3, ssl or socket."""
    if isinstance(error, requests.exceptions.InvalidHeader):  # of an answer: ours are checked beforehand
        return Retryable("not an HTTP answer")
    if isinstance(error, ValueError):  # InvalidURL and its like, of all three libraries
        return DeliveryError("the endpoint's URL, or the proxy's, cannot be used")
    chain = list(_chain(error))
    if not isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
        return DeliveryError("CA certificates cannot be used", detail=_os_words(error))
    through = "proxy: " if any(isinstance(part, urllib3.exceptions.ProxyError) for part in chain) else ""
    for part in chain:
        if isinstance(part, ssl.SSLCertVerificationError):
            return _not_verified(part, through)
    words = next((told for part in reversed(chain) if (told := _words(part))), "network error")
    return Retryable(through + (f"timed out after {timeout_s:g} s" if words == "timed out" else words))


def closed_early(error: Exception) -> bool:
    """Whether the connection was gone before anything of an answer came."""
    gone = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
    return any(isinstance(part, gone) for part in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, outermost first: by argument, by attribute, by cause.

    Not by context: that may be what the caller was busy with.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, BaseException) and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting += [getattr(part, "reason", None), getattr(part, "original_error", None), *part.args]
            waiting.append(part.__cause__)


def _not_verified(error: ssl.SSLCertVerificationError, through: str) -> DeliveryError:
    """No use trying again in a second: somebody has to change a certificate, a file, a name or a clock."""
    why = one_line(error.verify_message.rstrip("."))
    hint = _HINTS.get(error.verify_code, "")
    return DeliveryError(f"{through}certificate verify failed", detail=why, hint=hint)


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return "TLS failed" + (f": {error.reason.lower().replace('_', ' ')}" if error.reason else "")
    for family, words in _BY_TYPE:
        if isinstance(error, family):
            return words
    plain_os_error = isinstance(error, OSError) and not isinstance(error, requests.RequestException)
    return _os_words(error) if plain_os_error else ""


def _os_words(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, socket.gaierror):
        text = error.strerror or "name or service not known"
    elif number is None:
        text = str(error)  # "Tunnel connection failed: 407 Proxy Authentication Required"
    else:
        text = "timed out" if number == errno.ETIMEDOUT else os.strerror(number)
    return one_line(text[:1].lower() + text[1:])
