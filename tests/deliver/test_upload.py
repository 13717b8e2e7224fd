"""Delivery to real endpoints: what is sent, what is retried, where the token goes."""

import gc
import gzip
import json
import socket
import ssl
import threading
from pathlib import Path

import pytest

from pgdoctor_lib import __version__, config
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.deliver.answers import Receipt
from pgdoctor_lib.deliver.parcel import Parcel, pack
from pgdoctor_lib.deliver.upload import MAX_ANSWER_BYTES, Uploader
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable, Unauthorized
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Sealed, new_id
from tests.deliver.raw import plain_answer, raw_server, read_request
from tests.fix_endpoint import Answer, Endpoint

TOKEN = "CANARY-token-0123456789"
DOCUMENT = {"snapshot_id": "x", "database": {"name": "production"}}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, bundle or netrc of the machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle", "netrc"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Delivery:
    """An uploader whose waits are recorded, not slept."""

    def __init__(self, url: str, ca_file: str | None = None, timeout_s: float = 10) -> None:
        self.waits: list[float] = []
        self.retries: list[tuple[int, int, float, str]] = []
        self.parcel = parcel()
        endpoint = config.Endpoint(url, token=Secret(TOKEN), ca_file=ca_file, timeout_s=timeout_s)
        self.uploader = Uploader(endpoint, Clock(sleep=self.waits.append))

    def __call__(self) -> Receipt:
        return self.uploader.deliver(self.parcel, lambda *retry: self.retries.append(retry))

    def failure(self, family: type[DeliveryError] = DeliveryError) -> str:
        with pytest.raises(DeliveryError) as raised:
            self()
        assert type(raised.value) is family, raised.value
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        return str(raised.value)


def parcel() -> Parcel:
    return pack(Sealed(new_id(), "production", json.dumps(DOCUMENT).encode()))


def test_what_is_sent(endpoint: Endpoint) -> None:
    deliver = Delivery(endpoint.url)
    assert deliver() == Receipt(id="abc123")
    [request] = endpoint.requests
    assert request.json == DOCUMENT
    assert dict(request.headers) == {
        "Host": request.headers["Host"],
        "User-Agent": f"pgdoctor/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
        "Content-Length": str(len(request.body)),
        "Idempotency-Key": deliver.parcel.snapshot_id,
        "Authorization": f"Bearer {TOKEN}",
    }


def test_nothing_of_one_request_is_in_the_next(endpoint: Endpoint) -> None:
    """Over the same session: another snapshot, a question, what another path is sent to, and the first URL again."""
    deliver = Delivery(endpoint.url)
    long, short = deliver.parcel, pack(Sealed(new_id(), "b", b'{"database":{"name":"b"}}'))
    endpoint.script([201, 200, (307, {"Location": "/v2"}, ""), 201, 415, 201])
    deliver.uploader.post(long)
    deliver.uploader.probe()
    deliver.uploader.post(short)
    deliver.uploader.post(long)
    taken, asked, sent, moved, refused, plain = endpoint.requests
    assert [request.headers["Content-Length"] for request in endpoint.requests] == [
        None if request.method == "GET" else str(len(request.body)) for request in endpoint.requests
    ]
    assert (taken.body, sent.body, moved.body, refused.body, plain.json) == (
        *(long.data, short.data, short.data, long.data),
        DOCUMENT,
    )
    keys = [request.headers["Idempotency-Key"] for request in endpoint.requests]
    assert keys == [long.snapshot_id, None, *[short.snapshot_id] * 2, *[long.snapshot_id] * 2]
    encodings = [request.headers["Content-Encoding"] for request in endpoint.requests]
    assert encodings == ["gzip", None, "gzip", "gzip", "gzip", None]
    assert {request.headers["Authorization"] for request in endpoint.requests} == {f"Bearer {TOKEN}"}
    assert asked.headers["Content-Type"] is None


