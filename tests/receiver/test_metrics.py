"""/metrics as Prometheus reads it, and what tells a load balancer that a receiver is well."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pgdoctor_lib.receiver import exposition
from pgdoctor_lib.receiver.moments import epoch_of
from pgdoctor_lib.snapshot import iso_time, new_id
from tests.fix_daemon import ROOT, Cli
from tests.postgres.server import Server
from tests.receiver.client import TOKEN, Client, snapshot
from tests.receiver.store.documents import document, many
from tests.waiting import wait_for

RULES = ROOT / "contrib/prometheus-rules.yml"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def told(receiver: Client, **headers: str) -> dict[tuple[str, ...], float]:
    """By name and labels' values, what the endpoint tells; as Prometheus' own client parses it."""
    answer = receiver.get("/metrics", **headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total")
            key = (sample.name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def server_snapshot(name: str = "production", **sections: Mapping[str, Any]) -> bytes:
    document = {**json.loads(snapshot(name).body()), "sections": sections}
    return json.dumps(document).encode()


DATABASE = {"xact_commit": 12, "size_bytes": 2**53 + 2, "blks_hit": 0}


def test_the_figures_of_a_database(receiver: Client) -> None:
    receiver.post(server_snapshot(database=DATABASE, host={"disks": [{"used_percent": 2.8}]}))
    found = told(receiver)
    expected = {
        "database_up": 1,
        "database_commits_total": 12,
        "database_blocks_hit_total": 0,
        "database_size_bytes": 2**53 + 2,
        "host_disk_used_ratio": 0.028,
    }
    assert {name: found["pgdoctor_" + name, "production", ""] for name in expected} == expected
    at = found["pgdoctor_database_last_snapshot_timestamp_seconds", "production", ""]
    assert time.time() - 60 < at <= time.time()
    assert ("pgdoctor_database_rollbacks_total", "production", "") not in found  # not told is not 0


@pytest.mark.parametrize("interval_s", [60, 600])
def test_statements_are_a_rate_which_no_eviction_makes_jump(receiver: Client, interval_s: int) -> None:
    """pg_stat_statements' sums fall when it throws statements out; of a counter that would be a reset."""
    now = time.time()
    for ago, calls in ((3, 1_000_000), (2, 1_000_600), (1, 700_000)):
        queries = many([], calls=calls, total_exec_time_ms=calls * 10)
        made = document(now - ago * interval_s + interval_s, interval_s=interval_s, queries=queries)
        assert receiver.post(json.dumps(made).encode()).status == 201
    found = told(receiver)
    assert found["pgdoctor_database_statements_per_second", "app", ""] == pytest.approx(600 / interval_s, rel=0.01)
    spent = found["pgdoctor_database_statement_seconds_per_second", "app", ""]
    assert spent == pytest.approx(6 / interval_s, rel=0.01)
    assert not [key for key in found if "statement" in key[0] and key[0].endswith("_total")]


def test_what_comes_seldom_stays_and_what_is_stale_goes(receiver: Client) -> None:
    for ago, sections in ((240, {"wal": {"wal_bytes": 7}, "database": DATABASE}), (0, {"database": DATABASE})):
        document = json.loads(server_snapshot("seldom", **sections))
        at = time.time() - ago
        document.update(snapshot_id=new_id(at), collected_at=iso_time(at))
        receiver.post(json.dumps(document).encode())
    gone = json.loads(snapshot("gone", ago_s=3600).body())
    gone["findings"] = [{"check": "a", "key": "", "severity": "critical", "summary": "a"}]
    receiver.post(json.dumps(gone).encode())
    found = told(receiver)
    assert found["pgdoctor_server_wal_bytes_total", "seldom", ""] == 7
    at = epoch_of(gone["collected_at"])
    assert {key[0]: value for key, value in found.items() if key[1:2] == ("gone",)} == {
        "pgdoctor_database_up": 0,
        "pgdoctor_database_last_snapshot_timestamp_seconds": at,
    }


def test_findings_are_counted(receiver: Client) -> None:
    document = json.loads(snapshot().body())
    document["findings"] = [{"check": "a", "key": str(n), "severity": "critical", "summary": "a"} for n in range(3)]
    receiver.post(json.dumps(document).encode())
    found = told(receiver)
    assert found["pgdoctor_database_open_findings", "production", "", "critical"] == 3
    assert found["pgdoctor_database_open_findings", "production", "", "warning"] == 0


