"""memory-settings."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

GIB = 1024**3
UNITS = {"shared_buffers": "8kB", "work_mem": "kB"}
TUNED = {"shared_buffers": 4 * GIB // 8192, "work_mem": 4096, "max_connections": 100, "random_page_cost": 1.1}


@pytest.mark.parametrize("major", [12, 18])
def test_settings_of_a_server(make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int) -> None:
    server = make_server(major)
    memory = doctor(server, "memory-settings")
    memory.healthy()  # as it comes, but it holds next to nothing
    memory.limits = {"least_bytes": 1e6}
    server.sql("ALTER SYSTEM SET random_page_cost = 1.1")
    server.sql("SELECT pg_reload_conf()")
    found = memory.sick()
    assert (found.id, found.severity) == ("memory-settings:shared_buffers", Severity.WARNING)
    paste(server, found.remedy)
    server.sql("ALTER SYSTEM RESET random_page_cost")
    server.restart()
    found = memory.sick()
    assert (found.id, found.severity) == ("memory-settings:random_page_cost", Severity.INFO)
    paste(server, found.remedy)
    memory.healthy()
    memory.limits["warning_count"] = 50
    found = memory.sick()
    assert found.id == "memory-settings:max_connections"
    paste(server, found.remedy)
    server.restart()
    memory.healthy()


def judge(
    size: float = 100e9, memory: float | None = None, service: str | None = None, **settings: object
) -> list[Finding]:
    rows = [
        {"name": name, "setting": str(value), "unit": UNITS.get(name)} for name, value in {**TUNED, **settings}.items()
    ]
    sections = {"settings": rows, "server": {"provider": service}, "database_sizes": [{"size_bytes": size / 2}] * 2}
    if memory:
        sections["host"] = {"server_seen": True, "memory_bytes": memory}
    return judged("memory-settings", planted(**sections))


def test_tuned() -> None:
    assert judge() == []
    assert judge(memory=16 * GIB) == []


def test_shared_buffers() -> None:
    as_it_comes = {"shared_buffers": 16384}
    assert judge(0.999e9, **as_it_comes) == []
    assert judge(1e9, shared_buffers=16385) == []
    [found] = judge(1e9, **as_it_comes)
    assert "'512MB'" in found.remedy
    for memory, proposed in ((8 * GIB, "2048MB"), (256 * GIB, "8192MB"), (0.8 * GIB, "256MB")):
        [found] = judge(1e9, memory, **as_it_comes)
        assert f"'{proposed}'" in found.remedy
    assert judge(1e9, 0.6 * GIB, **as_it_comes) == []  # there is no more


def test_work_mem_times_connections() -> None:
    full = {"work_mem": 40 * 1024, "max_connections": 100}  # 3.9 GiB, and 4 GiB of shared_buffers
    assert judge(**full) == []  # nobody knows of how much
    assert judge(memory=8 * GIB, **full) == []
    [found] = judge(memory=7.9 * GIB, **full)
    assert (found.key, "'20MB'" in found.remedy) == ("work_mem", True)


def test_max_connections_and_random_page_cost() -> None:
    assert [len(judge(max_connections=most)) for most in (500, 501)] == [0, 1]
    [found] = judge(service="rds", max_connections=5000)
    assert (found.severity, "ALTER SYSTEM SET" in found.remedy) == (Severity.INFO, False)
    assert [len(judge(random_page_cost=cost)) for cost in (3.9, 4)] == [0, 1]
    assert judge(0.5e9, random_page_cost=4) == []
    assert judge(random_page_cost=4, seq_page_cost=2) == []


def test_databases_that_were_not_measured_yet() -> None:
    with pytest.raises(NotExamined):
        judged("memory-settings", planted(settings=[], server={}))
