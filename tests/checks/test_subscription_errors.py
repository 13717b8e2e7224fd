"""subscription-errors."""

import secrets
from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

ROW = {
    "subid": 1,
    "subname": "s",
    "subenabled": True,
    "pid": 7,
    "apply_error_count": 0,
    "sync_error_count": 0,
    "confl_update_missing": 0,
}


@pytest.mark.parametrize("major", [12, 18])
def test_a_row_that_is_there_already(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, wal_level="logical", wal_retrieve_retry_interval="200ms")
    source, target = server.new_database(), server.new_database()
    subscribe(source, target, ", disable_on_error = true" if major >= 15 else "")
    subscriptions = doctor(target, "subscription-errors", least_error_count=1)
    subscriptions.apart_s = 60
    wait_for(lambda: target.sql("SELECT 1 FROM pg_stat_subscription WHERE pid IS NOT NULL"), "it does not run")
    subscriptions.look()
    subscriptions.healthy()
    target.sql("INSERT INTO t VALUES (7)")
    source.sql("INSERT INTO t VALUES (7)")
    found = subscriptions.sick()
    assert (found.id, found.severity) == ("subscription-errors:s", Severity.WARNING)
    subscriptions.limits["critical_s"] = 0
    assert subscriptions.sick().severity is Severity.CRITICAL
    target.sql("DELETE FROM t")
    paste(target, found.remedy)
    wait_for(lambda: target.sql("SELECT 1 FROM t"), "it has not gone on")
    subscriptions.healthy()
    target.sql("ALTER SUBSCRIPTION s DISABLE")
    subscriptions.healthy()


def subscribe(source: Database, target: Database, options: str) -> None:
    """In one cluster: the slot first, for CREATE SUBSCRIPTION would wait for itself."""
    slot = f"s_{secrets.token_hex(3)}"
    for database in (source, target):
        database.sql("CREATE TABLE t (id int PRIMARY KEY)")
    source.sql("CREATE PUBLICATION p FOR TABLE t")
    source.sql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    server = source.server
    target.sql(
        f"CREATE SUBSCRIPTION s CONNECTION 'host={server.socket_dir} port={server.port} user=postgres "
        f"dbname={source.name}' PUBLICATION p "
        f"WITH (create_slot = false, slot_name = '{slot}', copy_data = false{options})"
    )


def judge(seconds: float = 60, lasting_s: float = 0, before: bool = True, **more: object) -> list[Finding]:
    now, was = planted(seconds, subscriptions=[{**ROW, **more}]), planted(0, subscriptions=[ROW])
    now.since = {"subscription-errors:s": now.server_time - lasting_s}
    return judged("subscription-errors", now, was) if before else judged("subscription-errors", now, Document({}, {}))


def test_it_runs() -> None:
    assert judge() == []
    assert judge(before=False) == []


def test_no_process_applies() -> None:
    for before in (True, False):
        [found] = judge(pid=None, before=before)
        assert (found.key, found.severity) == ("s", Severity.WARNING)
    assert [judge(pid=None, lasting_s=s)[0].severity for s in (599, 600)] == [Severity.WARNING, Severity.CRITICAL]


def test_errors() -> None:
    assert judge(apply_error_count=2) == []
    assert len(judge(apply_error_count=2, sync_error_count=1)) == 1
    assert judge(7200, apply_error_count=5) == []
    assert judge(before=False, apply_error_count=99) == []
    for pid, severity in ((7, Severity.WARNING), (None, Severity.CRITICAL)):
        [found] = judge(pid=pid, apply_error_count=9, lasting_s=600)
        assert (found.severity, "fails again" in found.summary) == (severity, True)


def test_disabled_on_purpose_or_by_an_error() -> None:
    assert judge(subenabled=False, pid=None, apply_error_count=9) == []
    assert judge(subenabled=False, pid=None, subdisableonerr=True) == []
    [found] = judge(subenabled=False, pid=None, subdisableonerr=True, apply_error_count=1)
    assert "ALTER SUBSCRIPTION s ENABLE;" in found.remedy


def test_rows_that_differ_are_never_critical() -> None:
    [found] = judge(confl_update_missing=2, lasting_s=9999)
    assert (found.severity, "2 rows" in found.summary) == (Severity.WARNING, True)


def test_before_15_there_are_no_counters() -> None:
    assert judge(apply_error_count=None, sync_error_count=None, confl_update_missing=None) == []
