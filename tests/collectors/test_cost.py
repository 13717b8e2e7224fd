"""What collecting costs, counted in what does not wobble: statements, bytes, allocations. Times are in bench/."""

import gzip
import tracemalloc
from types import SimpleNamespace

import pytest

from pgdoctor_lib.collectors import run
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.snapshot import Collected
from tests.postgres.server import Database, Server

CALLS = """
    SELECT coalesce(sum(calls), 0)::int, coalesce(sum(rows), 0)::int
      FROM pg_stat_statements JOIN pg_roles r ON r.oid = userid WHERE rolname = %s
"""


def collecting(database: Database) -> Collecting:
    return Collecting(Dsn.parse(database.dsn, {}), 20, routine=Routine(database.name, 60.0, Memory()))


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
    calls(newest_database)  # or its text would be news
    for _ in range(3):
        one.once()
    before = calls(newest_database)
    one.once()
    after = calls(newest_database)
    one.close()
    assert after[0] - before[0] <= 4  # the limits and what is asked; once more for statements
    assert after[1] - before[1] <= 4


def test_a_cycle_of_many_databases_of_one_server_takes_one_each(
    newest_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases, memory = [newest_server.new_database() for _ in range(4)], Memory()
    role = databases[0]
    dsns = {each.name: newest_server.dsn(each.name, role.role, role.password) for each in databases}
    several = [Collecting(Dsn.parse(dsn, {}), 20, routine=Routine(name, 60.0, memory)) for name, dsn in dsns.items()]
    counts = []
    for cycle in range(5):  # a minute from one to the next
        monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda now=60.0 * cycle: now))
        last = [each.once() for each in several]
        counts.append(calls(role)[0])
    # One of them reads the statements of all, within limits of its own, and goes back to those for the rest.
    assert counts[-1] - counts[-2] == len(databases) + 3
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
