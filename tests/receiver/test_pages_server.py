"""Views of what is rare: a recording, standbys and slots, a database that has fallen silent."""

import json
import re
import time
from typing import Any

from pgdoctor_lib.snapshot import iso_time
from tests.receiver.client import Client, snapshot
from tests.receiver.pages import visit
from tests.receiver.store.documents import document


def post(client: Client, name: str = "rare", **sections: Any) -> str:
    told = {**document(time.time(), name=name), "sections": sections}
    answer = client.post(json.dumps(told).encode())
    assert answer.status == 201, answer.text
    return f"/databases/{answer.json['source_id']}"


def session(pid: int, name: str) -> dict[str, object]:
    return {
        "pid": pid,
        "application_name": name,
        "usename": "app",
        "state": "active",
        "query": "UPDATE orders SET x = $1",
    }


def test_a_recording_is_drawn_second_by_second(receiver: Client) -> None:
    row = {
        "started_at": iso_time(time.time() - 60),
        "ended_at": iso_time(time.time() - 30),
        "is_over": True,
        "samples": [[0, 3, 0], [1, 9, 6], [2, 9, 7], [3, 2, 0]],
        "sessions": [session(1, "nightly"), session(2, "web-1"), session(3, "web-2")],
        "blocked": [
            {"pid": 2, "blocking_pid": 1, "first_s": 1, "last_s": 9, "seen_count": 9},
            {"pid": 3, "blocking_pid": 2, "first_s": 1, "last_s": 4, "seen_count": 4},
            {"pid": 1, "blocking_pid": 3, "first_s": 1, "last_s": 2, "seen_count": 1},
        ],
        "roots": [{"pid": 1, "peak_blocked_count": 2, "seen_count": 9}],
        "waits": {"Lock: transactionid": 12},
    }
    base = post(receiver, recording={"rows": [row], "total": {"count": 1}, "more": 0}, locks={"rows": [], "total": {}})
    text = visit(receiver, f"{base}/locks").text
    for word in (
        "Nobody waits for a lock",
        "Recorded second by second",
        "nightly",
        "waited 8 s",
        "web-2",
        "from second 1 to 4",
    ):
        assert word in text, word


def test_replication_is_drawn_with_what_is_missing(receiver: Client) -> None:
    sender = {
        "pid": 7,
        "application_name": "replica-1",
        "client_addr": "10.0.0.2",
        "state": "streaming",
        "slot_name": "r1",
    }
    lags = {f"{key}_lag_bytes": -500 for key in ("sent", "write", "flush")}
    slot = {"slot_name": "left_behind", "slot_type": "physical", "active": False, "retained_bytes": 5 * 1024**3}
    replication = {
        "in_recovery": False,
        "lsn": "0/5000000",
        "senders": [{**sender, **lags, "sync_state": "sync", "replay_lag_bytes": 2**20, "replay_lag_s": 1.5}],
        "slots": [slot],
    }
    base = post(receiver, replication=replication, slots={"rows": [slot], "total": {"count": 1}, "more": 0})
    text = visit(receiver, f"{base}/replication").text
    for word in ("replica-1 (10.0.0.2)", "1.0 MiB behind, 1.5 s", "left_behind", "keeps 5.0 GiB", "a slot that nobody"):
        assert word in text, word
    assert "-500" not in text


def test_a_standby_shows_whom_it_receives_from(receiver: Client) -> None:
    upstream = {"status": "streaming", "sender_host": "10.0.0.1", "sender_port": 5432, "slot_name": "r1"}
    row = {
        "in_recovery": True,
        "lsn": "0/1",
        "receiver": upstream,
        "replay_lag_bytes": 0,
        "senders": None,
        "slots": None,
    }
    text = visit(receiver, f"{post(receiver, replication=row)}/replication").text
    assert "10.0.0.1:5432" in text
    assert "caught up" in text
    text = visit(receiver, f"{post(receiver, replication={**row, 'receiver': None})}/replication").text
    assert "nothing streams to this standby" in text


def test_watched_servers_go_by_the_names_by_which_they_are_watched(receiver: Client) -> None:
    began = {"p": "2024-01-01T00:00:00+00:00", "s": "2024-01-02T00:00:00+00:00", "t": "2024-01-03T00:00:00+00:00"}
    servers = {
        key: {"system_identifier": "7", "in_recovery": key != "p", "postmaster_start_time": at}
        for key, at in began.items()
    }
    sender = {"application_name": "stby", "client_addr": "127.0.0.1", "state": "streaming", "slot_name": "r1"}
    lost = {"application_name": "unknown", "client_addr": "10.0.0.9", "state": "streaming", "slot_name": None}
    upstream = {"status": "streaming", "sender_host": "127.0.0.1", "sender_port": 18602, "slot_name": "r1"}
    of_primary = {"in_recovery": False, "lsn": "0/5", "senders": [sender, lost], "slots": None}
    of_standby = {"in_recovery": True, "lsn": "0/5", "receiver": upstream, "senders": None, "slots": None}
    primary = post(receiver, "app", database=servers["p"], replication=of_primary)
    post(receiver, "billing", database=servers["p"], replication=of_primary)
    standby = post(receiver, "app-standby", database=servers["s"], replication=of_standby)
    elsewhere = {**of_standby, "in_recovery": False, "receiver": None}
    post(receiver, "app-old", database=servers["t"], replication=elsewhere)

    page = visit(receiver, f"{primary}/replication")
    picture = re.search('<figure class="tree topology">.*?</figure>', page.html)
    assert picture
    for word in ("app-standby", "stby (127.0.0.1)", "with billing", "unknown (10.0.0.9)", "not watched here"):
        assert word in picture[0], word
    assert f'<a href="{standby}/replication">' in picture[0]
    assert "Other servers of this cluster app-old" in page.text
    assert page.text.count("billing") == 1

    page = visit(receiver, f"{standby}/replication")
    for word in ("app, billing", "127.0.0.1:18602"):
        assert word in page.text, word
    assert f"{primary}/replication" in page.links


def test_silence_is_loud_on_every_page_of_a_database(shared: Client) -> None:
    source = shared.post(snapshot("silent", ago_s=500).body()).json["source_id"]
    for view in ("", "/queries", "/settings"):
        page = visit(shared, f"/databases/{source}{view}")
        assert "There is no data for 8 min." in page.text
        assert "pgdoctor daemon status" in page.text
