"""cache-hit."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for


@pytest.mark.parametrize("major", [12, 18])
def test_shared_buffers_that_are_too_small(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, shared_buffers="1MB")
    server.sql("CREATE TABLE t AS SELECT g, repeat('x', 500) AS filler FROM generate_series(1, 20000) g")
    cache = doctor(server, "cache-hit", least_uptime_s=0, least_hourly_read_count=1000)
    cache.apart_s = 60
    cache.healthy()
    _read(server)
    found = cache.sick()
    assert (found.id, found.severity) == ("cache-hit", Severity.INFO)
    assert "is 1.0 MiB now" in found.remedy
    paste(server, found.remedy)  # a look at the tables
    server.restart(shared_buffers="64MB")
    _read(server)  # it fills
    cache.healthy()
    hits = _hits(server)
    _read(server)
    wait_for(lambda: _hits(server) > hits + 3000, "what is found in shared buffers is not counted")
    assert cache.look() == [] and cache.not_examined == ""


def _hits(server: Server) -> int:
    return int(server.sql("SELECT blks_hit FROM pg_stat_database WHERE datname = current_database()")[0][0])


def _read(server: Server) -> None:
    server.sql("SELECT count(*) FROM t; SELECT count(*) FROM t; SELECT count(*) FROM t")


def _judged(hit: int, read: int, seconds: float = 3600, up: str = "2025-12-31T00:00:00+00:00") -> list[Finding]:
    before = planted(database={"blks_hit": 5, "blks_read": 5})
    database = {"blks_hit": 5 + hit, "blks_read": 5 + read, "postmaster_start_time": up}
    return judged("cache-hit", planted(seconds, database=database), before)


@pytest.mark.parametrize(
    ("hit", "read", "seconds", "count"),
    [
        (899_999, 100_000, 3600, 1),
        (900_000, 100_000, 3600, 0),
        (0, 99_999, 3600, 0),
        (0, 100_000, 60, 1),
        (0, 199_999, 7200, 0),
        (0, 0, 3600, 0),
    ],
)
def test_thresholds(hit: int, read: int, seconds: float, count: int) -> None:
    assert [each.severity for each in _judged(hit, read, seconds)] == [Severity.INFO] * count


def test_a_server_that_was_just_started() -> None:
    with pytest.raises(NotExamined, match="still filling"):
        _judged(0, 100_000, up="2026-01-01T00:00:01+00:00")
    assert len(_judged(0, 100_000, up="2026-01-01T00:00:00+00:00")) == 1


def test_blocks_have_the_size_that_the_server_was_built_with() -> None:
    before = planted(database={"blks_hit": 0, "blks_read": 0})
    database = {"blks_hit": 0, "blks_read": 1_048_576, "postmaster_start_time": "2025-12-31T00:00:00+00:00"}
    for size, told in ((8192, "8.0 GiB"), (16384, "16.0 GiB")):
        [found] = judged("cache-hit", planted(3600, database=database, server={"block_size": size}), before)
        assert f"({told})" in found.summary
