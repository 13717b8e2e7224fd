import re
import socket
import time
from contextlib import closing
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from pgdoctor_lib.receiver.guard import SIGNED_IN_S, Guard
from pgdoctor_lib.secret import Secret
from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, head, snapshot, status_of

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def _guard(**given: Any) -> Guard:
    def nobody(_: str) -> None:
        return None

    return Guard(Secret(TOKEN), **{"wall": time.time, "reads": nobody, "writes": nobody, **given})


def _rebound(receiver: Client, path: str, host: str) -> int:
    return receiver.get(path, Host=host).status


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8432", "[::1]", "[::1]:8432"])
def test_names_of_this_machine(shared: Client, host: str) -> None:
    assert _rebound(shared, "/", host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8432",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "localhost:80x",
        "[::1",
        "localhost, evil.example",
        "127.0.0.1@evil.example",
    ],
)
def test_a_foreign_name_reads_nothing(shared: Client, host: str) -> None:
    for path in ("/", "/api/databases", "/style.css", "/login", "/nothing"):
        assert _rebound(shared, path, host) == 421


def test_two_names_or_none_read_nothing(shared: Client) -> None:
    for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        assert status_of(shared.raw(f"GET / HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())) == 421


def test_the_token_is_good_under_any_name(shared: Client) -> None:
    body = snapshot().body()
    assert status_of(shared.raw(head(str(len(body)), host="receiver.internal") + body)) == 201


@pytest.mark.parametrize(
    "header", ["X_Forwarded_For", "X_Forwarded_Proto", "X_Forwarded_Port", "X_Real_IP", "Forwarded", "Via"]
)
def test_behind_a_proxy_reading_needs_the_token(shared: Client, header: str) -> None:
    for name in ("127.0.0.1:8432", "pgdoctor.example.com"):
        by_proxy = {header: "443", "Host": name}
        page = shared.get("/", **by_proxy)
        assert (page.status, 'action="/login"' in page.text) == (401, True)
        assert shared.get("/api/databases", **by_proxy).status == 401
        assert shared.get("/api/databases", **by_proxy, **BEARER).status == 200


def test_a_foreign_name_reads_nothing_with_a_wrong_token(shared: Client) -> None:
    for wrong in ({"Authorization": "Bearer wrong"}, {"Cookie": "pgdoctor=.wrong"}):
        for path in ("/", "/api/databases", "/metrics"):
            assert shared.get(path, Host="evil.example", **wrong).status == 401


def test_beyond_this_machine_reading_needs_the_token(cli: Cli) -> None:
    receiver = Client(cli, "--host", "0.0.0.0")
    receiver.post(snapshot("hidden-name").body())
    for path in ("/", f"/databases/{'0' * 12}"):
        page = receiver.get(path)
        assert page.status == 401
        assert "hidden-name" not in page.text
        assert 'action="/login"' in page.text
    assert receiver.get("/api/databases").status == 401
    assert receiver.get("/api/databases", **BEARER).json["databases"][0]["name"] == "hidden-name"
    assert receiver.get("/?token=" + TOKEN).status == 401


def test_the_token_buys_a_cookie_that_reads(cli: Cli) -> None:
    receiver = Client(cli, "--host", "0.0.0.0")
    assert receiver.ask("POST", "/login", b"token=wrong").status == 401
    signed_in = receiver.ask("POST", "/login", f"token={TOKEN}".encode())
    assert (signed_in.status, signed_in.headers["location"]) == (303, "/")
    cookie, *attributes = signed_in.headers["set-cookie"].split("; ")
    assert set(attributes) == {"Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax"}
    assert TOKEN not in cookie
    assert receiver.get("/", Cookie=cookie).status == 200
    assert receiver.get("/", Cookie=cookie[:-1] + "x").status == 401
    assert receiver.ask("POST", "/api/snapshots", snapshot().body(), Cookie=cookie).status == 401


def test_cookies_of_others_do_not_hide_it(cli: Cli) -> None:
    receiver = Client(cli, "--sign-in")
    own = receiver.ask("POST", "/login", f"token={TOKEN}".encode()).headers["set-cookie"].partition(";")[0]
    for before, after in (
        ('a={"x":1}; ', ""),
        ("", '; a="b'),
        ("a; =; ;", ";b=\\"),
        ("pgdoctor=old; ", ""),
        ("ü=é;  ", " "),
    ):
        assert receiver.get("/", Cookie=f"{before}{own}{after}").status == 200
        assert receiver.get("/", Cookie=f"{before}x{own}{after}").status == 401


def test_a_cookie_is_good_for_a_month() -> None:
    clock = [1e9]
    guard = _guard(loopback=False, host="0.0.0.0", wall=lambda: clock[0])
    cookie = (guard.cookie(TOKEN) or "").partition(";")[0]
    longer = cookie.replace(str(10**9 + SIGNED_IN_S), str(10**9 + 2 * SIGNED_IN_S))
    assert longer != cookie
    clock[0] += SIGNED_IN_S - 1
    assert guard.reader({"HTTP_COOKIE": cookie})
    clock[0] += 1
    assert guard.reader({"HTTP_COOKIE": cookie}) is None
    assert guard.reader({"HTTP_COOKIE": longer}) is None


@pytest.mark.parametrize("given", ["", ".", "..", "....", "x", ".99999999999.", ".99999999999.x", "é.9.é"])
def test_what_is_no_cookie(shared: Client, given: str) -> None:
    assert shared.get("/", Cookie=f"pgdoctor={given}", Via="a proxy").status == 401


def test_signing_out(cli: Cli) -> None:
    receiver = Client(cli, "--sign-in")
    cookie = receiver.ask("POST", "/login", f"token={TOKEN}".encode()).headers["set-cookie"].partition(";")[0]
    assert '<form method="post" action="/logout"><button' in receiver.get("/", Cookie=cookie).text
    out = receiver.ask("POST", "/logout", b"", Cookie=f"a=b; {cookie}", X_Forwarded_Proto="https, http")
    assert (out.status, out.headers["location"]) == (303, "/login")
    emptied, *attributes = out.headers["set-cookie"].split("; ")
    assert (emptied, set(attributes)) == ("pgdoctor=", {"Path=/", "Max-Age=0", "HttpOnly", "SameSite=Lax", "Secure"})
    assert "set-cookie" not in receiver.ask("POST", "/logout", b"").headers, "a form on another site"
    assert receiver.get("/logout").status == 405


def test_on_this_machine_there_is_nothing_to_sign_out_of(shared: Client) -> None:
    assert "/logout" not in shared.get("/").text


def test_the_token_that_connects_a_first_database(cli: Cli) -> None:
    """Its file is named to who is on the machine where that lies."""
    receiver = Client(cli, env={"PGDOCTOR_TOKEN": None})
    path = str(cli.state / "pgdoctor" / "serve.token")
    assert f"cat {path}" in unescape(receiver.get("/").text)
    token = cli.run("serve", "token", "add", "red").stdout.strip()
    page = receiver.get("/", Authorization=f"Bearer {token}").text
    assert path not in page
    assert "The token is the one that you signed in with." in page


def test_a_projects_token_is_looked_up_once() -> None:
    """Each time it waits for the store."""
    asked: list[str] = []

    def project_of(digest: str) -> str:
        asked.append(digest)
        return "red"

    guard = _guard(loopback=True, host="127.0.0.1", writes=project_of)
    for host in ("localhost", "pgdoctor.example.com"):
        environ = {"HTTP_HOST": host, "HTTP_AUTHORIZATION": "Bearer of-a-project"}
        assert (guard.is_meant(environ), guard.writer(environ)) == (True, "red")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ("/", "/"),
        ("/?tag=critical&q=a%20b", "/?tag=critical&q=a%20b"),
        (f"/databases/{'0' * 12}/queries/-42?range=1h", f"/databases/{'0' * 12}/queries/-42?range=1h"),
    ],
)
def test_signing_in_leads_to_what_was_asked_for(cli: Cli, asked: str, then: str) -> None:
    receiver = Client(cli, "--sign-in")
    found = re.search(r'name="to" value="(.*?)"', receiver.get(asked).text)
    assert found
    form = urlencode({"token": TOKEN, "to": unescape(found[1])}).encode()
    assert receiver.ask("POST", "/login", form).headers["location"] == then


