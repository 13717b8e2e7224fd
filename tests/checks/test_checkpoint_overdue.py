"""checkpoint-overdue."""

import os
import signal
from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import NOTHING, Doctor, judged, planted
from tests.postgres.server import Server

CHECKPOINTER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
MB = 1024**2


@pytest.mark.parametrize("major", [12, 18])
def test_a_checkpointer_that_hangs(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major)
    server.sql("CREATE TABLE t AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 10000)")
    server.sql("CHECKPOINT")
    overdue = doctor(server, "checkpoint-overdue", warning_times=0.001, least_bytes=MB)
    overdue.healthy()
    [(pid,)] = server.sql(CHECKPOINTER)
    os.kill(pid, signal.SIGSTOP)
    try:
        server.sql("INSERT INTO t SELECT * FROM t")
        found = overdue.sick()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (found.id, found.severity) == ("checkpoint-overdue", Severity.WARNING)
    assert server.sql(found.remedy)[0][0] == pid
    server.sql("CHECKPOINT")
    overdue.healthy()


def test_a_server_that_writes_nothing_makes_none() -> None:
    for age, written, count in ((900, 64 * MB, 1), (899, 64 * MB, 0), (90_000, 64 * MB - 1, 0)):
        row = {"checkpoint_age_s": age, "checkpoint_timeout_s": 300, "redo_distance_bytes": written}
        assert len(judged("checkpoint-overdue", planted(checkpointer=row))) == count, row
    with pytest.raises(NotExamined, match="does not tell"):
        judged("checkpoint-overdue", planted(checkpointer={"checkpoint_age_s": None}))


def test_a_standby_goes_by_its_primary() -> None:
    row = {"checkpoint_age_s": 90_000, "checkpoint_timeout_s": 300, "redo_distance_bytes": 900 * MB}
    found = diagnose(planted(standby=True, checkpointer=row), NOTHING, names=["checkpoint-overdue"])
    assert (found.findings, *found.not_examined.values()) == ((), "this is a standby: its primary tells")
