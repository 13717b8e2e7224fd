"""autovacuum-throttled."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

COMES_WITH = {
    "vacuum_scale_factor": 0.2,
    "vacuum_insert_scale_factor": 0.2,
    "analyze_scale_factor": 0.1,
    "cost_delay_ms": 2,
    "naptime_s": 60,
    "cost_limit": 200,
    "autovacuum_max_workers": 3,
}


@pytest.mark.parametrize("major", [12, 18])
def test_settings_of_a_server(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    throttled = doctor(server, "autovacuum-throttled")
    throttled.healthy()
    server.sql("ALTER SYSTEM SET autovacuum_vacuum_cost_delay = '20ms'")
    server.sql("ALTER SYSTEM SET autovacuum_vacuum_scale_factor = 0.5")
    server.sql("SELECT pg_reload_conf()")
    found = throttled.sick()
    assert (found.id, found.severity) == ("autovacuum-throttled", Severity.INFO)
    assert "autovacuum_vacuum_scale_factor is 0.5 (0.2 as it comes)" in found.summary
    paste(server, found.remedy)
    throttled.healthy()
    server.sql("ALTER SYSTEM SET autovacuum_max_workers = 1")
    server.restart()
    paste(server, throttled.sick().remedy)
    server.restart()
    throttled.healthy()


def told(**values: Any) -> list[Finding]:
    section = {"rows": [], "total": {**COMES_WITH, **values}, "more": 0}
    return judged("autovacuum-throttled", planted(autovacuum=section, settings=[], server={}))


def test_faster_is_no_fault() -> None:
    assert told() == []
    faster = dict.fromkeys(COMES_WITH, 0) | {"cost_limit": 10_000, "autovacuum_max_workers": 10}
    assert told(**faster) == []
    assert told(vacuum_insert_scale_factor=None) == [], "before 13"
    for name, value in COMES_WITH.items():
        slower = value - 1 if name in ("cost_limit", "autovacuum_max_workers") else value + 1
        [found] = told(**{name: slower})
        assert len(found.evidence) == 1
    assert "restart of the server" in told(autovacuum_max_workers=2)[0].remedy
    rows = [{"name": "autovacuum_max_workers", "setting": "2", "context": "sighup"}]
    section = {"rows": [], "total": {**COMES_WITH, "autovacuum_max_workers": 2}, "more": 0}
    [found] = judged("autovacuum-throttled", planted(autovacuum=section, settings=rows, server={}))
    assert "restart of the server" not in found.remedy, "18+"
