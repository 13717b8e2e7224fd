"""autovacuum-behind."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for

TABLE = {
    "schemaname": "s",
    "relname": "t",
    "relkind": "r",
    "autovacuum_enabled": True,
    "n_dead_tup": 10_000,
    "vacuum_threshold": 5_000,
}
ON = {"autovacuum": True, "track_counts": True, "count": 0, "autovacuum_max_workers": 3, "cost_limit": 200}


@pytest.mark.parametrize("major", [12, 18])
def test_a_table_to_which_no_worker_comes(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, autovacuum_naptime="20d")
    server.sql("CREATE TABLE t AS SELECT g FROM generate_series(1, 45000) g")
    server.sql("VACUUM ANALYZE t")
    behind = doctor(server, "autovacuum-behind")
    behind.healthy()
    server.sql("DELETE FROM t WHERE g % 2 = 0")
    wait_for(lambda: behind.look() or behind.state.watched, "22,500 dead rows are not seen")
    assert behind.look() == []  # for two hours nobody minds
    _let_two_hours_pass(behind)
    found = behind.sick()
    assert (found.id, found.severity) == ("autovacuum-behind:public.t", Severity.WARNING)
    assert "22,500 dead rows" in found.summary and "never there" in found.summary
    paste(server, found.remedy)
    behind.healthy()


def _let_two_hours_pass(behind: Doctor) -> None:
    watched = {key: replace(watch, since=watch.since - 7200) for key, watch in behind.state.watched.items()}
    behind.state = replace(behind.state, watched=watched)


def _judged(row: dict[str, object], on: dict[str, object] = ON, waiting: int = 1) -> list[Finding]:
    queue = {"rows": [{**TABLE, **row}], "total": {"waiting_count": waiting}}
    return judged("autovacuum-behind", planted(autovacuum_queue=queue, autovacuum={"rows": [], "total": on}))


@pytest.mark.parametrize(
    ("row", "count"),
    [
        ({}, 1),
        ({"n_dead_tup": 9_999, "vacuum_threshold": 50}, 0),
        ({"vacuum_threshold": 5_001}, 0),
        ({"autovacuum_enabled": False}, 0),  # autovacuum-off-table tells
        ({"worker_pid": 7}, 0),  # it is being done
        ({"schemaname": "pg_catalog"}, 0),
        ({"n_dead_tup": None}, 0),
        ({"n_dead_tup": 0, "n_ins_since_vacuum": 30_000, "vacuum_insert_threshold": 10_000}, 1),
        ({"n_dead_tup": 0, "n_ins_since_vacuum": 30_000, "vacuum_insert_threshold": None}, 0),
        ({"relkind": "t"}, 1),
    ],
)
def test_thresholds(row: dict[str, object], count: int) -> None:
    assert len(_judged(row)) == count


def test_it_says_that_autovacuum_comes_in_vain() -> None:
    assert _judged({"last_autovacuum": "2025-12-31T23:30:00+00:00"})[0].summary.endswith("could not clean")


@pytest.mark.parametrize(("busy", "waiting", "count"), [(3, 4, 1), (2, 4, 0), (3, 3, 0)])
def test_workers(busy: int, waiting: int, count: int) -> None:
    found = _judged({"worker_pid": 1}, {**ON, "count": busy}, waiting)
    assert [each.key for each in found] == ["workers"] * count
    assert all("\nALTER SYSTEM SET autovacuum_vacuum_cost_limit = '1000';\nSELECT" in each.remedy for each in found)


@pytest.mark.parametrize("setting", ["autovacuum", "track_counts"])
def test_what_is_off_is_not_behind(setting: str) -> None:
    with pytest.raises(NotExamined, match="autovacuum is off"):
        _judged({}, {**ON, setting: False})
