"""lock-table-full."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.finding import Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server

FEW = {"max_locks_per_transaction": 10, "max_connections": 20, "max_worker_processes": 1, "max_wal_senders": 2}
MAKE = "DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('CREATE TABLE t%s (x int)', n); COMMIT; END LOOP; END $$"
LOCK = "DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('LOCK TABLE t%s IN SHARE MODE', n); END LOOP; END $$"


@pytest.mark.parametrize("major", [12, 18])
def test_a_transaction_that_locks_all_there_is(
    make_server: Callable[..., Server], doctor: Callable[..., Doctor], major: int
) -> None:
    server = make_server(major)
    slots = {"autovacuum_worker_slots": 3} if major >= 18 else {}
    for name, value in {**FEW, **slots}.items():
        server.sql(f"ALTER SYSTEM SET {name} = {value}")
    server.restart()
    server.sql(MAKE)
    locks = doctor(server, "lock-table-full")
    locks.healthy()
    session = server.connect()
    session.cursor().execute("BEGIN")
    session.cursor().execute(LOCK)
    found = locks.sick()
    assert (found.id, found.severity) == ("lock-table-full", Severity.WARNING)
    paste(server, found.remedy)
    session.close()
    server.restart()
    session = server.connect()
    session.cursor().execute("BEGIN")
    session.cursor().execute(LOCK)
    locks.healthy()
    session.close()


def test_how_much_room_there_is() -> None:
    server = {
        "max_connections": 100,
        "max_prepared_transactions": 0,
        "max_worker_processes": 8,
        "max_wal_senders": 10,
        "autovacuum_max_workers": 3,
        "max_locks_per_transaction": 64,
    }

    def held(count: int, slots: int | None = None, **more: object) -> int:
        settings = [{"name": "autovacuum_worker_slots", "setting": str(slots)}] if slots else []
        locks = {"rows": [], "total": {"count": 0, "shared_count": count}, "more": 0}
        return len(judged("lock-table-full", planted(locks=locks, server={**server, **more}, settings=settings)))

    assert (held(6246), held(6247)) == (0, 1)  # 80 % of 64 × 122
    assert held(6247, max_locks_per_transaction=128) == 0
    assert (held(6911, 16), held(6912, 16)) == (0, 1)  # 18+: 80 % of 64 × 135
    with pytest.raises(NotExamined):
        held(1, max_locks_per_transaction=None)
