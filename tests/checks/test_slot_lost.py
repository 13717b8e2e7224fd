"""slot-lost."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server


@pytest.mark.parametrize("major", [13, 18])
def test_a_slot_whose_wal_is_gone(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major, max_slot_wal_keep_size="1MB", max_wal_size="32MB", min_wal_size="32MB")
    slots = doctor(server, "slot-lost")
    slots.healthy()
    server.sql("SELECT pg_create_physical_replication_slot('gone', true)")
    slots.healthy()
    for _ in range(4):
        server.sql("CREATE TABLE filler AS SELECT g FROM generate_series(1, 1000) g; DROP TABLE filler")
        server.sql("SELECT pg_switch_wal()")
    server.sql("CHECKPOINT")
    found = slots.sick()
    assert (found.id, found.severity, found.subject) == ("slot-lost:gone", Severity.CRITICAL, "gone")
    paste(server, found.remedy)
    slots.healthy()


def test_what_is_told_of_each_state() -> None:
    slot = {"slot_name": "s", "slot_type": "logical"}
    for status, count in (("reserved", 0), ("extended", 0), (None, 0), ("unreserved", 1), ("lost", 1)):
        assert len(judged("slot-lost", planted(slots=[{**slot, "wal_status": status}]))) == count
    [found] = judged("slot-lost", planted(slots=[{**slot, "wal_status": "reserved", "conflicting": True}]))
    assert found.severity is Severity.CRITICAL
