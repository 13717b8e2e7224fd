"""What collecting costs, counted in what does not wobble: statements, bytes, allocations. Times are in bench/."""

import gzip
import tracemalloc

from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.snapshot import Collected
from tests.postgres.server import Database, Server

CALLS = """
    SELECT coalesce(sum(calls), 0)::int, coalesce(sum(rows), 0)::int
      FROM pg_stat_statements JOIN pg_roles r ON r.oid = userid WHERE rolname = %s
"""


def collecting(database: Database, server: Memory | None = None) -> Collecting:
    return Collecting(Dsn.parse(database.dsn, {}), 20, routine=Routine(database.name, 60.0, server or Memory()))


def size(collected: Collected) -> int:
    """Of what goes over the wire, about."""
    text = "".join(section.json for section in collected.sections) + (collected.top_queries or "")
    return len(gzip.compress(text.encode(), 6))


def calls(database: Database) -> tuple[int, int]:
    """Statements that the database's role has sent since the last reset, and the rows that came."""
    [found] = database.sql(CALLS, (database.role,))
    return found


def test_a_cycle_takes_four_statements_and_a_few_rows(newest_database: Database) -> None:
    one = collecting(newest_database)
    for _ in range(3):
        one.once()
    newest_database.sql("SELECT pg_stat_statements_reset()")
    one.once()
    statements, rows = calls(newest_database)
    one.close()
    assert statements <= 4  # BEGIN, the limits, what is asked, COMMIT
    assert rows <= 2


def test_a_cycle_of_many_databases_of_one_server_takes_four_each(newest_server: Server) -> None:
    databases, memory = [newest_server.new_database() for _ in range(4)], Memory()
    several = [collecting(each, memory) for each in databases]
    for each in [*several, *several]:
        each.once()
    databases[0].sql("SELECT pg_stat_statements_reset()")
    last = [each.once() for each in several]
    assert [calls(each)[0] for each in databases] == [4] * 4
    assert max(map(size, last[1:])) < size(last[0])
    for each, database in zip(several, databases, strict=True):
        each.close()
        database.drop()


def test_a_snapshot_is_small(newest_database: Database) -> None:
    one = collecting(newest_database)
    everything, usual = one.once(), one.once()
    one.close()
    assert size(everything) <= 20_000
    assert size(usual) <= 8_000


def test_many_tables_cost_the_agent_nothing(newest_database: Database) -> None:
    """The server ranks and sums them: what comes is bounded."""
    one = collecting(newest_database)
    one.once()
    few = _peak(one)
    for begin in range(0, 2000, 500):
        newest_database.sql(
            f"DO $$ BEGIN FOR i IN {begin}..{begin + 499} LOOP"
            " EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i); END LOOP; END $$"
        )
    one.close()
    again = collecting(newest_database)
    again.once()
    many = _peak(again)
    again.close()
    assert many - few < 1_500_000
    assert many < 3_000_000


def _peak(one: Collecting) -> int:
    """Bytes that Python had at once during a cycle, beyond those before it."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    one.once()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - before
