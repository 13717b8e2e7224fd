import gzip
import json
import time
import zlib
from typing import Any

import pytest

from pgdoctor_lib.receiver.intake import receive
from pgdoctor_lib.receiver.wire import Rejected
from tests.receiver.client import TOKEN, Client, everything, head, snapshot, status_of


def test_a_snapshot_is_taken_once(receiver: Client) -> None:
    body = snapshot().body()
    first = receiver.post(body)
    assert first.status == 201
    assert first.json["id"] == json.loads(body)["snapshot_id"]
    again = receiver.post(body)
    assert (again.status, again.json) == (409, first.json)
    assert len(receiver.get(f"/api/databases/{first.json['source_id']}/snapshots").json["snapshots"]) == 1


def test_the_first_body_under_an_id_stays(shared: Client) -> None:
    document = json.loads(snapshot().body())
    shared.post(json.dumps(document).encode())
    other = {**document, "duration_ms": 99.5}
    assert shared.post(json.dumps(other).encode()).status == 409
    assert shared.get(f"/api/snapshots/{document['snapshot_id']}").json == document


def test_it_comes_back_as_it_was_sent(shared: Client) -> None:
    sent = snapshot(name="Prüfung \u202e 🐘", query="SELECT '\x1b[31m'").body()
    taken = shared.post_plain(sent)
    assert shared.get(f"/api/snapshots/{taken.json['id']}").body == sent


def test_one_name_is_one_database(receiver: Client) -> None:
    ids = {receiver.post(snapshot(name).body()).json["source_id"] for name in ("a", "a", "b")}
    assert len(ids) == 2
    assert [found["name"] for found in receiver.get("/api/databases").json["databases"]] == ["a", "b"]


def test_a_late_snapshot_does_not_replace_a_newer_one(receiver: Client) -> None:
    newer, older = snapshot(size_bytes=2000), snapshot(ago_s=3600, size_bytes=1000)
    for each in (newer, older):
        assert receiver.post(each.body()).status == 201
    [found] = receiver.get("/api/databases").json["databases"]
    assert (found["snapshot_id"], found["size_bytes"], found["active_sessions"]) == (newer.snapshot_id, 2000, 3)
    lines = receiver.get(f"/api/databases/{found['id']}/snapshots?limit=1").json["snapshots"]
    assert [line["id"] for line in lines] == [newer.snapshot_id]


def test_the_idempotency_key_is_the_snapshots_id(shared: Client) -> None:
    sent = snapshot()
    assert shared.post(sent.body(), Idempotency_Key="0193-other").status == 400
    assert shared.post(sent.body(), Idempotency_Key=sent.snapshot_id).status == 201


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_nothing_is_taken_without_the_token(receiver: Client, authorization: str) -> None:
    answer = receiver.post(snapshot().body(), Authorization=authorization)
    assert answer.status == 401
    assert "error" in answer.json
    assert receiver.get("/api/databases").json["databases"] == []


def _changed(**change: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(snapshot().body())
    for key, value in change.items():
        if value is None:
            del document[key]
        else:
            document[key] = value
    return document


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema_version": None}, "schema_version"),
        ({"schema_version": 2}, "schema_version"),
        ({"schema_version": True}, "schema_version"),
        ({"snapshot_id": None}, "snapshot_id"),
        ({"snapshot_id": "abc"}, "snapshot_id"),
        ({"snapshot_id": 7}, "snapshot_id"),
        ({"collected_at": None}, "collected_at"),
        ({"collected_at": "yesterday"}, "collected_at"),
        ({"collected_at": "2024-01-15T10:00:00"}, "collected_at"),
        ({"collected_at": 1e400}, "JSON"),
        ({"database": None}, "database"),
        ({"database": []}, "database"),
        ({"database": {"name": ""}}, "database.name"),
        ({"database": {"name": 5}}, "database.name"),
        ({"database": {"name": "x" * 501}}, "database.name"),
    ],
)
def test_what_identifies_a_snapshot_must_be_there(shared: Client, change: dict[str, Any], field: str) -> None:
    answer = shared.post(json.dumps(_changed(**change)).encode())
    assert answer.status == (400 if field == "JSON" else 422)
    assert field in answer.json["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"meta": None, "agent": None, "sections": None, "errors": None, "top_queries": None},
        {"meta": 1, "agent": [], "sections": "x", "errors": {}, "top_queries": {"a": 1}},
        {"database": {"name": "a\x00b", "tags": 5, "interval_s": "often"}},
        {"database": {"name": "\ud800", "tags": {"\udfff": None}, "interval_s": -1e308}},
        {"sections": {"database": {"size_bytes": 10**30}, "activity": {"total": {"by_state": None}}, "x": None}},
        {"sections": {"database": {"size_bytes": -5.5}, "tables": {"rows": [], "total": []}}},
        {"top_queries": [None, {}, {"normalized_query": 5, "calls": "many", "total_exec_time_ms": True}]},
        {"errors": ["x", {"collector": None, "error": {"a": 1}}], "collected_at": "9999-12-31T23:59:59Z"},
    ],
)
def test_the_rest_is_taken_as_it_comes_and_can_be_shown(shared: Client, change: dict[str, Any]) -> None:
    answer = shared.post(json.dumps(_changed(**change)).encode())
    assert answer.status == 201, answer.body
    for page in ("/", f"/databases/{answer.json['source_id']}", "/api/databases"):
        assert shared.get(page).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"5", 422),
        (b"\xff\xfe{}", 400),
        ('{"a": "ä"}'.encode("utf-16"), 400),
        (b'{"schema_version": NaN}', 400),
        (b"[" * 100_000, 400),
        (b"1" * 401, 400),
        (b"[" + b"1" * 4200 + (b"," + b"1" * 4200) * 1000 + b"]", 400),
        (b"[" + b'{"a":1},' * 100_000 + b"0]", 413),
        (b"[" + b'{"a":"b"},' * 100_000 + b"0]", 413),
        (b"[" + b'"",' * 800_000 + b'""]', 413),
        (b'["' + b'\\\\",{"a":1},"' * 100_000 + b'"]', 413),
        (b"[]]", 400),
        (b"}" * 1_000_000, 400),
        (b'"' + b"x" * 16 * 1024**2 + b'"', 413),
    ],
)
def test_what_is_not_json(shared: Client, body: bytes, status: int) -> None:
    answer = shared.post(body)
    assert (answer.status, list(answer.json)) == (status, ["error"])


