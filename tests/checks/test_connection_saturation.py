"""connection-saturation."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for


@pytest.mark.parametrize("major", [12, 18])
def test_taken_connections(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    """Of 20, 3 are kept for superusers, and PGDoctor's own counts."""
    server = make_server(major, max_connections=20)
    server.create_role("app", "secret", grants=())
    server.sql("ALTER ROLE app CONNECTION LIMIT 12")
    connections = doctor(server, "connection-saturation")
    taken = [server.connect(user="app", password="secret") for _ in range(9)]
    connections.healthy()
    taken.append(server.connect(user="app", password="secret"))
    found = connections.sick()
    assert (found.key, found.severity) == ("role app", Severity.WARNING)
    assert found.summary == "role app has 10 of the 12 connections that it may have"
    paste(server, found.remedy)
    connections.healthy()
    taken += [server.connect(user="app", password="secret") for _ in range(3)]
    found = connections.sick()
    assert (found.id, found.severity) == ("connection-saturation", Severity.WARNING)
    assert found.summary == "14 of 17 connections that ordinary roles can have are taken (82 %)"
    assert "tests 13 (0 active)" in found.remedy
    taken += [server.connect(user="app", password="secret") for _ in range(3)]
    assert connections.sick().severity is Severity.CRITICAL
    for each in taken:
        each.close()
    wait_for(lambda: len(server.backends("tests")) == 1, "they stay")
    connections.healthy()


def activity(used: int, **more: Any) -> dict[str, Any]:
    total = {"client_backends": used, "max_connections": 110, "superuser_reserved_connections": 3} | more
    return {"rows": [], "total": {**total, "reserved_connections": 7}, "more": 0}


def test_what_a_share_comes_to() -> None:
    assert judged("connection-saturation", planted(activity=activity(79))) == []
    [found] = judged("connection-saturation", planted(activity=activity(80)))
    assert (found.severity, found.days_left) == (Severity.WARNING, None)
    [found] = judged("connection-saturation", planted(activity=activity(95)))
    assert found.severity is Severity.CRITICAL


def test_days_are_left_where_it_grows() -> None:
    now = planted(3 * DAY_S - 1, activity=activity(80))
    now.trends = {"connections": [(now.server_time - 2 * DAY_S, 60.0), (now.server_time - DAY_S, 70.0)]}
    [found] = judged("connection-saturation", now)
    assert found.days_left == pytest.approx(2.0)


def test_limits_of_databases_and_roles() -> None:
    def limited(limit: int, used: int) -> list[str]:
        database = {"datname": 'A "b"', "count": used, "datconnlimit": limit}
        role = {"usename": "app", "count": used, "rolconnlimit": limit}
        section = activity(20, by_database=[database, {"datname": None, "count": 9}], by_user=[role])
        return [
            f"{each.key} {each.severity.word}" for each in judged("connection-saturation", planted(activity=section))
        ]

    assert limited(20, 15) == []
    assert limited(20, 20) == ['database A "b" warning', "role app warning"]
    assert limited(9, 9) == []
    assert limited(-1, 60) == []


def test_a_role_that_cannot_tell_clients_from_others(server: Server, doctor: Callable[..., Doctor]) -> None:
    server.create_role("blind", "secret", grants=())
    connections = doctor(server.dsn("postgres", "blind", "secret"), "connection-saturation")
    assert connections.look() == []
    assert "pg_monitor" in connections.not_examined
    server.sql("DROP ROLE blind")
