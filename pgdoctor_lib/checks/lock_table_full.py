"""The shared table of locks is nearly full."""

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.units import format_count

_PROCESSES = ("max_connections", "max_prepared_transactions", "max_worker_processes", "max_wal_senders")


@check(category="locks and transactions", scope="server", reads=("locks", "server", "settings"))
def lock_table_full(now: Document, before: Document, *, warning_percent: float = 80) -> Said:
    """Sessions hold nearly as many locks as there is room for (pg_locks, max_locks_per_transaction)."""
    held, room = now.total("locks").get("shared_count"), _room(now)
    if held is None or room is None:
        raise NotExamined("how many locks there is room for is not known")
    percent = 100 * held / room
    if percent >= warning_percent:
        each = int(now.one("server")["max_locks_per_transaction"])
        yield warning(
            "",
            f"sessions hold {format_count(held)} locks, and there is room for about {format_count(room)} "
            f'({percent:.0f} %): once it is used up, statements fail with "out of shared memory"',
            subject="max_locks_per_transaction",
            threshold=f"{warning_percent:g} % of max_locks_per_transaction ({each}) for each process that there may be",
            evidence={
                "shared_count": held,
                "room": room,
                **{name: now.one("server").get(name) for name in _PROCESSES},
            },
            remedy=_WHO + alter_system(now, {"max_locks_per_transaction": str(2 * each)}, restart=True),
            caution="some shared memory; on standbys first, where it must never be lower than on the primary",
        )


_WHO = """-- who holds them: a pg_dump, DDL or a query over very many tables or partitions
SELECT pid, count(*) FROM pg_locks WHERE NOT fastpath GROUP BY pid ORDER BY 2 DESC LIMIT 5;
"""


def _room(now: Document) -> int | None:
    """As the server reckons: so many a process, whichever process they are of. A little more shared memory is there."""
    server, slots = now.one("server"), now.number_setting("autovacuum_worker_slots") if now.has("settings") else None
    workers = slots or server.get("autovacuum_max_workers")  # 18+: workers up to so many need no restart
    counts = [*map(server.get, _PROCESSES), workers, server.get("max_locks_per_transaction")]
    if None in counts:
        return None
    *processes, each = map(int, counts)  # type: ignore[arg-type]
    return (sum(processes) + 1) * each  # and the launcher of autovacuum