def test_the_receiver_tells_of_itself(receiver: Client) -> None:
    body = snapshot().body()
    assert [receiver.post(each).status for each in (body, body, b"{}")] == [201, 409, 422]
    receiver.ask("BREW", "/nothing")
    found = told(receiver)
    outcomes = {key[1]: value for key, value in found.items() if key[0] == "pgdoctor_receiver_snapshots_total"}
    assert outcomes == {"stored": 1, "duplicate": 1, "refused": 1, "failed": 0}
    statuses = {key[1]: value for key, value in found.items() if key[0] == "pgdoctor_receiver_requests_total"}
    assert statuses == {"200": 0, "201": 1, "401": 0, "404": 1, "409": 1, "422": 1, "500": 0, "503": 0}
    assert found["pgdoctor_receiver_store_up",] == 1
    assert found["pgdoctor_receiver_databases",] == 1
    assert found["pgdoctor_receiver_store_bytes",] > 4096
    now = time.time()
    for name in ("pgdoctor_receiver_oldest_snapshot", "pgdoctor_receiver_newest_snapshot", "process_start"):
        suffix = "_timestamp_seconds" if "snapshot" in name else "_time_seconds"
        assert now - 120 < found[name + suffix,] <= now
    for work in ("roll_up", "prune"):
        assert found["pgdoctor_receiver_upkeep_timestamp_seconds", work] <= now
    assert 10e6 < found["process_resident_memory_bytes",] < 10e9
    assert found["process_cpu_seconds_total",] > 0


def test_it_tells_of_a_store_that_cannot_be_written(receiver: Client, cli: Cli) -> None:
    receiver.post(snapshot().body())
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert receiver.post(snapshot().body()).status == 503
        found = told(receiver)
        other.execute("ROLLBACK")
    assert found["pgdoctor_receiver_store_up",] == 0
    assert found["pgdoctor_receiver_snapshots_total", "failed"] == 1
    assert found["pgdoctor_receiver_requests_total", "503"] == 1
    assert found["pgdoctor_database_up", "production", ""] == 1
    wait_for(lambda: told(receiver)["pgdoctor_receiver_store_up",] == 1, "the store is told to be up again")


def test_it_tells_of_a_store_that_cannot_be_read(receiver: Client, cli: Cli) -> None:
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db", isolation_level=None) as other:
        other.execute("ALTER TABLE source RENAME TO elsewhere")
    found = told(receiver)
    assert found["pgdoctor_receiver_store_up",] == 0
    assert found["process_resident_memory_bytes",] > 10e6
    assert not [key for key in found if key[0].startswith("pgdoctor_database_")]


def test_names_that_would_break_out_of_their_label(receiver: Client) -> None:
    names = [
        'a"b',
        "back\\slash",
        'new\nline{x="y"} 7\n# TYPE z counter',
        "\\n",
        "\\",
        "ü€😀",
        "\rx",
        "\x85x\u2028",
        "}",
    ]
    for name in names:
        assert receiver.post(snapshot(name).body()).status == 201
    found = told(receiver)
    assert sorted(key[1] for key in found if key[0] == "pgdoctor_database_up") == sorted(names)


def test_who_may_read_it_and_whose(cli: Cli) -> None:
    receiver = Client(cli, "--host", "0.0.0.0")
    red = {"Authorization": f"Bearer {cli.run('serve', 'token', 'add', 'red').stdout.strip()}"}
    receiver.post(snapshot("theirs").body())
    receiver.post(snapshot("mine").body(), **red)
    assert receiver.get("/metrics").status == 401
    assert receiver.get("/metrics", Authorization="Bearer wrong").status == 401
    found = told(receiver, **red)
    assert [key[1:] for key in found if key[0] == "pgdoctor_database_up"] == [("mine", "red")]
    assert ("pgdoctor_receiver_store_bytes",) not in found  # the others' data, mostly
    assert len([key for key in told(receiver, **BEARER) if key[0] == "pgdoctor_database_up"]) == 2
    source = receiver.post(snapshot("mine").body(), **red).json["source_id"]
    for path in ("/", f"/databases/{source}"):  # how much all of it is, is nothing to a project
        assert " stored · " in receiver.get(path, **BEARER).text
        assert " stored · " not in receiver.get(path, **red).text


