"""idle-in-transaction."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import session
from tests.postgres.server import Database

NOTHING = Document({}, {})


def test_a_forgotten_transaction_is_ended(database: Database, doctor: Callable[..., Doctor]) -> None:
    idle = doctor(database, "idle-in-transaction", warning_s=0)
    with session(database, "SELECT 1"):
        idle.healthy()
    with session(database, "BEGIN", "CREATE TABLE t ()") as pid:
        found = idle.sick()
        assert (found.key, found.severity) == (str(pid), Severity.WARNING)
        assert f"session {pid} (postgres in {database.name}, tests) has been idle in transaction for " in found.summary
        assert "what it has written" in found.summary
        assert (found.evidence["query"], found.evidence["idle_in_transaction_count"]) == ("CREATE TABLE t ()", 1)
        [(since,)] = database.sql("SELECT extract(epoch FROM state_change) FROM pg_stat_activity WHERE pid = %s", [pid])
        assert found.since == pytest.approx(float(since))
        paste(database, found.remedy)
        idle.healthy()


def test_one_that_failed_is_idle_too(database: Database, doctor: Callable[..., Doctor]) -> None:
    with session(database, "BEGIN") as pid:
        assert doctor(database, "idle-in-transaction", warning_s=0).sick().key == str(pid)


def test_a_role_that_may_not_see_states_cannot_tell(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql(f"REVOKE pg_monitor FROM {database.role}")
    blind = doctor(database, "idle-in-transaction", warning_s=0)
    with session(database, "BEGIN"):
        assert blind.look() == []
    assert "pg_monitor" in blind.not_examined


def idle(state_age_s: float | None, **more: Any) -> list[Finding]:
    row = {"pid": 7, "backend_type": "client backend", "state": "idle in transaction", "state_age_s": state_age_s}
    return judged("idle-in-transaction", planted(activity=[{**row, **more}]))


def test_what_an_age_comes_to() -> None:
    assert idle(299.0) == []
    [found] = idle(300.0)
    assert found.severity is Severity.WARNING
    [found] = idle(1799.0, backend_xid_age=3)
    assert found.severity is Severity.WARNING
    for held in ({"backend_xid_age": 1}, {"backend_xmin_age": 0}):
        [found] = idle(1800.0, **held)
        assert found.severity is Severity.CRITICAL
    [found] = idle(1800.0, state="idle in transaction (aborted)")
    assert found.severity is Severity.WARNING
    assert found.summary == "session 7 (client backend) has been idle in transaction (aborted) for 30 min, " + (
        "and holds its locks, if it has any"
    )


def test_what_is_none() -> None:
    """An old transaction that is at work, whatever does not tell, and what is no client."""
    assert idle(10.0, xact_age_s=9000.0) == []
    assert idle(9000.0, state="active") == []
    assert idle(9000.0, state="idle") == []
    assert idle(None) == []
    assert idle(9000.0, backend_type="walsender") == []


def test_without_track_activities_it_cannot_be_told() -> None:
    section = {"rows": [], "total": {"by_state": {"disabled": 3}}, "more": 0}
    with pytest.raises(NotExamined, match="track_activities"):
        judged("idle-in-transaction", planted(activity=section))


def test_the_chain_of_which_it_is_the_root_is_shown_under_it() -> None:
    root = {"pid": 7, "backend_type": "client backend", "state": "idle in transaction", "state_age_s": 400.0}
    wait = {"pid": 8, "parent_pid": 7, "root_pid": 7, "depth": 1, "waiting_s": 60.0, "wait_age_s": 60.0}
    now = planted(activity=[{**root, "pid": 9}, root], locks=[{**wait, "blockers": [root]}])
    told = diagnose(now, NOTHING, names=["blocking-chain", "idle-in-transaction"])
    assert [(each.id, each.because_of, each.severity.word) for each in told.findings] == [
        ("idle-in-transaction:7", "", "warning"),
        ("blocking-chain:7", "idle-in-transaction:7", "critical"),
        ("idle-in-transaction:9", "", "warning"),
    ]
