import re
import time

from pgdoctor_lib.snapshot import CollectorError, Unreachable
from tests.receiver.client import Client, snapshot

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e\nend"


def test_the_empty_page_teaches_and_tells_no_token(receiver: Client) -> None:
    page = receiver.get("/").text
    assert f"PGDOCTOR_ENDPOINT=http://127.0.0.1:{receiver.port}/api/snapshots" in page
    assert "PGDOCTOR_TOKEN" in page
    assert "a-token-for" not in page


def test_home_shows_the_worst_first(receiver: Client) -> None:
    receiver.post(snapshot("fine").body())
    receiver.post(snapshot("silent", ago_s=200).body())
    receiver.post(snapshot("partial", errors=(CollectorError("replication", "permission denied"),)).body())
    page = receiver.get("/").text
    assert re.findall(r'<th scope="row"><a href="/databases/[0-9a-f]{12}">(\w+)</a>', page) == [
        "silent",
        "partial",
        "fine",
    ]
    assert "no data for 3 min" in page
    assert "1 error<" in page
    assert "3.9 GiB" in page


def test_of_what_sends_nothing_its_agent_tells_why_in_others_snapshots(receiver: Client) -> None:
    now = time.time()
    silent = receiver.post(snapshot("silent", ago_s=400).body()).json["source_id"]
    receiver.post(snapshot("recovered", ago_s=1).body())
    fails = [Unreachable(name, now - 300, "connection refused") for name in ("silent", "recovered", HOSTILE)]
    receiver.post(snapshot("fine", unreachable=tuple(fails)).body())
    home = receiver.get("/").text
    assert "4 databases: " in home
    assert "1 never seen" in home
    assert home.count("its agent on mon-1 tells: connection refused, for 5 min") == 2
    assert "Its agent on mon-1 tells: connection refused, for 5 min." in receiver.get(f"/databases/{silent}").text
    row = '<span class="state stale">never seen</span>'
    assert row in receiver.get("/?q=script").text
    assert row not in receiver.get("/?q=fine").text
    assert "<script>alert" not in home


def test_a_database_shows_what_its_snapshots_hold(shared: Client) -> None:
    denied = CollectorError("replication", "permission denied", "GRANT pg_monitor TO pgdoctor;")
    for ago in (120, 60, 0):
        taken = shared.post(snapshot("growing", ago_s=ago, size_bytes=10**9 - ago * 10**6, errors=(denied,)).body())
    base = f"/databases/{taken.json['source_id']}"
    page = shared.get(base).text + shared.get(f"{base}/snapshots").text
    server = ("PostgreSQL 15.18", "mon-1", 'class="line c0"', "MiB</span>", "by_state: active", taken.json["id"])
    error = ("permission denied", "GRANT pg_monitor TO pgdoctor;")
    assert [shown for shown in (*server, *error) if shown not in page] == []


def test_hostile_text_is_shown_and_does_nothing(shared: Client) -> None:
    errors = (CollectorError(HOSTILE, HOSTILE, HOSTILE),)
    taken = shared.post(snapshot(HOSTILE, query=HOSTILE, errors=errors, tags={HOSTILE: HOSTILE}).body())
    assert taken.status == 201
    for path in ("/", f"/databases/{taken.json['source_id']}"):
        page = shared.get(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "\\x1b[31m\\u202e" in page
        assert not re.search("<script>|[\x00-\x1f\x7f-\x9f\u202a-\u202e]", page)
    listed = shared.get("/api/databases")
    assert b"<" not in listed.body
    assert listed.json["databases"][0]["name"] == HOSTILE


def test_addresses_and_methods(shared: Client) -> None:
    unknown = "0" * 12
    for path in (
        "/nothing",
        "/databases/x",
        f"/databases/{unknown}",
        "/../etc/passwd",
        "/%2e%2e/",
        "//",
        "/databases/x/",
        f"/databases/{unknown}/queries",
        f"/databases/{unknown}/nothing",
        "/style.css",
    ):
        answer = shared.get(path)
        assert (answer.status, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    for path in (
        "/api/x",
        f"/api/databases/{unknown}/snapshots",
        "/api/snapshots/01930000-0000-7000-8000-000000000000",
    ):
        answer = shared.get(path)
        assert (answer.status, list(answer.json)) == (404, ["error"])
    for method, path in (
        ("DELETE", "/"),
        ("POST", "/"),
        ("GET", "/api/snapshots"),
        ("PUT", "/api/databases"),
        ("BREW", "/"),
    ):
        answer = shared.ask(method, path)
        assert answer.status == 405
        assert "allow" in answer.headers
    for limit in ("0", "-1", "1001", "x", "99999", ""):
        source = shared.post(snapshot().body()).json["source_id"]
        assert shared.get(f"/api/databases/{source}/snapshots?limit={limit}").status == 400
    assert shared.ask("HEAD", "/").body == b""
    assert shared.get("/healthz").text == "ok\n"
