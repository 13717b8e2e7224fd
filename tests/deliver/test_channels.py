"""Notices to real HTTP endpoints and real commands: what they get, and what is said of those that fail."""

import json
from pathlib import Path

import pytest

from pgdoctor_lib.config.dsn import Command
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.deliver.channels import send
from pgdoctor_lib.deliver.notices import Notice, notices, trial
from pgdoctor_lib.errors import DeliveryError, Refused, Retryable
from pgdoctor_lib.secret import Secret
from pgdoctor_lib.snapshot import Agent
from tests.fix_endpoint import Answer, Endpoint
from tests.waiting import wait_for

AT = 1_800_000_000.0
AGENT = Agent("1.2.3", "mon-1", 42)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, bundle or netrc of the machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle", "netrc"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def notice() -> Notice:
    [made] = notices("webhook", [trial(AGENT, AT)], AGENT, AT)
    return made


def webhook(endpoint: Endpoint, **more: object) -> Channel:
    return Channel("webhook", "webhook", Secret(f"{endpoint.url}?key=canary"), **more)  # type: ignore[arg-type]


def command(script: str) -> Channel:
    return Channel("command", "command", command=Command(("/bin/sh", "-c", script)))


def test_what_a_webhook_gets(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine localhost login u password canary-netrc\n")
    (tmp_path / ".netrc").chmod(0o600)
    told = notice()
    channel = webhook(endpoint, headers={"X-Token": Secret("canary-header")})
    assert send(channel, told, AT) == "200 OK"
    [request] = endpoint.requests
    assert (request.method, request.path) == ("POST", "/api/snapshots?key=canary")
    assert request.json == told.document
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == told.id
    assert request.headers["X-Token"] == "canary-header"
    assert request.headers["Authorization"] is None


def test_a_webhooks_token(endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "token"
    for token in ("canary-first", "canary-second"):
        file.write_text(f"{token}\n")
        send(webhook(endpoint, token_file=str(file)), notice(), AT)
        assert endpoint.requests[-1].headers["Authorization"] == f"Bearer {token}"
    file.unlink()
    with pytest.raises(DeliveryError, match="token_file .*: No such file"):
        send(webhook(endpoint, token_file=str(file)), notice(), AT)
    send(webhook(endpoint, token=Secret("canary-third")), notice(), AT)
    assert endpoint.requests[-1].headers["Authorization"] == "Bearer canary-third"


def test_what_is_no_notice_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(Refused, match="^what was kept is no notice$"):
        send(Channel("slack", "slack", Secret(endpoint.url)), Notice("x", '{"id": "x"}'), AT)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("answer", "family", "text"),
    [
        (500, Retryable, "500 Internal Server Error"),
        (429, Retryable, "429 Too Many Requests"),
        (403, DeliveryError, "403 Forbidden"),
        (404, DeliveryError, "404 Not Found"),
        (302, DeliveryError, "302 Found"),
        (400, Refused, "400 Bad Request"),
        (413, Refused, "413 "),
        (Answer(reset=True), Retryable, "connection reset"),
    ],
)
def test_answers(endpoint: Endpoint, answer: int | Answer, family: type[DeliveryError], text: str) -> None:
    endpoint.script([answer, answer])
    with pytest.raises(family) as failed:
        send(webhook(endpoint), notice(), AT)
    assert str(failed.value).startswith(text)
    assert isinstance(failed.value, Refused) is (family is Refused)


def test_a_pause_is_heeded(endpoint: Endpoint) -> None:
    endpoint.script([Answer(429, {"Retry-After": "7"})])
    with pytest.raises(Retryable) as failed:
        send(webhook(endpoint), notice(), AT)
    assert failed.value.retry_after_s == 7


def test_no_redirect_is_followed(endpoint: Endpoint) -> None:
    endpoint.script([Answer(307, {"Location": endpoint.url})])
    with pytest.raises(DeliveryError):
        send(webhook(endpoint), notice(), AT)
    assert len(endpoint.requests) == 1


def test_nobody_there(endpoint: Endpoint) -> None:
    channel = webhook(endpoint)
    endpoint.down()
    with pytest.raises(Retryable, match="^connection refused$"):
        send(channel, notice(), AT)


def test_one_that_never_answers(endpoint: Endpoint) -> None:
    endpoint.script([Answer(wait_s=60)])
    with pytest.raises(Retryable, match=r"^timed out after 0\.3 s$"):
        send(webhook(endpoint), notice(), AT, 0.3)


def test_tls(tls_endpoint: Endpoint) -> None:
    assert send(webhook(tls_endpoint, ca_file=tls_endpoint.ca_file), notice(), AT) == "200 OK"
    with pytest.raises(DeliveryError, match="certificate verify failed"):
        send(webhook(tls_endpoint), notice(), AT)


def test_a_proxy_is_used(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", endpoint.url.removesuffix("/api/snapshots"))
    send(Channel("webhook", "webhook", Secret("http://alerts.example/path")), notice(), AT)
    assert endpoint.requests[0].path == "http://alerts.example/path"


def test_what_a_command_gets(tmp_path: Path) -> None:
    told = notice()
    assert send(command(f"cat > {tmp_path}/told; echo canary; pwd > {tmp_path}/where"), told, AT) == "exit status 0"
    assert json.loads((tmp_path / "told").read_text()) == told.document
    assert (tmp_path / "where").read_text() == "/\n"


def test_commands_that_fail() -> None:
    with pytest.raises(Retryable, match="^exit status 3$"):
        send(command("echo canary >&2; exit 3"), notice(), AT)
    with pytest.raises(Retryable, match="^killed by signal 9$"):
        send(command("kill -9 $$"), notice(), AT)
    with pytest.raises(DeliveryError, match="^no such file or directory$"):
        send(Channel("command", "command", command=Command(("/no/such",))), notice(), AT)


def test_a_command_that_does_not_read_is_fine() -> None:
    long = Notice("x", "y" * 1_000_000)
    with pytest.raises(Retryable, match="^not done within"):
        send(command("sleep 600"), long, AT, 0.3)
    assert send(command("sleep 0.1; wc -c >/dev/null"), long, AT) == "exit status 0"
    assert send(command("exit 0"), long, AT) == "exit status 0"


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(Retryable, match=r"^not done within 0\.5 s$"):
        send(command(f"sleep 600 & echo $! > {tmp_path}/pid; wait"), notice(), AT, 0.5)
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not _runs(pid), f"{pid} still runs")


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