def test_gzip_is_checked(shared: Client) -> None:
    packed = gzip.compress(snapshot().body())
    for broken in (
        b"",
        b"no gzip",
        packed[:-4],
        packed[: len(packed) // 2],
        packed + b"x",
        packed[:30] + b"????" + packed[34:],
    ):
        assert shared.post_plain(broken, Content_Encoding="gzip").status == 400
    assert shared.post_plain(packed, Content_Encoding="br").status == 415
    assert shared.post_plain(packed, Content_Encoding="gzip").status == 201


def test_a_snapshot_of_very_many_values_is_taken(shared: Client) -> None:
    rows = [{"name": f"table_{n}", "rows": n, "size_bytes": n * 8192, "bloat": n / 7} for n in range(35_000)]
    query = {"normalized_query": r"[\",{" * 2000 + "\\"}
    document = _changed(sections={"tables": {"rows": rows}}, top_queries=[query] * 200)
    assert shared.post(json.dumps(document).encode()).status == 201


@pytest.mark.parametrize("bracket", [b"[", b"]", b"{", b"}", b"[]", b"{},"])
def test_brackets_hold_nobody_up(bracket: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(Rejected):
        receive(bracket * (16 * 1024**2 // len(bracket)), "", None)
    assert time.process_time() - begun < 0.4


def test_a_gzip_bomb_costs_little(receiver: Client) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * 1024**2) for _ in range(256)) + packer.flush()  # 256 MiB in 256 KiB
    assert receiver.post_plain(bomb, Content_Encoding="gzip").status == 413
    assert _peak_bytes(receiver) < 220 * 1024**2
    assert receiver.post(snapshot().body()).status == 201


def _peak_bytes(receiver: Client) -> int:
    with open(f"/proc/{receiver.running.pid}/status", encoding="ascii") as file:
        [peak] = [line for line in file if line.startswith("VmHWM")]
    return int(peak.split()[1]) * 1024


@pytest.mark.parametrize("length", ["8388609", "99999999999"])
def test_too_long_is_refused_before_it_is_read(shared: Client, length: str) -> None:
    with shared.connect() as connection:
        connection.sendall(head(length) + b"x" * 1000)
        assert status_of(connection.recv(65536)) == 413


def test_too_long_in_chunks_is_refused_while_it_is_read(shared: Client) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    with shared.connect() as connection:  # and not shut down, so that the receiver waits for more
        connection.sendall(head(extra="Transfer-Encoding: chunked") + chunk * 130)
        assert status_of(connection.recv(65536)) == 413


@pytest.mark.parametrize("size", [9_000_000, 50_000_000])
def test_whoever_sends_too_much_is_told(shared: Client, size: int) -> None:
    answer = shared.post_plain(bytes(size))
    assert (answer.status, answer.json) == (413, {"error": "the body is over 8388608 bytes"})


def test_too_long_is_refused_before_it_is_sent(shared: Client) -> None:
    with shared.connect() as connection:
        connection.sendall(head("9000000", "Expect: 100-continue"))
        assert status_of(connection.recv(65536)) == 413
        connection.shutdown(1)
        assert b"100 Continue" not in everything(connection)


def test_chunks_are_taken(shared: Client) -> None:
    body = snapshot().body()
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + 100]), body[at : at + 100]) for at in range(0, len(body), 100)
    )
    answer = shared.raw(head(extra="Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
    assert status_of(answer) == 201


def test_a_body_that_ends_early_stores_nothing(receiver: Client) -> None:
    with receiver.connect() as connection:
        connection.sendall(head("5000") + snapshot().body()[:300])
        connection.shutdown(1)
        assert status_of(connection.recv(65536)) == 400
    assert receiver.get("/api/databases").json["databases"] == []


def test_expect_100_continue(shared: Client) -> None:
    body = snapshot().body()
    with shared.connect() as connection:
        connection.sendall(head(str(len(body)), "Expect: 100-continue"))
        assert status_of(connection.recv(65536)) == 100
        connection.sendall(body)
        assert status_of(connection.recv(65536)) == 201


def test_what_is_asked_less_often_is_no_error() -> None:
    document = json.loads(snapshot().body())
    document["errors"] = [{"collector": "budget", "error": "asked for less often: tables"}]
    taken = receive(json.dumps(document).encode(), "", None)
    assert (taken.errors, taken.summary["errors"][0]["collector"]) == (0, "budget")
