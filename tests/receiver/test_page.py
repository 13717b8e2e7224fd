import re

from pgdoctor_lib.snapshot import CollectorError
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
    assert re.findall(r'<a href="/databases/[0-9a-f]{12}">(\w+)</a>', page) == ["silent", "partial", "fine"]
    assert "no data for 3 min" in page
    assert "1 error<" in page
    assert "3.9 GiB" in page
    assert "SELECT $1" in page


def test_a_database_shows_what_its_snapshots_hold(shared: Client) -> None:
    denied = CollectorError("replication", "permission denied", "GRANT pg_monitor TO pgdoctor;")
    for ago in (120, 60, 0):
        taken = shared.post(snapshot("growing", ago_s=ago, size_bytes=10**9 - ago * 10**6, errors=(denied,)).body())
    page = shared.get(f"/databases/{taken.json['source_id']}").text
    server = ("PostgreSQL 15.18", "mon-1", "<polyline", "MiB</text>", "by_state: active", taken.json["id"])
    query = ("SELECT $1", "1\u202f523", "45.1 s", "29.61 ms", "30\u202f460")
    error = ("permission denied", "GRANT pg_monitor TO pgdoctor;")
    assert [shown for shown in (*server, *query, *error) if shown not in page] == []


def test_hostile_text_is_shown_and_does_nothing(shared: Client) -> None:
    errors = (CollectorError(HOSTILE, HOSTILE, HOSTILE),)
    taken = shared.post(snapshot(HOSTILE, query=HOSTILE, errors=errors, tags={HOSTILE: HOSTILE}).body())
    assert taken.status == 201
    for path in ("/", f"/databases/{taken.json['source_id']}"):
        page = shared.get(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "\\x1b[31m\\u202e" in page
        assert not re.search("<script|[\x00-\x1f\x7f-\x9f\u202a-\u202e]", page)
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
        "/databases/",
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
        expected = 200 if limit == "" else 400
        assert shared.get(f"/api/databases/{source}/snapshots?limit={limit}").status == expected
    assert shared.ask("HEAD", "/").body == b""
    assert shared.get("/healthz").text == "ok\n"
    assert shared.get("/style.css").headers["content-type"].startswith("text/css")
