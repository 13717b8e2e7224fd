"""checkpoints-frequent."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for

MB = 1024**2
SETTINGS = {"max_wal_size_bytes": 190 * MB, "checkpoint_completion_target": 0.9, "checkpoint_timeout_s": 300}
HOUR = 3600


@pytest.mark.parametrize("major", [12, 18])
def test_checkpoints_of_a_small_max_wal_size(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, checkpoint_completion_target=0)  # as fast as they can
    for name in ("max_wal_size", "min_wal_size"):
        server.sql(f"ALTER SYSTEM SET {name} = '32MB'")
    server.sql("SELECT pg_reload_conf()")
    frequent = doctor(server, "checkpoints-frequent", least_count=2)
    frequent.apart_s = 3600
    frequent.look()
    frequent.healthy()
    first = frequent.before
    write(server, first)
    found = wait_for(lambda: compared(frequent, first), "no finding")
    assert (found.id, found.severity) == ("checkpoints-frequent", Severity.WARNING)
    paste(server, found.remedy)
    frequent.healthy()
    server.sql("INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, 5000)")
    frequent.healthy()
    for _ in range(3):
        server.sql("CHECKPOINT")  # requested, too
    frequent.healthy()


def compared(frequent: Doctor, first: Document) -> Finding | None:
    frequent.before = first
    found = frequent.look()
    return found[0] if found else None


def write(server: Server, before: Document) -> None:
    """WAL until several checkpoints came of it."""
    server.sql("CREATE TABLE filler (x text); ALTER TABLE filler ALTER x SET STORAGE PLAIN")
    view, column = ("checkpointer", "num_requested") if server.major >= 17 else ("bgwriter", "checkpoints_req")
    began = before.one("checkpointer")["num_requested"]

    def came() -> bool:
        server.sql("INSERT INTO filler SELECT repeat('x', 8000) FROM generate_series(1, 2500)")
        return server.sql(f"SELECT {column} FROM pg_stat_{view}")[0][0] >= began + 3

    wait_for(came, "no checkpoints came of it")


def judge(requested: float, timed: float, written: float, seconds: float = HOUR, **more: object) -> list[Finding]:
    def at(moment: float, part: float) -> Document:
        counted = {"num_requested": 10 + part * requested, "num_timed": 10 + part * timed, **SETTINGS, **more}
        return planted(moment, checkpointer=counted, server={"wal_position_bytes": 1e12 + part * written})

    return judged("checkpoints-frequent", at(seconds, 1), at(0, 0))


def test_how_many() -> None:
    assert judge(3, 0, 400 * MB) == []
    assert len(judge(4, 0, 400 * MB)) == 1
    assert judge(4, 4, 400 * MB) == []
    assert len(judge(5, 4, 500 * MB)) == 1


def test_those_that_wal_does_not_explain() -> None:
    """CHECKPOINT, a base backup, CREATE DATABASE."""
    assert judge(100, 0, 399 * MB) == []
    assert judge(100, 0, 0) == []


def test_an_hour_is_not_extrapolated_from_less() -> None:
    assert judge(3, 0, 900 * MB, 60) == []
    assert len(judge(4, 0, 900 * MB, 60)) == 1
    assert judge(7, 0, 900 * MB, 2 * HOUR) == []


def test_what_is_proposed() -> None:
    for written, seconds, size in ((2000 * MB, HOUR, 512), (20_000 * MB, HOUR, 4096), (90_000 * MB, 60, 65536)):
        [found] = judge(written / (100 * MB), 0, written, seconds)
        assert f"'{size}MB'" in found.remedy
    [found] = judge(400, 0, 400 * 50_000 * MB, max_wal_size_bytes=50_000 * MB)  # twice what it is, and not more
    assert "'100000MB'" in found.remedy


def test_what_cannot_be_told() -> None:
    with pytest.raises(NotExamined):
        judge(-1, 0, 0)
    assert judge(9, 0, 1e12, max_wal_size_bytes=None) == []
    with pytest.raises(NotExamined):
        judged("checkpoints-frequent", planted(checkpointer=SETTINGS, server={}))