def test_three_retries_with_equal_key_and_bytes(endpoint: Endpoint) -> None:
    endpoint.default = Answer(503)
    deliver = Delivery(endpoint.url)
    assert deliver.failure(Retryable) == "503 Service Unavailable"
    assert all(pause <= wait <= pause * 1.25 for wait, pause in zip(deliver.waits, (1, 2, 4), strict=True))
    assert deliver.waits != [1, 2, 4], "a little of it is left to chance"
    assert deliver.retries == [(n, 3, pause, "503 Service Unavailable") for n, pause in ((1, 1), (2, 2), (3, 4))]
    assert len(endpoint.requests) == 4
    assert len({(request.headers["Idempotency-Key"], request.body) for request in endpoint.requests}) == 1


def test_retry_after_counts_where_it_is_longer(endpoint: Endpoint) -> None:
    endpoint.script(
        [(429, {"Retry-After": "30"}, ""), (503, {"Retry-After": "1"}, ""), (503, {"Retry-After": "900"}, "")]
    )
    deliver = Delivery(endpoint.url)
    assert deliver().id == "abc123"
    assert all(pause <= wait <= pause * 1.25 for wait, pause in zip(deliver.waits, (30, 2, 60), strict=True))
    assert [retry[2] for retry in deliver.retries] == [int(wait) for wait in deliver.waits], (
        "what is told is what is waited"
    )
    assert deliver.waits[2] == 60, "no longer than that within a cycle"


@pytest.mark.parametrize(
    ("status", "family"), [(401, Unauthorized), (403, Unauthorized), (404, Refused), (422, Refused)]
)
def test_no_retry_where_it_is_no_use(endpoint: Endpoint, status: int, family: type[DeliveryError]) -> None:
    endpoint.default = Answer(status)
    deliver = Delivery(endpoint.url)
    deliver.failure(family)
    assert (len(endpoint.requests), deliver.waits) == (1, [])


@pytest.mark.parametrize("status", [400, 415])
def test_plain_json_for_an_endpoint_that_does_not_take_gzip(endpoint: Endpoint, status: int) -> None:
    endpoint.script([503, status])
    deliver = Delivery(endpoint.url)
    assert deliver().id == "abc123"
    deliver()
    assert [request.headers["Content-Encoding"] for request in endpoint.requests] == ["gzip", "gzip", None, None]
    assert [request.json for request in endpoint.requests[2:]] == [DOCUMENT, DOCUMENT]
    assert len({request.headers["Idempotency-Key"] for request in endpoint.requests}) == 1


def test_a_400_after_gzip_was_taken_is_a_refusal(endpoint: Endpoint) -> None:
    endpoint.script([201, 400])
    deliver = Delivery(endpoint.url)
    deliver()
    assert deliver.failure(Refused) == "400 Bad Request"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_within_the_origin_carry_everything(endpoint: Endpoint, status: int) -> None:
    endpoint.script([(status, {"Location": "/v2/snapshots?a=1"}, ""), (status, {"Location": "final"}, "")])
    deliver = Delivery(endpoint.url)
    assert deliver().id == "abc123"
    assert [request.path for request in endpoint.requests] == ["/api/snapshots", "/v2/snapshots?a=1", "/v2/final"]
    assert {request.method for request in endpoint.requests} == {"POST"}
    assert len({(request.headers["Authorization"], request.body) for request in endpoint.requests}) == 1


def test_a_loop_of_redirects_ends(endpoint: Endpoint) -> None:
    endpoint.default = Answer(307, {"Location": "/again"})
    assert Delivery(endpoint.url).failure() == "too many redirects"
    assert len(endpoint.requests) == 6


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304])
def test_redirects_that_would_lose_the_snapshot_are_errors(endpoint: Endpoint, status: int) -> None:
    endpoint.default = Answer(status, {"Location": "/elsewhere?token=CANARY", "Content-Length": "0"}, "")
    deliver = Delivery(endpoint.url)
    text = deliver.failure()
    assert text.startswith(f"{status} ") and text.endswith(" not followed") and "CANARY" not in text
    assert (len(endpoint.requests), deliver.waits) == (1, [])


