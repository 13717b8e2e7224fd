"""prepared-xact-orphan."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Server


@pytest.mark.parametrize("major", [12, 18])
def test_one_that_nobody_commits(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major, max_prepared_transactions=10)
    orphans = doctor(server, "prepared-xact-orphan", warning_s=0)
    orphans.healthy()
    server.sql("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION E'it''s a \\\\ thing'")
    found = orphans.sick()
    assert (found.key, found.severity) == ("it's a \\ thing", Severity.WARNING)
    assert "of postgres in database postgres has waited " in found.summary
    paste(server, found.remedy)
    orphans.healthy()


def prepared(age_s: float | None, **more: Any) -> list[Finding]:
    row = {"gid": "g", "owner": "app", "datname": "shop", "transaction": "740", "xid_age": 12345, "age_s": age_s}
    return judged("prepared-xact-orphan", planted(prepared=[{**row, **more}]))


def test_what_an_age_comes_to() -> None:
    assert prepared(299.0) == []
    assert prepared(None) == []
    [found] = prepared(300.0)
    assert (found.severity, found.remedy.splitlines()[1]) == (Severity.WARNING, "ROLLBACK PREPARED 'g';")
    [found] = prepared(3600.0)
    assert found.severity is Severity.CRITICAL
    assert found.summary == (
        "prepared transaction g of app in database shop has waited 1 h to be committed: it holds its locks, and what "
        "12,345 transactions left behind since cannot be cleaned up"
    )


def test_one_transaction_is_one() -> None:
    [found] = prepared(300.0, xid_age=1)
    assert found.summary.endswith(" and what one transaction left behind since cannot be cleaned up")


def test_a_name_that_is_not_told() -> None:
    [found] = prepared(300.0, gid=None)
    assert (found.key, found.subject) == ("740", "prepared transaction 740")
    assert all(line.startswith("--") for line in found.remedy.splitlines())


def test_the_chain_of_which_it_is_the_root_is_shown_under_it() -> None:
    root = {"pid": 0, "gid": "g", "state": "prepared"}
    wait = {"pid": 8, "parent_pid": 0, "root_pid": 0, "depth": 1, "waiting_s": 60.0, "wait_age_s": 60.0}
    now = planted(prepared=[{"gid": "g", "age_s": 400.0}], locks=[{**wait, "blockers": [root]}])
    told = diagnose(now, NOTHING, names=["blocking-chain", "prepared-xact-orphan"])
    assert [(each.id, each.because_of) for each in told.findings] == [
        ("prepared-xact-orphan:g", ""),
        ("blocking-chain:g", "prepared-xact-orphan:g"),
    ]
