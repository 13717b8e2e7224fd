import socket
from contextlib import closing

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, head, snapshot, status_of

BEARER = {"Authorization": f"Bearer {TOKEN}"}


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


def test_behind_a_proxy_reading_needs_the_token(shared: Client) -> None:
    assert shared.get("/", X_Forwarded_For="192.0.2.7").status == 401
    assert shared.get("/api/databases", Forwarded="for=192.0.2.7").status == 401
    assert shared.get("/api/databases", X_Forwarded_For="192.0.2.7", **BEARER).status == 200


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
    assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)
    assert TOKEN not in cookie
    assert receiver.get("/", Cookie=cookie).status == 200
    assert receiver.get("/", Cookie=cookie[:-1] + "x").status == 401
    assert receiver.ask("POST", "/api/snapshots", snapshot().body(), Cookie=cookie).status == 401


def test_every_answer_is_inert(shared: Client) -> None:
    for path in ("/", "/api/databases", "/nothing", "/api/nothing", "/healthz"):
        headers = shared.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
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
