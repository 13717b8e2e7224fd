"""What is answered under which address: a plain WSGI application, which knows no server and no thread."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs

from pgdoctor_lib.receiver import intake
from pgdoctor_lib.receiver.guard import Guard
from pgdoctor_lib.receiver.store import Kept, Line, Source, Store, StoreError
from pgdoctor_lib.receiver.web import database, home, login, parts
from pgdoctor_lib.receiver.wire import Rejected, Response, html_response, json_response, read_body, text_response
from pgdoctor_lib.snapshot import iso_time

BODY_S = 30.0
_MAX_FORM_BYTES = 8192
_SHOWN, _POINTS = 20, 240
_LIST_DEFAULT, _LIST_MOST = 100, 1000
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_ID = r"[0-9a-f]{12}"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

Environ = dict[str, Any]
T = TypeVar("T")


class Desk(Protocol):
    """Does work on a store where it does not hold up everybody else, and gives back what came out."""

    def __call__(self, work: Callable[[Store], T]) -> T:
        """The result of `work`, or what it raised."""
        ...


@dataclass(frozen=True)
class Application:
    """`read` and `write`: the doors to the store. `wall`: epoch seconds. `url`: the receiver's own address."""

    guard: Guard
    read: Desk
    write: Desk
    wall: Callable[[], float]
    url: str
    token_path: str | None
    warn: Callable[[str], None]

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """WSGI."""
        response = self._answer(environ)
        start_response(response.status_line, response.all_headers())
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]

    def _answer(self, environ: Environ) -> Response:
        path = environ["PATH_INFO"]
        try:
            return self._route(environ, path)
        except Rejected as rejected:
            return _error(path, rejected.status, rejected.message, rejected.headers)
        except StoreError as error:
            self.warn(f"store: {error}")
            return _error(path, 503, "the store cannot be reached just now")

    def _route(self, environ: Environ, path: str) -> Response:
        if path == "/healthz":
            return text_response(200, "ok")
        if not self.guard.is_meant(environ):
            raise Rejected(421, "this name is not the receiver's: open it as localhost, or by its address")
        for pattern, methods in _ROUTES:
            if match := pattern.fullmatch(path):
                method = environ["REQUEST_METHOD"].replace("HEAD", "GET")
                if method not in methods:
                    if "HTTP_AUTHORIZATION" in environ and not self.guard.may_write(environ):
                        raise _unauthorized()  # "config test" asks by GET, and is to learn that its token is wrong
                    raise Rejected(405, "wrong method", [("Allow", ", ".join(methods))])
                return methods[method](self, environ, *match.groups())
        raise Rejected(404, "nothing is here")

    def take(self, environ: Environ) -> Response:
        """POST /api/snapshots."""
        if not self.guard.may_write(environ):
            raise _unauthorized()
        raw = read_body(environ, intake.MAX_RAW_BYTES, BODY_S)
        encoding, key = environ.get("HTTP_CONTENT_ENCODING", ""), environ.get("HTTP_IDEMPOTENCY_KEY")
        kept = self.write(lambda store: store.keep(intake.receive(raw, encoding, key), self.wall()))
        return json_response(201 if kept.new else 409, _receipt(kept))

    def list_databases(self, environ: Environ) -> Response:
        """GET /api/databases."""
        self._admit(environ)
        now = self.wall()
        return json_response(200, {"databases": [_source(source, now) for source in self.read(Store.sources)]})

    def list_snapshots(self, environ: Environ, source: str) -> Response:
        """GET /api/databases/<id>/snapshots?limit=."""
        self._admit(environ)
        limit = _limit(environ)
        found, lines = self.read(lambda store: (store.source(source), store.snapshots(source, limit)))
        if found is None:
            raise Rejected(404, "no such database")
        return json_response(200, {"database": found.name, "snapshots": [_line(line) for line in lines]})

    def give(self, environ: Environ, snapshot_id: str) -> Response:
        """GET /api/snapshots/<id>: the body as it came."""
        self._admit(environ)
        body = self.read(lambda store: store.body(snapshot_id))
        if body is None:
            raise Rejected(404, "no such snapshot")
        return Response(200, body, "application/json")

    def show_home(self, environ: Environ) -> Response:
        """GET /."""
        if not self.guard.may_read(environ):
            return html_response(401, login.view(wrong=False))
        sources = self.read(Store.sources)
        return html_response(200, home.view(sources, self.wall(), self._endpoint(environ), self.token_path))

    def show_database(self, environ: Environ, identity: str) -> Response:
        """GET /databases/<id>."""
        if not self.guard.may_read(environ):
            return html_response(401, login.view(wrong=False))
        found, lines, sizes = self.read(
            lambda store: (store.source(identity), store.snapshots(identity, _SHOWN), store.sizes(identity, _POINTS))
        )
        if found is None:
            raise Rejected(404, "no such database")
        return html_response(200, database.view(found, lines, sizes, self.wall()))

    def show_login(self, _: Environ) -> Response:
        """GET /login."""
        return html_response(200, login.view(wrong=False))

    def sign_in(self, environ: Environ) -> Response:
        """POST /login."""
        form = parse_qs(read_body(environ, _MAX_FORM_BYTES, BODY_S).decode("latin-1"), max_num_fields=10)
        if not self.guard.is_token(form.get("token", [""])[0].strip()):
            return html_response(401, login.view(wrong=True))
        return text_response(303, "signed in", [("Location", "/"), ("Set-Cookie", self.guard.cookie())])

    def show_style(self, _: Environ) -> Response:
        """GET /style.css."""
        return Response(200, parts.style(), "text/css; charset=utf-8")

    def _admit(self, environ: Environ) -> None:
        if not self.guard.may_read(environ):
            raise _unauthorized()

    def _endpoint(self, environ: Environ) -> str:
        host = environ.get("HTTP_HOST", "")
        base = f"http://{host}/" if _HOST.fullmatch(host) else self.url
        return f"{base}api/snapshots"


