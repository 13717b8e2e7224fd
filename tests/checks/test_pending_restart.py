"""pending-restart."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.state import State, Watch
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

NOTHING = Document({}, {})
DAY = 86400


@pytest.mark.parametrize("major", [12, 18])
def test_a_change_that_waits(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    pending = doctor(server, "pending-restart")
    pending.healthy()
    server.sql("ALTER SYSTEM SET max_connections = 90")
    server.sql("SELECT pg_reload_conf()")
    server.sql("SELECT count(*) FROM pg_settings")
    assert pending.look() == []  # not for a day yet
    pending.state = State({"pending-restart": Watch(0, 1)})
    found = pending.sick()
    assert (found.id, found.severity, found.subject) == ("pending-restart", Severity.WARNING, "max_connections")
    paste(server, found.remedy)
    server.restart()
    pending.healthy()


def test_for_a_day() -> None:
    now = planted(settings=[{"name": "max_connections", "setting": "100", "pending_restart": True}])
    for seconds, count in ((DAY - 1, 0), (DAY, 1)):
        state = State({"pending-restart": Watch(now.server_time - seconds, 1)})
        assert len(diagnose(now, NOTHING, state, names=["pending-restart"]).findings) == count


def test_what_waits() -> None:
    assert judged("pending-restart", planted(settings=[{"name": "a", "pending_restart": False}])) == []
    rows = [{"name": f"s{number:02}", "pending_restart": True} for number in range(12)]
    [found] = judged("pending-restart", planted(settings=rows))
    assert ("12 changed settings wait" in found.summary, "and 2 more" in found.summary) == (True, True)
    assert len(found.evidence) == 10