def test_there_are_a_thousand_databases_at_most(receiver: Client, cli: Cli) -> None:
    receiver.post(snapshot().body())
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db") as store:
        names = [row[1] for row in store.execute("PRAGMA table_info(source)") if row[1] not in ("id", "name")]
        store.executemany(
            f"INSERT INTO source (id, name, {', '.join(names)}) SELECT ?, ?, {', '.join(names)} FROM source LIMIT 1",
            [(f"{n:012x}", f"db{n}") for n in range(1200)],
        )
    found = told(receiver)
    assert len([key for key in found if key[0] == "pgdoctor_database_up"]) == exposition.MOST_DATABASES
    assert found["pgdoctor_receiver_databases",] == 1201


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on PATH")
def test_promtool_finds_nothing_to_say(receiver: Client, cli: Cli, newest_server: Server) -> None:
    assert receiver.post(cli.run("snapshot", newest_server.dsn()).stdout.encode()).status == 201
    ended = subprocess.run(["promtool", "check", "metrics"], input=receiver.get("/metrics").body, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_the_rules_ask_for_what_there_is(receiver: Client) -> None:
    figures = [f"pgdoctor_{figure.name}" for figure in exposition.FIGURES]
    receiver.post(snapshot().body())
    known = {*figures, *(key[0] for key in told(receiver))}
    asked = re.findall(r"pgdoctor_\w+", RULES.read_text())
    assert len(asked) > 8
    assert set(asked) <= known


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on PATH")
def test_promtool_takes_the_rules() -> None:
    ended = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


RULE_TESTS = """
rule_files: [%s]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'pgdoctor_receiver_snapshots_total{outcome="failed",instance="a"}', values: "0x5 1x15"}
      - {series: 'pgdoctor_receiver_store_up{instance="a"}', values: "1x5 0x15"}
      - {series: 'pgdoctor_receiver_store_up{instance="b"}', values: "1x20"}
      - {series: 'pgdoctor_database_up{database="d",project="",instance="a"}', values: "1x5 0x15"}
      - {series: 'pgdoctor_database_up{database="d",project="",instance="b"}', values: "1x5 0x15"}
      - {series: 'pgdoctor_server_standby_lag_bytes{database="d",project="",instance="a"}', values: "1e3x20"}
      - {series: 'pgdoctor_server_replay_lag_bytes{database="d",project="",instance="a"}', values: "2e9x20"}
    alert_rule_test:
      - {alertname: PGDoctorSnapshotsFail, eval_time: 5m, exp_alerts: []}
      - {alertname: PGDoctorSnapshotsFail, eval_time: 7m, exp_alerts: [{exp_labels: {instance: a, outcome: failed,
         severity: warning}, exp_annotations: {summary:
         "The PGDoctor receiver a could not write snapshots: agents send them again"}}]}
      - {alertname: PGDoctorStoreFails, eval_time: 12m, exp_alerts: [{exp_labels: {instance: a, severity: critical},
         exp_annotations: {summary:
         "The PGDoctor receiver a cannot read or write its store: agents keep what they have"}}]}
      - {alertname: PGDoctorDatabaseSilent, eval_time: 12m, exp_alerts: [{exp_labels: {database: d, severity: critical},
         exp_annotations: {summary:
         "No snapshots of d come any more: it, its agent or the way between is down"}}]}
      - {alertname: PostgreSQLStandbyFarBehind, eval_time: 12m, exp_alerts: [{exp_labels: {database: d,
         severity: warning}, exp_annotations: {summary: "A standby is 1.863GiB behind, told by d"}}]}
"""


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on PATH")
def test_the_rules_alert_once_and_at_the_first_failure(tmp_path: Path) -> None:
    made = tmp_path / "test.yml"
    made.write_text(RULE_TESTS % RULES)
    ended = subprocess.run(["promtool", "test", "rules", str(made)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_ready_while_the_store_can_be_written(receiver: Client, cli: Cli) -> None:
    def status() -> int:
        return receiver.get("/readyz").status

    assert receiver.get("/readyz").text == "ready\n"
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: status() == 503, "still ready")
        assert receiver.get("/healthz").status == 200
        other.execute("ROLLBACK")
    wait_for(lambda: status() == 200, "not ready again")


def test_not_ready_on_a_full_disk(cli: Cli) -> None:
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting takes root")
    full = cli.state / "full"
    full.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(full)], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        receiver = Client(cli, "--database", str(full / "serve.db"))
        assert receiver.get("/readyz").status == 200
        with (full / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        wait_for(lambda: receiver.get("/readyz").status == 503, "ready on a full disk")
        (full / "filler").unlink()
        wait_for(lambda: receiver.get("/readyz").status == 200, "not ready again")
    finally:
        receiver.running.kill()
        subprocess.run(["umount", str(full)], check=True)