_ROUTES: tuple[tuple[re.Pattern[str], dict[str, Callable[..., Response]]], ...] = (
    (re.compile("/api/snapshots"), {"POST": Application.take}),
    (re.compile(f"/api/snapshots/({_UUID})"), {"GET": Application.give}),
    (re.compile("/api/databases"), {"GET": Application.list_databases}),
    (re.compile(f"/api/databases/({_ID})/snapshots"), {"GET": Application.list_snapshots}),
    (re.compile("/"), {"GET": Application.show_home}),
    (re.compile(f"/databases/({_ID})"), {"GET": Application.show_database}),
    (re.compile("/login"), {"GET": Application.show_login, "POST": Application.sign_in}),
    (re.compile(r"/style\.css"), {"GET": Application.show_style}),
)


def _error(path: str, status: int, message: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    if path.startswith("/api/"):
        return json_response(status, {"error": message}, headers)
    return text_response(status, message, headers)


def _unauthorized() -> Rejected:
    return Rejected(401, "Authorization: Bearer with this receiver's token is needed", [("WWW-Authenticate", "Bearer")])


def _limit(environ: Environ) -> int:
    given = parse_qs(environ.get("QUERY_STRING", "")).get("limit", [str(_LIST_DEFAULT)])[-1]
    if not re.fullmatch("[0-9]{1,4}", given, re.ASCII) or not 1 <= int(given) <= _LIST_MOST:
        raise Rejected(400, f"limit: must be a number from 1 to {_LIST_MOST}")
    return int(given)


def _receipt(kept: Kept) -> dict[str, str]:
    return {"id": kept.snapshot_id, "source_id": kept.source_id, "received_at": iso_time(kept.received_at)}


def _source(source: Source, now: float) -> dict[str, Any]:
    return {
        "id": source.id,
        "name": source.name,
        "state": home.state(source, now)[0],
        "snapshot_id": source.snapshot_id,
        "collected_at": iso_time(source.collected_at),
        "received_at": iso_time(source.received_at),
        "interval_s": source.interval_s,
        "tags": source.tags,
        "db_name": source.db_name,
        "db_version": source.db_version,
        "hostname": source.hostname,
        "size_bytes": source.size_bytes,
        "active_sessions": source.active_sessions,
        "errors": source.errors,
    }


def _line(line: Line) -> dict[str, Any]:
    return {**vars(line), "collected_at": iso_time(line.collected_at), "received_at": iso_time(line.received_at)}
