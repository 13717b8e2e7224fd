"""What is answered under which address: a plain WSGI application, which knows no server and no thread."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DeadlineExceeded
from pgdoctor_lib.receiver import exposition, intake
from pgdoctor_lib.receiver.api import openapi
from pgdoctor_lib.receiver.api.operations import DOCUMENT, OPERATIONS, UPLOAD, Give, Operation
from pgdoctor_lib.receiver.api.parameters import Parameter, given_in
from pgdoctor_lib.receiver.api.question import Question
from pgdoctor_lib.receiver.api.schemas import ID
from pgdoctor_lib.receiver.guard import Guard, Reader
from pgdoctor_lib.receiver.readiness import Readiness
from pgdoctor_lib.receiver.store import Kept, Store, StoreError
from pgdoctor_lib.receiver.tally import Tally
from pgdoctor_lib.receiver.web import assets, frame, login, site
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.wire import (
    Rejected,
    Response,
    html_response,
    json_response,
    read_body,
    takes_gzip,
    text_response,
)
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import iso_time

BODY_S = 30.0
_PAUSED, _PAUSED_S = "pgdoctor_paused", 365 * 86_400
_NOT_OURS, _AWAY = 421, 503  # under a name that is not the receiver's no style would come, either
_METRICS_S = 8.0  # Prometheus waits for 10 s
_MAX_FORM_BYTES, _MOST_FIELDS = 8192, 10
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_VIEW, _THING = "[a-z]{1,20}", "-?[0-9]{1,20}"

Environ = dict[str, Any]
T = TypeVar("T")
Answer = Callable[["Application", Environ, Mapping[str, str]], Response]


class Desk(Protocol):
    """Does work on a store where it does not hold up everybody else, and gives back what came out."""

    def __call__(self, work: Callable[[Store], T]) -> T:
        """The result of `work`, or what it raised."""
        ...

    @property
    def waiting(self) -> int:
        """How much work is given to it and not done."""
        ...


@dataclass(frozen=True)
class Application:
    """`read` and `write`: the doors to the store. `wall`: epoch seconds. `url`: the receiver's own address.

    `ready`: whether the store can be read and written.
    """

    guard: Guard
    read: Desk
    write: Desk
    wall: Callable[[], float]
    url: str
    token_path: str | None
    warn: Callable[[str], None]
    ready: Readiness
    tally: Tally

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI."""
        response = self._answer(environ)
        self.tally.requests[response.status] += 1
        response = response.negotiated(_takes_gzip(environ))
        start_response(response.status_line, response.all_headers())
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]

    def _answer(self, environ: Environ) -> Response:
        path = environ["PATH_INFO"]
        try:
            return self._route(environ, path)
        except Rejected as rejected:
            return _error(environ, rejected.status, rejected.message, rejected.headers)
        except StoreError as error:
            self.warn(f"store: {error}")
            what = "written" if environ["REQUEST_METHOD"] == "POST" else "read"
            return _error(environ, 503, f"the store cannot be {what} just now: the receiver's log says why")
        except Exception as error:  # noqa: BLE001 - one request's, whatever it is
            self.warn(f"internal error: {type(error).__name__}: {one_line(str(error))}")
            return _error(environ, 500, "internal error: the receiver's log says more")

    def _route(self, environ: Environ, path: str) -> Response:
        if path not in _HEALTH and not self.guard.is_meant(environ):
            raise Rejected(421, "this name is not the receiver's: open it as localhost, or by its address")
        for pattern, methods in _ROUTES:
            if match := pattern.fullmatch(path):
                return self._answer_of(methods, environ)(self, environ, match.groupdict())
        raise Rejected(404, "nothing is here")

    def _answer_of(self, methods: Mapping[str, Answer], environ: Environ) -> Answer:
        method = environ["REQUEST_METHOD"]
        answer = methods.get("GET" if method == "HEAD" else method)
        if answer is not None:
            return answer
        if "HTTP_AUTHORIZATION" in environ and self.guard.writer(environ) is None:
            raise _unauthorized()  # "config test" asks by GET, and is to learn that its token is wrong
        raise Rejected(405, "wrong method", [("Allow", ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])]))])

    def take(self, environ: Environ) -> Response:
        """POST /api/snapshots."""
        project = self.guard.writer(environ)
        if project is None:
            raise _unauthorized()
        try:
            kept = self._keep(environ, project)
            self.ready.tried(is_kept=True)
        except Rejected:
            self.tally.snapshots["refused"] += 1
            raise
        except StoreError:
            self.tally.snapshots["failed"] += 1
            self.ready.tried(is_kept=False)
            raise
        self.tally.snapshots["stored" if kept.new else "duplicate"] += 1
        return json_response(201 if kept.new else 409, _receipt(kept))

    def _keep(self, environ: Environ, project: str) -> Kept:
        raw = read_body(environ, intake.MAX_RAW_BYTES, BODY_S)
        encoding, key = environ.get("HTTP_CONTENT_ENCODING", ""), environ.get("HTTP_IDEMPOTENCY_KEY")
        return self.write(lambda store: store.keep(intake.receive(raw, encoding, key), self.wall(), project))

    def show_interface(self, environ: Environ) -> Response:
        """GET /api/openapi.json."""
        given_in(environ.get("QUERY_STRING", ""), DOCUMENT.parameters)
        return json_response(200, openapi.document())

    def ask(self, environ: Environ, parameters: Sequence[Parameter], give: Give, path: Mapping[str, str]) -> Response:
        """What else is read below /api/. The JSON is made where the store is read: it may be long."""
        project, given = self._admit(environ).project, given_in(environ.get("QUERY_STRING", ""), parameters)

        def read(store: Store) -> Response:
            found = give(Question(store, project, self.wall(), path, given))
            return Response(200, found, "application/json") if isinstance(found, bytes) else json_response(200, found)

        return self.read(read)

    def show_metrics(self, environ: Environ) -> Response:
        """GET /metrics. Without its store, too: somebody is to be told then."""
        project, waiting = self._admit(environ).project, {"read": self.read.waiting, "write": self.write.waiting}
        stored, is_up = "", False
        try:
            with deadline(_METRICS_S, "an answer"):
                stored = self.read(lambda store: exposition.stored(store, project, self.wall()))
                is_up = self.ready()
        except (StoreError, DeadlineExceeded) as error:
            self.warn(f"store: {error}")
        told = exposition.own(self.tally, waiting, is_up) + stored
        return Response(200, told.encode("utf-8"), exposition.CONTENT_TYPE)

    def tell_health(self, _: Environ) -> Response:
        """GET /healthz."""
        return text_response(200, "ok")

    def tell_readiness(self, _: Environ) -> Response:
        """GET /readyz."""
        return text_response(200, "ready") if self.ready() else text_response(503, "the store cannot be written")

    def show_home(self, environ: Environ) -> Response:
        """GET /."""
        reader = self.guard.reader(environ)
        if reader is None:
            return html_response(401, login.view(_address(environ)))
        project, ask, endpoint = reader.project, self._ask(environ, reader), self._endpoint(environ)
        page = self.read(lambda store: site.show_home(store, ask, project, endpoint, self.token_path))
        return html_response(200, page)

    def show_database(self, environ: Environ, identity: str, view: str | None, thing: str | None) -> Response:
        """GET /databases/<id>, /databases/<id>/<view> and /databases/<id>/<view>/<thing>."""
        reader = self.guard.reader(environ)
        if reader is None:
            return html_response(401, login.view(_address(environ)))
        project, ask = reader.project, self._ask(environ, reader)
        page = self.read(lambda store: site.show(store, ask, project, identity, view or "", thing or ""))
        if page is None:
            raise Rejected(404, "no such page")
        return html_response(200, page)

    def show_login(self, _: Environ) -> Response:
        """GET /login."""
        return html_response(200, login.view("/"))

    def sign_in(self, environ: Environ) -> Response:
        """POST /login."""
        form = _form(environ)
        to = form.get("to", ["/"])[0]
        cookie = self.guard.cookie(form.get("token", [""])[0].strip(), secure=_is_tls(environ))
        if cookie is None:
            return html_response(401, login.view(to, wrong=True))
        return text_response(303, "signed in", [("Location", login.page(to)), ("Set-Cookie", cookie)])

    def sign_out(self, environ: Environ) -> Response:
        """POST /logout."""
        cookie = self.guard.no_cookie(environ, secure=_is_tls(environ))
        return text_response(303, "signed out", [("Location", "/login"), *([("Set-Cookie", cookie)] if cookie else [])])

    def pause(self, environ: Environ) -> Response:
        """POST /pause: for this browser pages stay as they are, or move on again."""
        form = _form(environ)
        is_paused = bool(form.get("paused"))
        cookie = f"{_PAUSED}={'1' * is_paused}; Path=/; Max-Age={_PAUSED_S * is_paused}; HttpOnly; SameSite=Lax"
        return text_response(303, "", [("Location", login.page(form.get("to", ["/"])[0])), ("Set-Cookie", cookie)])

    def show_whole_address(self, environ: Environ) -> Response:
        """GET /databases, or a page's address with a slash at its end."""
        path = environ["PATH_INFO"].removesuffix("/")
        query = environ.get("QUERY_STRING", "")
        target = "/" if path == "/databases" else f"{path}?{query}" if query else path
        return text_response(308, "moved", [("Location", login.page(target))])

    def show_asset(self, environ: Environ) -> Response:
        """GET /static/<hash>/<name>: for good, as its address changes with it."""
        asset = assets.find(environ["PATH_INFO"])
        if asset is None:
            raise Rejected(404, "nothing is here")
        headers = (("Cache-Control", "public, max-age=31536000, immutable"), ("Vary", "Accept-Encoding"))
        if _takes_gzip(environ):
            return Response(200, asset.packed, asset.content_type, (*headers, ("Content-Encoding", "gzip")))
        return Response(200, asset.body, asset.content_type, headers)

    def _admit(self, environ: Environ) -> Reader:
        reader = self.guard.reader(environ)
        if reader is None:
            raise _unauthorized()
        return reader

    def _ask(self, environ: Environ, reader: Reader) -> Ask:
        asked = Ask.of(self.wall(), environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
        is_paused = f"{_PAUSED}=1" in map(str.strip, environ.get("HTTP_COOKIE", "").split(";"))
        refusing = self.ready.refusing_since
        return replace(asked, signed_in=reader.signed_in, paused=is_paused, refusing_since=refusing)

    def _endpoint(self, environ: Environ) -> str:
        host = environ.get("HTTP_HOST", "")
        base = f"{'https' if _is_tls(environ) else 'http'}://{host}/" if _HOST.fullmatch(host) else self.url
        return f"{base}api/snapshots"


def _asked(operation: Operation) -> Answer:
    give = operation.give
    if give is None:
        own = {UPLOAD: Application.take, DOCUMENT: Application.show_interface}[operation]
        return lambda application, environ, _: own(application, environ)
    return lambda application, environ, path: application.ask(environ, operation.parameters, give, path)


def _page(show: Callable[..., Response]) -> Answer:
    return lambda application, environ, path: show(application, environ, **path)


_HEALTH = ("/healthz", "/readyz")  # for load balancers, under whatever name
_ROUTES: tuple[tuple[re.Pattern[str], dict[str, Answer]], ...] = (
    *((each.pattern, {each.method: _asked(each)}) for each in OPERATIONS),
    (re.compile("/healthz"), {"GET": _page(Application.tell_health)}),
    (re.compile("/readyz"), {"GET": _page(Application.tell_readiness)}),
    (re.compile("/metrics"), {"GET": _page(Application.show_metrics)}),
    (re.compile("/"), {"GET": _page(Application.show_home)}),
    (
        re.compile(f"/databases/(?P<identity>{ID})(?:/(?P<view>{_VIEW})(?:/(?P<thing>{_THING}))?)?"),
        {"GET": _page(Application.show_database)},
    ),
    (
        re.compile(f"/databases/?|/databases/{ID}(?:/{_VIEW}(?:/{_THING})?)?/"),
        {"GET": _page(Application.show_whole_address)},
    ),
    (re.compile("/pause"), {"POST": _page(Application.pause)}),
    (re.compile("/login"), {"GET": _page(Application.show_login), "POST": _page(Application.sign_in)}),
    (re.compile("/logout"), {"POST": _page(Application.sign_out)}),
    (re.compile(r"/static/[0-9a-f]{12}/[A-Za-z.]{1,40}"), {"GET": _page(Application.show_asset)}),
)


def _form(environ: Environ) -> dict[str, list[str]]:
    body = read_body(environ, _MAX_FORM_BYTES, BODY_S)
    try:
        return parse_qs(body.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Rejected(400, "too many fields") from None


def _address(environ: Environ) -> str:
    query = environ.get("QUERY_STRING", "")
    return f"{environ['PATH_INFO']}?{query}" if query else str(environ["PATH_INFO"])


def _is_tls(environ: Environ) -> bool:
    """As the first of the proxies says. Whoever says so unasked changes nothing but what they are told themselves."""
    scheme = str(environ.get("HTTP_X_FORWARDED_PROTO", "")).partition(",")[0]
    return scheme.strip().lower() == "https"


def _takes_gzip(environ: Environ) -> bool:
    return takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))


def _error(environ: Environ, status: int, message: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    path = environ["PATH_INFO"]
    if path.startswith("/api/"):
        return json_response(status, {"error": message}, headers)
    if "text/html" in environ.get("HTTP_ACCEPT", "") and status != _NOT_OURS:
        return html_response(status, frame.failed(message, path, again=status == _AWAY), headers)
    return text_response(status, message, headers)


def _unauthorized() -> Rejected:
    return Rejected(401, "Authorization: Bearer with this receiver's token is needed", [("WWW-Authenticate", "Bearer")])


def _receipt(kept: Kept) -> dict[str, str]:
    return {"id": kept.snapshot_id, "source_id": kept.source_id, "received_at": iso_time(kept.received_at)}
