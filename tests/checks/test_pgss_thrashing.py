"""pgss-thrashing."""

from collections.abc import Callable
from typing import Any

import pytest

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import NOTHING, Doctor, judged, paste, planted
from tests.postgres.server import Server


@pytest.mark.parametrize("major", [14, 18])
def test_more_statements_than_there_is_room_for(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major)
    server.sql("CREATE EXTENSION pg_stat_statements")
    server.sql("ALTER SYSTEM SET pg_stat_statements.max = 100")
    server.restart()
    thrashing = doctor(server, "pgss-thrashing")
    thrashing.apart_s = 1
    thrashing.healthy()
    different(server, 300)
    found = thrashing.sick()
    assert (found.id, found.severity) == ("pgss-thrashing", Severity.WARNING)
    assert "it has room for 100, and what it tells of them is incomplete" in found.summary
    paste(server, found.remedy)
    server.restart()
    server.sql("SELECT pg_stat_statements_reset()")
    again = doctor(server, "pgss-thrashing")
    again.apart_s = 1
    again.healthy()
    different(server, 300)
    again.healthy()


def different(server: Server, count: int) -> None:
    """So many statements, none like another."""
    connection = server.connect()
    with connection.cursor() as cursor:
        for columns in range(1, count + 1):
            cursor.execute(f"SELECT {', '.join(['1'] * columns)}")
    connection.close()


def test_before_14_it_cannot_be_told(make_server: Callable[..., Server], doctor: Callable[..., Doctor]) -> None:
    server = make_server(12)
    server.sql("CREATE EXTENSION pg_stat_statements")
    thrashing = doctor(server, "pgss-thrashing")
    assert thrashing.look() == []
    assert "1.9" in thrashing.not_examined


def thrown_out(*counts: float, most: int = 5000) -> list[Finding]:
    """By the hour, the last one now."""

    def queries(count: float) -> dict[str, Any]:
        return {"rows": [], "total": {"dealloc": count, "max": most}, "more": 0}

    now = planted(3 * DAY_S - 60, queries=queries(counts[-1]))
    hours = range(len(counts) - 1, 0, -1)
    now.trends = {
        "pgss-dealloc": [
            (now.server_time - 3 * DAY_S, 0.0),  # too old to count
            *((now.server_time - hour * 3600, count) for hour, count in zip(hours, counts, strict=False)),
        ]
    }
    return judged("pgss-thrashing", now)


def test_being_full_is_no_fault() -> None:
    assert thrown_out(100, 100, 101) == []
    assert thrown_out(100, 110, 119) == []
    [found] = thrown_out(100, 110, 120)
    assert found.evidence["dealloc_before"] == 100
    assert thrown_out(100, 110, 5, 14) == []  # reset in between
    assert len(thrown_out(0, 10, most=100)) == 1
    with pytest.raises(NotExamined, match="first"):
        judged("pgss-thrashing", planted(queries={"rows": [], "total": {"dealloc": 7, "max": 100}}), NOTHING)
