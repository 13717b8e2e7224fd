"""HTTP's small print: methods, what is packed for whom, and what is told when something goes wrong inside."""

import gzip
import json
import sqlite3

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, snapshot
from tests.receiver.store.documents import document, many
from tests.waiting import wait_for

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("path", "others", "allowed"),
    [
        ("/healthz", ("POST", "DELETE"), "GET, HEAD"),
        ("/readyz", ("POST", "DELETE"), "GET, HEAD"),
        ("/metrics", ("PUT",), "GET, HEAD"),
        ("/api/databases", ("POST", "PATCH", "HEADGET"), "GET, HEAD"),
        ("/api/snapshots", ("GET", "HEAD", "PUT"), "POST"),
        ("/login", ("PUT",), "GET, POST, HEAD"),
    ],
)
def test_other_methods_are_told_which_there_are(
    shared: Client, path: str, others: tuple[str, ...], allowed: str
) -> None:
    for method in others:
        answer = shared.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed), method


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/databases", "/"])
def test_head_is_get_without_a_body(shared: Client, path: str) -> None:
    answer = shared.ask("HEAD", path)
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("GZIP ; q=1.0", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("*, gzip;q=0.000", False),
        ("identity", False),
        ("xgzip", False),
        ("", False),
    ],
)
def test_what_is_packed_for_whom(shared: Client, accepted: str, is_packed: bool) -> None:
    for path in ("/api/openapi.json", shared.get("/").text.partition('rel="stylesheet" href="')[2].partition('"')[0]):
        answer = shared.get(path, Accept_Encoding=accepted)
        assert answer.headers["vary"] == "Accept-Encoding", "whether it is packed or not: a cache is to know"
        assert (answer.headers.get("content-encoding") == "gzip") == is_packed
        assert (gzip.decompress(answer.body) if is_packed else answer.body) == shared.get(path).body


def test_what_is_never_packed_does_not_vary(shared: Client) -> None:
    assert "vary" not in shared.get("/healthz", Accept_Encoding="gzip").headers


def test_an_id_is_the_same_in_capitals(shared: Client) -> None:
    made = json.loads(snapshot().body())
    made["snapshot_id"] = made["snapshot_id"].upper()
    body = json.dumps(made).encode()
    receipt = shared.post(body, Idempotency_Key=made["snapshot_id"]).json
    assert receipt["id"] == made["snapshot_id"].lower()
    for identity in (receipt["id"], made["snapshot_id"]):
        assert shared.get(f"/api/snapshots/{identity}").body == body


def test_an_error_inside_is_told_and_costs_one_answer(receiver: Client, cli: Cli) -> None:
    receiver.post(json.dumps(document(1e9, locks=many([]))).encode())
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db") as store:
        store.execute("UPDATE source SET tags = 'no JSON'")
    answer = receiver.get("/api/databases")
    assert (answer.status, answer.json) == (500, {"error": "internal error: the receiver's log says more"})
    page = receiver.get("/")
    assert (page.status, page.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert page.headers["content-security-policy"]
    assert receiver.get("/healthz").status == 200
    [told, *_] = wait_for(lambda: receiver.running.errors, "the log tells nothing")
    assert told.startswith("pgdoctor: internal error: JSONDecodeError: ")