@pytest.mark.parametrize(
    "to",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/\r\nX: y", "/login", "/databases/../login", ""],
)
def test_signing_in_leads_nowhere_else(shared: Client, to: str) -> None:
    form = urlencode({"token": TOKEN, "to": to}).encode()
    assert shared.ask("POST", "/login", form).headers["location"] == "/"


def test_behind_tls_the_cookie_and_the_address_are_of_tls(cli: Cli) -> None:
    receiver = Client(cli, "--sign-in")
    by_tls = {"X_Forwarded_Proto": "https", "Host": "pgdoctor.example.com"}
    cookie = receiver.ask("POST", "/login", f"token={TOKEN}".encode(), **by_tls).headers["set-cookie"]
    assert set(cookie.split("; ")[1:]) == {"Path=/", "Max-Age=2592000", "HttpOnly", "SameSite=Lax", "Secure"}
    page = receiver.get("/", Cookie=cookie.partition(";")[0], **by_tls).text
    assert "PGDOCTOR_ENDPOINT=https://pgdoctor.example.com/api/snapshots" in page


def test_a_proxy_that_says_nothing_of_itself_reads_nothing_where_signing_in_is_asked(cli: Cli) -> None:
    """As nginx does without `proxy_set_header`: to the receiver it looks like a browser on its own machine."""
    receiver = Client(cli, "--sign-in")
    for path in ("/", "/api/databases", "/metrics"):
        assert receiver.get(path, Host=f"127.0.0.1:{receiver.port}").status == 401
        assert receiver.get(path, Host="pgdoctor.example.com", **BEARER).status == 200
    assert receiver.get("/readyz").status == 200


def test_every_answer_is_inert(shared: Client) -> None:
    for path in ("/", "/api/databases", "/nothing", "/api/nothing", "/healthz"):
        headers = shared.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not [name for name in headers if name.startswith("access-control-")]


def test_by_default_only_this_machine_reaches_it(receiver: Client) -> None:
    assert receiver.host == "127.0.0.1"
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; names the address that this machine has outside
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, receiver.port), timeout=5)


@pytest.mark.parametrize("path", ["/login", "/pause"])
def test_forms_with_too_many_fields(shared: Client, path: str) -> None:
    form = "&".join(f"a{number}=1" for number in range(11)).encode()
    answer = shared.ask("POST", path, form)
    assert (answer.status, answer.text) == (400, "too many fields\n")
    assert shared.running.errors == []
