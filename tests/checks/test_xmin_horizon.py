"""xmin-horizon."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Server

MILLION = 1_000_000
LOW = {"warning_s": 0, "warning_count": 5, "warning_untimed_count": 5}
SETTINGS = [{"name": "autovacuum_freeze_max_age", "setting": "200000000"}]


@pytest.mark.parametrize("major", [12, 18])
def test_each_that_can_hold(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major, wal_level="logical", max_prepared_transactions=2, autovacuum="off")
    server.sql("CREATE TABLE t (n int)")
    horizon = doctor(server, "xmin-horizon", **LOW)
    _burn(server)
    horizon.healthy()

    server.sql("SELECT pg_create_logical_replication_slot('gone', 'pgoutput')")
    _cured_by_its_own_remedy(server, horizon, "xmin-horizon:gone")

    idle = server.connect()
    idle.cursor().execute("BEGIN; SELECT 1 FROM t")
    _burn(server)
    horizon.healthy()  # READ COMMITTED: it holds nothing between two statements
    idle.close()

    reader = server.connect()
    reader.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM t")
    found = _cured_by_its_own_remedy(server, horizon, f"xmin-horizon:{reader.get_backend_pid()}")
    assert "idle in transaction" in found.summary
    assert found.since is not None and found.since > 0

    preparing = server.connect()
    preparing.cursor().execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'it''s'")
    preparing.close()
    _cured_by_its_own_remedy(server, horizon, "xmin-horizon:it's")


def _cured_by_its_own_remedy(server: Server, horizon: Doctor, wanted: str) -> Finding:
    _burn(server)
    found = horizon.sick()
    assert (found.id, found.severity) == (wanted, Severity.WARNING)
    paste(server, found.remedy)
    horizon.healthy()
    return found


def _burn(server: Server) -> None:
    for _ in range(10):
        server.sql("INSERT INTO t VALUES (1)")


def _session(age: int, held_s: int, **more: object) -> list[Finding]:
    row = {
        "oldest_source": "session",
        "oldest_xmin_age": age,
        "session_xmin_age": age,
        "session_pid": 4711,
        "session_xact_start": "2026-01-01T00:00:00+00:00",
        **more,
    }
    return judged("xmin-horizon", planted(held_s, horizon=row, settings=SETTINGS))


@pytest.mark.parametrize(
    ("age", "held_s", "severity"),
    [
        (MILLION, 3599, None),
        (MILLION - 1, 3600, None),
        (MILLION, 3600, Severity.WARNING),
        (200 * MILLION - 1, 3600, Severity.WARNING),
        (200 * MILLION, 60, Severity.CRITICAL),
        (9999, 86399, None),
    ],
)
def test_thresholds_of_a_session(age: int, held_s: int, severity: Severity | None) -> None:
    assert [each.severity for each in _session(age, held_s)] == ([severity] if severity else [])


def test_a_day_is_too_long_for_anybody_unless_nothing_happens() -> None:
    day = {"session_xact_start": "2025-12-31T00:00:00+00:00"}
    assert len(_session(10_000, 0, **day)) == 1
    assert _session(9_999, 0, **day) == []


def test_a_dump_has_a_day() -> None:
    assert _session(MILLION, 7200, session_application_name="pg_dump") == []
    day = {"session_xact_start": "2025-12-31T00:00:00+00:00"}
    assert len(_session(MILLION, 0, session_application_name="pg_dump", **day)) == 1


def test_what_only_follows_another_is_not_told() -> None:
    """A snapshot is as old as the oldest transaction that ran when it was taken."""
    [found] = _session(
        2 * MILLION,
        7200,
        oldest_source="prepared",
        prepared_xmin_age=2 * MILLION,
        prepared_gid="p",
        prepared_datname="app",
        prepared_prepared="2026-01-01T00:00:00+00:00",
    )
    assert found.key == "p"


def test_a_prepared_transaction_of_another_encoding_has_no_name() -> None:
    row = {"oldest_source": "prepared", "prepared_xmin_age": 2 * MILLION, "prepared_gid": None}
    row |= {"prepared_datname": "app", "prepared_prepared": "2026-01-01T00:00:00+00:00"}
    [found] = judged("xmin-horizon", planted(7200, horizon=row, settings=SETTINGS))
    assert (found.key, found.subject) == ("prepared", "the prepared transaction (its name is not told)")
    assert found.remedy.endswith("\n-- ROLLBACK PREPARED …\n")


@pytest.mark.parametrize(("age", "count"), [(10 * MILLION - 1, 0), (10 * MILLION, 1)])
def test_where_the_server_does_not_tell_since_when(age: int, count: int) -> None:
    standby = {"oldest_source": "feedback", "oldest_xmin_age": age, "feedback_xmin_age": age}
    standby |= {"feedback_application_name": "two", "feedback_pid": 7}
    assert len(judged("xmin-horizon", planted(horizon=standby, settings=SETTINGS))) == count
    slot = {"oldest_source": "slot", "oldest_xmin_age": age, "slot_xmin_age": age}
    slot |= {"slot_name": "s", "slot_type": "physical", "slot_active": True}
    slot |= {"catalog_slot_xmin_age": age, "catalog_slot_name": "s", "catalog_slot_active": True}
    found = judged("xmin-horizon", planted(horizon=slot, settings=SETTINGS))
    assert [each.key for each in found] == ["s"] * count
    assert all("drop" not in each.remedy for each in found)


def test_where_a_query_holds_it_that_is_the_cause() -> None:
    row = {"oldest_source": "session", "session_xmin_age": 2 * MILLION, "session_pid": 7}
    query = {"pid": 7, "backend_type": "client backend", "state": "active", "query_age_s": 7200.0}
    now = planted(
        7200,
        horizon={**row, "session_xact_start": "2026-01-01T00:00:00+00:00"},
        settings=SETTINGS,
        activity=[query],
        progress=[],
    )
    found = diagnose(now, NOTHING, names=["xmin-horizon", "long-query"]).findings
    assert [(each.id, each.because_of) for each in found] == [
        ("long-query:7", ""),
        ("xmin-horizon:7", "long-query:7"),
    ]


def test_a_role_that_does_not_see_others_sessions() -> None:
    now = planted(horizon={"session_count": 0}, settings=SETTINGS)
    now.errors["activity"] = "role x is not a member of pg_monitor"
    with pytest.raises(NotExamined, match="pg_monitor"):
        judged("xmin-horizon", now)


def test_a_server_on_which_nothing_is_held() -> None:
    assert judged("xmin-horizon", planted(horizon={"session_count": 0}, settings=SETTINGS)) == []
