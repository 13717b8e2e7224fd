"""long-transaction."""

from collections.abc import Callable
from typing import Any

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.checks.planting import SLEEPS, running, session
from tests.postgres.server import Database

CLIENT = {"pid": 7, "backend_type": "client backend", "state": "active", "backend_xmin_age": 1_200_000}


def test_an_open_transaction_is_ended(database: Database, doctor: Callable[..., Doctor]) -> None:
    transactions = doctor(database, "long-transaction", warning_s=0)
    with session(database, "BEGIN", "SELECT 1"):
        transactions.healthy()  # it holds nothing
    with session(database, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1") as pid:
        found = transactions.sick()
        assert (found.key, found.severity) == (str(pid), Severity.WARNING)
        assert f"session {pid} (postgres in {database.name}, tests) has had its transaction open for" in found.summary
        assert found.evidence["backend_xmin_age"] is not None
        paste(database, found.remedy)
        transactions.healthy()
    with running(database, "SELECT pg_sleep(60)", SLEEPS) as pid:
        found = transactions.sick()
        assert found.key == str(pid)
        assert f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = {pid} AND xact_start" in found.remedy
        paste(database, found.remedy)
        transactions.healthy()


def old(xact_age_s: float | None, progress: list[dict[str, Any]] | None = None, **more: Any) -> list[Finding]:
    row = {**CLIENT, "xact_age_s": xact_age_s, **more}
    return judged("long-transaction", planted(activity=[row], progress=progress or []))


def test_what_an_age_comes_to() -> None:
    assert old(3599.0) == []
    [found] = old(3600.0, usename="etl", datname="app", state_age_s=4.0)
    assert found.severity is Severity.WARNING
    assert found.summary == (
        "session 7 (etl in app, client backend) has had its transaction open for 1 h, and is active for 4 s: "
        "what 1.2 million transactions left behind since cannot be cleaned up"
    )
    assert "transaction_timeout" in found.remedy
    [found] = old(21600.0, backend_xmin_age=None, backend_xid_age=5)
    assert found.severity is Severity.CRITICAL


def test_one_transaction_is_one() -> None:
    [found] = old(3600.0, backend_xmin_age=1)
    assert found.summary.endswith(": what one transaction left behind since cannot be cleaned up")


def test_what_takes_long_by_nature() -> None:
    assert old(90000.0, backend_xmin_age=None) == []
    assert old(None) == []
    assert old(90000.0, wait_event_type="Lock") == []  # blocking-chain tells
    for kind in ("walsender", "logical replication worker", "autovacuum worker", "parallel worker"):
        assert old(90000.0, backend_type=kind) == []
    assert old(90000.0, application_name="pg_dump") == []
    for query in ("VACUUM t", " reindex (verbose) INDEX CONCURRENTLY i", "CREATE UNIQUE INDEX i ON t (x)"):
        assert old(90000.0, query=query) == []
    for command in ("CREATE INDEX CONCURRENTLY", "VACUUM FULL", "BASE BACKUP"):
        assert old(90000.0, [{"pid": 7, "command": command}]) == []
    assert len(old(90000.0, [{"pid": 7, "command": "COPY FROM"}])) == 1


def test_it_is_shown_under_what_is_known_of_the_session() -> None:
    idle = {**CLIENT, "pid": 8, "state": "idle in transaction", "state_age_s": 4000.0, "xact_age_s": 5000.0}
    busy = {**CLIENT, "xact_age_s": 5000.0, "query_age_s": 4000.0}
    now = planted(activity=[idle, busy], progress=[])
    names = ["idle-in-transaction", "long-query", "long-transaction"]
    causes = {each.id: each.because_of for each in diagnose(now, Document({}, {}), names=names).findings}
    assert causes["long-transaction:8"] == "idle-in-transaction:8"
    assert causes["long-transaction:7"] == "long-query:7"
