"""index-unused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pgdoctor_lib.checks.state import Watch
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Database
from tests.waiting import wait_for

MB = 1024**2
WEEK = 7 * 86400


def test_an_index_that_nobody_reads(database: Database, doctor: Callable[..., Doctor]) -> None:
    database.sql("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (n int, p int REFERENCES p)")
    database.sql("CREATE INDEX ON t (p); CREATE UNIQUE INDEX ON t (n); CREATE INDEX ON t ((n + p))")
    unused = doctor(database, "index-unused", least_days=0, least_bytes=0)
    unused.healthy()
    database.sql('CREATE INDEX "X" ON t (n DESC)')
    wait_for(lambda: unused.look() == [] and unused.state.watched, "it is not seen, or told at once")
    aged = {key: Watch(watch.since - WEEK, watch.times) for key, watch in unused.state.watched.items()}
    unused.state = replace(unused.state, watched=aged)
    found = unused.sick()
    assert (found.id, found.severity) == ("index-unused:public.X", Severity.INFO)
    paste(database, found.remedy)
    unused.healthy()


def test_counters_that_are_young(database: Database, doctor: Callable[..., Doctor]) -> None:
    unused = doctor(database, "index-unused")
    assert unused.look() == []
    assert "counters have run for 0 days" in unused.not_examined


INDEX = {
    "indexrelid": 7,
    "schemaname": "s",
    "relname": "t",
    "indexrelname": "x",
    "relkind": "i",
    "indisvalid": True,
    "size_bytes": 10 * MB,
    "unused_since": "2025-12-02T00:00:00+00:00",  # 30 days before
}


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 1),
        ({"unused_since": "2025-12-02T00:00:01+00:00"}, 0),
        ({"unused_since": None}, 0),
        ({"size_bytes": 10 * MB - 1}, 0),
        ({"size_bytes": None}, 0),
        ({"indisunique": True}, 0),
        ({"indisprimary": True}, 0),
        ({"indisexclusion": True}, 0),
        ({"backs_constraint": True}, 0),
        ({"supports_foreign_key": True}, 0),
        ({"indisreplident": True}, 0),
        ({"indisclustered": True}, 0),
        ({"has_expressions": True}, 0),  # its statistics
        ({"is_partition": True}, 0),
        ({"is_extension_member": True}, 0),
        ({"indisvalid": False}, 0),
        ({"duplicate_of": "y"}, 0),  # these two are another check's
        ({"redundant_to": "y"}, 0),
    ],
)
def test_what_is_told(more: dict[str, object], count: int) -> None:
    found = judged("index-unused", planted(indexes=[{**INDEX, **more}]))
    assert [each.severity for each in found] == [Severity.INFO] * count


def test_a_standby_may_use_it() -> None:
    [found] = judged("index-unused", planted(indexes=[INDEX], replication={"sender_count": 1}))
    assert "ask each" in found.remedy
    [found] = judged("index-unused", planted(indexes=[INDEX], replication={"sender_count": 0}))
    assert found.remedy == "DROP INDEX CONCURRENTLY s.x;\n"
    [found] = judged("index-unused", planted(indexes=[{**INDEX, "relkind": "I"}]))
    assert found.remedy == "DROP INDEX s.x;\n"
