"""Connections to an endpoint: what requests and urllib3 are told to do otherwise than by themselves."""

import http.client
import io
import socket
import ssl
from http.cookiejar import DefaultCookiePolicy
from threading import Lock
from typing import Any, TypeVar

from pgdoctor_lib.deliver import lean  # noqa: F401  (before requests)

# isort: split
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import check_header_validity
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context, resolve_cert_reqs

from pgdoctor_lib import __version__
from pgdoctor_lib.deliver.causes import AnswerTooLong, closed_early
from pgdoctor_lib.deliver.token import identity
from pgdoctor_lib.secret import Secret

MAX_CONNECTIONS = 16
MAX_WIRE_BYTES = 1024**2  # of one answer: its head, what http.client would skip for ever, and the body

_REMEMBERED = 4  # URLs: the endpoint's, and where it redirects to
_K = TypeVar("_K")
_V = TypeVar("_V")

_HEADERS = {
    "User-Agent": f"pgdoctor/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",
}


class Bearer(AuthBase):
    """Sets the header when the request is made: being there, it keeps ~/.netrc out."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set it."""
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


def _with_one_more(known: dict[_K, _V], key: _K, value: _V) -> dict[_K, _V]:
    """The last few: where an endpoint redirects to, there may be ever others."""
    return {**dict(list(known.items())[1 - _REMEMBERED :]), key: value}


def _no_password(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """As `Bearer`, being there, it keeps ~/.netrc out."""
    return request


class _Session(requests.Session):
    """Leaves redirects alone: requests, even when told not to follow one, reads its whole body.

    Works out what is the same in each exchange, and what the environment says of proxies, once for each URL: the two
    take a third of an exchange's time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[tuple[object, ...], dict[str, Any]] = {}
        self._blanks: dict[tuple[object, ...], requests.PreparedRequest] = {}

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """What goes out: what is the same in each request to this URL, and this one's headers and body."""
        key = (request.method, request.url)
        if key not in self._blanks:
            blank = super().prepare_request(requests.Request(request.method, request.url, auth=_no_password))
            self._blanks = _with_one_more(self._blanks, key, blank)
        prepared = self._blanks[key].copy()
        for header in request.headers.items():
            check_header_validity(header)
        prepared.headers.update(request.headers)
        prepared.prepare_body(request.data or None, None)
        prepared.prepare_auth(request.auth or _no_password)
        return prepared

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """What `send` is to be told."""
        key = (url, stream, verify, cert)
        if key not in self._settings:
            settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
            self._settings = _with_one_more(self._settings, key, dict(settings))
        return dict(self._settings[key])

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: this is no redirect."""


class _LimitedReader(io.RawIOBase):
    """What comes from a socket, to its limit: data that never stops coming would never let the hub run either."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._left = MAX_WIRE_BYTES

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there. `AnswerTooLong` past the limit."""
        if self._left <= 0:
            raise AnswerTooLong
        size: int | None = self._source.readinto(memoryview(buffer)[: self._left])
        self._left -= size or 0
        return size

    def close(self) -> None:
        """Let go of the socket."""
        self._source.close()
        super().close()


class _LimitedAnswer(http.client.HTTPResponse):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fp = io.BufferedReader(_LimitedReader(self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _LimitedAnswer


class _TlsConnection(HTTPSConnection):
    response_class = _LimitedAnswer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    """Reads the CAs once for its connections: each by itself would take 25 ms, and hold 0.7 MB of them."""

    ConnectionCls = _TlsConnection
    _context: ssl.SSLContext | None = None
    _made_of: tuple[object, ...] = ()
    _making = Lock()

    def _validate_conn(self, conn: Any) -> None:
        if conn.sock is None:  # not yet connected, or not any more; behind a proxy it is by now, with CAs of its own
            conn.ssl_context, conn.ca_certs, conn.ca_cert_dir = self._trusted(), None, None
        super()._validate_conn(conn)

    def _trusted(self) -> ssl.SSLContext:
        """Made anew when the files are others."""
        made_of = (self.cert_reqs, self.ca_certs, self.ca_cert_dir, identity(self.ca_certs), identity(self.ca_cert_dir))
        with self._making:
            if self._context is None or made_of != self._made_of:
                self._context, self._made_of = self._trusting(), made_of
            return self._context

    def _trusting(self) -> ssl.SSLContext:
        context = create_urllib3_context(cert_reqs=resolve_cert_reqs(self.cert_reqs))
        try:
            if self.ca_certs or self.ca_cert_dir:
                context.load_verify_locations(self.ca_certs, self.ca_cert_dir)
        except OSError as error:
            raise urllib3.exceptions.SSLError(error) from error
        return context


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    """Sends once more, at once, what met a kept-alive connection that the other side had closed."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, socket_options=_socket_options())
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        connecting: dict[str, Any] = {key: options.get(key) for key in ("verify", "proxies", "cert")}
        pool = self.get_connection_with_tls_context(request, **connecting)
        made = _made(pool)
        try:
            return super().send(request, **options)
        except requests.ConnectionError as error:
            if _made(pool) != made or not closed_early(error):
                raise
        return super().send(request, **options)


def _made(pool: ConnectionPool) -> int:
    """How many connections the pool has opened so far: unchanged over a request, it went over an old one."""
    return pool.num_connections if isinstance(pool, HTTPConnectionPool) else 0


def _socket_options() -> list[tuple[int, int, int]]:
    """urllib3's own (TCP_NODELAY), and keep-alive probes: a firewall that forgets is noticed in time."""
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)
    return [*options, (socket.IPPROTO_TCP, idle, 45)] if idle else options


def open_session(*, verify: bool) -> requests.Session:
    """One whose connections live until it is closed; those at work then, until they are done."""
    if not verify:  # said at the start, by a line of our own
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    session = _Session()
    session.headers.clear()
    session.headers.update(_HEADERS)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(pool_connections=2, pool_maxsize=MAX_CONNECTIONS, pool_block=True))
    return session
