"""logging-timeouts."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

SET = {
    "log_lock_waits": "on",
    "log_temp_files": "0",
    "log_checkpoints": "on",
    "log_autovacuum_min_duration": "0",
    "idle_in_transaction_session_timeout": "60000",
}


@pytest.mark.parametrize("major", [12, 18])
def test_a_server_as_it_comes(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    settings = doctor(server, "logging-timeouts")
    found = settings.sick()
    assert (found.id, found.severity) == ("logging-timeouts", Severity.INFO)
    assert ("log_checkpoints" in found.evidence) is (major < 15)
    paste(server, found.remedy)
    settings.healthy()
    server.sql("ALTER SYSTEM SET log_temp_files = -1")
    server.sql("SELECT pg_reload_conf()")
    assert settings.sick().subject == "log_temp_files"


def judge(service: str | None = None, **settings: str) -> list[Finding]:
    rows = [{"name": name, "setting": value} for name, value in {**SET, **settings}.items()]
    return judged("logging-timeouts", planted(settings=rows, server={"provider": service}))


def test_each() -> None:
    assert judge() == []
    for name, value in (("log_lock_waits", "off"), ("log_temp_files", "-1"), ("log_autovacuum_min_duration", "-1")):
        [found] = judge(**{name: value})
        assert (found.subject, f"ALTER SYSTEM SET {name} =" in found.remedy) == (name, True)
    [found] = judge("rds", log_lock_waits="off", idle_in_transaction_session_timeout="0")
    assert "ALTER SYSTEM SET" not in found.remedy
    assert "-- log_lock_waits = on" in found.remedy


def test_a_setting_that_is_not_told() -> None:
    assert judged("logging-timeouts", planted(settings=[], server={})) == []