@pytest.mark.parametrize("status", [301, 307, 308])
@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "http://localhost:{port}@127.0.0.1:{port}/x"]
)
def test_nothing_travels_to_another_origin(endpoint: Endpoint, status: int, location: str) -> None:
    elsewhere = Endpoint()
    port = elsewhere.url.split(":")[2].split("/")[0]
    endpoint.default = Answer(status, {"Location": location.format(port=port)})
    text = Delivery(endpoint.url).failure()
    elsewhere.down()
    assert f"redirect to http://127.0.0.1:{port} not followed" in text
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "location", ["", "http://[", "http://localhost:99999/", "https://localhost/", "file:///etc/passwd"]
)
def test_senseless_redirects_are_errors(endpoint: Endpoint, location: str) -> None:
    endpoint.default = Answer(307, {"Location": location})
    assert Delivery(endpoint.url).failure().startswith("307 Temporary Redirect: redirect")


def test_netrc_does_not_replace_the_token(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine localhost login eve password wrong\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    Delivery(endpoint.url)()
    assert endpoint.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
    heads: list[bytes] = []

    def proxy(connection: socket.socket, number: int) -> None:
        heads.append(read_request(connection)[0])
        connection.sendall(plain_answer())

    with raw_server(proxy) as url:
        monkeypatch.setenv("http_proxy", url)
        assert Delivery("http://endpoint.invalid/api/snapshots")().id == "abc123"
        monkeypatch.setenv("no_proxy", "localhost")
        Delivery(endpoint.url)()
    assert [head.split(b" HTTP/1.1")[0] for head in heads] == [b"POST http://endpoint.invalid/api/snapshots"]
    assert len(endpoint.requests) == 1


def test_a_tls_endpoint_behind_a_proxy(monkeypatch: pytest.MonkeyPatch, tls_endpoint: Endpoint) -> None:
    heads: list[bytes] = []

    def tunnel(connection: socket.socket, number: int) -> None:
        heads.append(read_request(connection)[0])
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("localhost", int(tls_endpoint.url.split(":")[2].split("/")[0]))) as onward:
            threading.Thread(target=_pump, args=(onward, connection), daemon=True).start()
            _pump(connection, onward)

    with raw_server(tunnel) as url:
        monkeypatch.setenv("https_proxy", url)
        deliver = Delivery(tls_endpoint.url, tls_endpoint.ca_file)
        deliver()
        deliver()
        deliver.uploader.close()
    assert len(heads) == 1 and heads[0].startswith(b"CONNECT localhost:")
    assert TOKEN.encode() not in heads[0]
    assert len(tls_endpoint.requests) == 2


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_private_ca_wins_over_the_environment(tls_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Delivery(tls_endpoint.url).failure().startswith("certificate verify failed: ")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    assert Delivery(tls_endpoint.url, tls_endpoint.ca_file)().id == "abc123"
    assert "CA certificates cannot be used" in Delivery(tls_endpoint.url).failure()


def test_a_ca_file_that_is_none(tls_endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing of the kind")
    missing = Delivery(tls_endpoint.url, str(tmp_path / "missing.pem"))
    assert missing.failure() == f"ca_file {tmp_path}/missing.pem: No such file or directory"
    told = Delivery(tls_endpoint.url, str(tmp_path / "ca.pem")).failure()
    assert told == f"ca_file {tmp_path}/ca.pem holds no certificate (PEM)"
    assert tls_endpoint.requests == []


def test_kept_alive_connections_are_reused(endpoint: Endpoint) -> None:
    endpoint.script([Answer(body={"id": "x" * n}) for n in (1, 1000, 40000)])
    deliver = Delivery(endpoint.url)
    for _ in range(3):
        deliver()
    assert {request.connection for request in endpoint.requests} == {1}


def test_a_connection_closed_while_idle_costs_no_attempt(endpoint: Endpoint) -> None:
    deliver = Delivery(endpoint.url)
    deliver()
    endpoint.down()
    endpoint.up()
    assert deliver().id == "abc123"
    assert deliver.waits == []


def test_a_kept_alive_connection_that_goes_at_the_request_costs_no_attempt() -> None:
    bodies: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        bodies.append(read_request(connection)[1])
        connection.sendall(plain_answer())
        if number == 1:
            bodies.append(read_request(connection)[1])  # and closes without an answer

    with raw_server(serve) as url:
        deliver = Delivery(url)
        deliver()
        deliver()
    assert deliver.waits == []
    assert len(bodies) == 3 and len(set(bodies)) == 1


def test_a_reset_right_after_the_request_is_retried(endpoint: Endpoint) -> None:
    endpoint.script([Answer(reset=True), Answer(reset=True)])
    deliver = Delivery(endpoint.url)
    assert deliver().id == "abc123"
    assert [retry[3] for retry in deliver.retries] == ["connection reset", "connection reset"]
    assert len({(request.headers["Idempotency-Key"], request.body) for request in endpoint.requests}) == 1


def test_an_answer_is_read_to_64_kib(endpoint: Endpoint) -> None:
    endpoint.script(
        [Answer(body=b'{"id": "' + b"x" * 10_000_000), Answer(body=b" " * (MAX_ANSWER_BYTES - 9) + b'{"id": 1}')]
    )
    deliver = Delivery(endpoint.url)
    assert deliver() == Receipt()
    assert deliver().id == "1"
    deliver()
    first, second, third = (request.connection for request in endpoint.requests)
    assert first != second == third


def test_a_compressed_answer_is_read_but_no_bomb(endpoint: Endpoint) -> None:
    bomb = gzip.compress(b'{"id": 1}' + b" " * 200_000_000)
    small = gzip.compress(b'{"id": 2}')
    headers = {"Content-Encoding": "gzip"}
    endpoint.script([Answer(200, headers, bomb[:60000]), Answer(200, headers, small), Answer(200, headers, b"no gzip")])
    deliver = Delivery(endpoint.url)
    assert [deliver().id for _ in range(3)] == ["1", "2", None]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "connection closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "answer cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "answer cut short"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, "not an HTTP answer"),
    ],
)
def test_broken_answers_are_retried(answer: bytes, cause: str) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(answer)

    with raw_server(serve) as url:
        assert Delivery(url).failure(Retryable) == cause


def test_a_redirects_body_is_not_read_either(endpoint: Endpoint) -> None:
    sent: list[int] = []

    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 900000000\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with raw_server(serve) as url:
        assert Delivery(url).failure().startswith("301 ")
    assert sum(sent) < 20_000_000  # what the system's buffers take


def test_nothing_of_a_reason_or_of_cookies_is_taken_over() -> None:
    heads: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        heads.append(read_request(connection)[0])
        connection.sendall(plain_answer(b"", f"503 \x1b[31mEvil {TOKEN}", "Set-Cookie: a=b; path=/\r\n"))

    with raw_server(serve) as url:
        assert Delivery(url).failure(Retryable) == "503 Service Unavailable"
    assert len(heads) == 4 and b"Cookie" not in b"".join(heads)


def test_causes_of_the_network() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert Delivery(f"http://127.0.0.1:{port}/?key=CANARY").failure(Retryable) == "connection refused"
        assert Delivery(f"http://127.0.0.1:{port}/").retries == []
    unknown = Delivery("http://endpoint.invalid/").failure(Retryable)
    assert unknown in (
        "name or service not known",
        "temporary failure in name resolution",
        "no address associated with hostname",
    )
    Delivery("http://" + "a" * 80 + ".invalid/").failure()


def test_a_tls_request_to_a_plain_endpoint(endpoint: Endpoint) -> None:
    assert Delivery(endpoint.url.replace("http:", "https:")).failure(Retryable).startswith("TLS failed: ")


def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def proxy(connection: socket.socket, number: int) -> None:
        read_request(connection)
        connection.sendall(plain_answer(b"", "407 Proxy Authentication Required"))

    with raw_server(proxy) as url:
        monkeypatch.setenv("http_proxy", url.replace("//", "//user:CANARY@"))
        monkeypatch.setenv("https_proxy", url)
        assert Delivery("http://endpoint.invalid/").failure() == "407 Proxy Authentication Required"
        told = Delivery("https://endpoint.invalid/").failure(Retryable)
    assert told == "proxy: tunnel connection failed: 407 Proxy Authentication Required"


def test_the_other_errors_context_is_not_taken_for_the_cause() -> None:
    def serve(connection: socket.socket, number: int) -> None:
        read_request(connection)

    with raw_server(serve) as url:
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError:
            assert Delivery(url).failure(Retryable) == "connection closed without an answer"


def test_nagle_is_off_and_keep_alive_on(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
    options: list[tuple[int, int]] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        options.append(
            (
                self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                self.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            )
        )
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    Delivery(endpoint.url)()
    assert options and all(nodelay and keepalive for nodelay, keepalive in options)


def test_many_at_once_over_a_bounded_number_of_connections(endpoint: Endpoint) -> None:
    deliver = Delivery(endpoint.url)
    endpoint.default = Answer(wait_s=0.02)
    receipts: list[Receipt] = []
    threads = [threading.Thread(target=lambda: receipts.append(deliver.uploader.post(parcel()))) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 60
    assert len({request.headers["Idempotency-Key"] for request in endpoint.requests}) == 60
    assert len({request.connection for request in endpoint.requests}) <= 16


def test_many_tls_connections_share_the_cas(tls_endpoint: Endpoint) -> None:
    def contexts() -> list[ssl.SSLContext]:
        return [each for each in gc.get_objects() if isinstance(each, ssl.SSLContext)]

    # Held while counting: one of an earlier test's that goes meanwhile would be counted as one less.
    deliver, before = Delivery(tls_endpoint.url, tls_endpoint.ca_file), contexts()
    tls_endpoint.default = Answer(wait_s=0.2)
    threads = [threading.Thread(target=lambda: deliver.uploader.post(parcel())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({request.connection for request in tls_endpoint.requests}) > 1
    assert len([each for each in contexts() if each not in before]) == 1


def test_a_new_bundle_counts_from_the_next_connection_on(
    tls_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    bundle.write_text("nothing of the kind")
    deliver = Delivery(tls_endpoint.url)
    for _ in range(5):  # of four attempts each: none of the 16 connections is lost by them
        assert deliver.failure(Retryable).startswith("TLS failed: no certificate")
    bundle.write_bytes(Path(tls_endpoint.ca_file).read_bytes())
    assert deliver().id == "abc123"
    tls_endpoint.down()  # its connections end with it
    bundle.write_text("nothing of the kind")
    tls_endpoint.up()
    assert deliver.failure(Retryable).startswith("TLS failed: no certificate")


def test_a_first_burst_refused_for_its_compression_is_sent_plain(endpoint: Endpoint) -> None:
    deliver = Delivery(endpoint.url)
    endpoint.script([Answer(400, wait_s=0.3)] * 5)
    threads = [threading.Thread(target=deliver.uploader.post, args=(parcel(),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(endpoint.snapshots) == 5


def test_the_token_file_is_read_anew_between_two_deliveries(endpoint: Endpoint, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("token-number-one\n")
    uploader = Uploader(config.Endpoint(endpoint.url, token_file=str(path)))
    uploader.post(parcel())
    path.write_text("token-number-three\n")
    uploader.post(parcel())
    path.unlink()
    with pytest.raises(DeliveryError, match="token_file .*No such file"):
        uploader.post(parcel())
    assert [request.headers["Authorization"] for request in endpoint.requests] == [
        "Bearer token-number-one",
        "Bearer token-number-three",
    ]


def test_probing_stores_nothing(endpoint: Endpoint) -> None:
    endpoint.script([405, 200, 401])
    probe = Delivery(endpoint.url).uploader.probe
    assert [probe(), probe()] == ["405 Method Not Allowed", "200 OK"]
    with pytest.raises(Unauthorized, match="401 Unauthorized"):
        probe()
    assert {(request.method, request.body) for request in endpoint.requests} == {("GET", b"")}
