"""The section `queries`: statements that are first by any measure, with all their counters, and sums over all."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pgdoctor_lib.collectors import statements as remembered
from pgdoctor_lib.collectors import top_queries
from pgdoctor_lib.collectors.elsewhere import Elsewhere, candidates
from pgdoctor_lib.collectors.known import LASTS_S, MOST, Known
from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.collectors.statements import OLD_S, Statements
from pgdoctor_lib.collectors.top_queries import TopQueries
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.session import Session
from tests.postgres.server import Database, Server


class Found:
    """What one reading brought, parsed."""

    def __init__(self, read: top_queries.TopQueries) -> None:
        assert read.queries is not None and read.json is not None
        section = json.loads(read.queries, parse_constant=pytest.fail)
        self.rows: list[dict[str, Any]] = section["rows"]
        self.total: dict[str, Any] = section["total"]
        self.more: int = section["more"]
        self.top: list[dict[str, Any]] = json.loads(read.json)
        self.errors = read.errors
        self.size = len(read.queries) + len(read.json)

    def row(self, word: str, **wanted: object) -> dict[str, Any]:
        """The only row whose text has `word` in it."""
        [found] = [row for row in self.rows if word in (row["query"] or "") and wanted.items() <= row.items()]
        return found

    def has(self, word: str) -> bool:
        return any(word in (row["query"] or "") for row in self.rows)


def read(dsn: str, limit: int = 20, query_text: QueryText = "masked") -> Found:
    with connect(Dsn.parse(dsn, {})) as session:
        return Found(of(Statements(limit, query_text), session, 0.0))


def of(statements: Statements, session: Session, now: float, whose: Database | None = None) -> top_queries.TopQueries:
    """What is told of a database, this session's if it is not named, to one that comes each minute."""
    facts = session.facts
    if whose:
        [(oid,)] = whose.sql("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
        facts = replace(facts, db_name=whose.name, db_oid=oid)
    return statements.of(facts.db_name, facts, 60.0, now, session, 5.0)


def test_a_row_has_all_counters(database: Database) -> None:
    database.sql("CREATE TABLE t (x int)")
    database.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    for _ in range(3):
        database.sql("SELECT count(*) AS counted_here FROM t")
    found = read(database.dsn)
    row = found.row("counted_here")
    assert (row["calls"], row["rows"], row["rolname"]) == (3, 3, "postgres")
    assert row["query"] == "SELECT count(*) AS counted_here FROM t"
    assert row["shared_blks_hit"] + row["shared_blks_read"] >= 3 * 5
    assert row["mean_exec_time_ms"] == pytest.approx(row["total_exec_time_ms"] / 3, abs=0.01)
    assert row["min_exec_time_ms"] <= row["mean_exec_time_ms"] <= row["max_exec_time_ms"]
    [(userid, queryid)] = database.sql(
        "SELECT userid::bigint, queryid::text FROM pg_stat_statements WHERE query LIKE %s", ("%AS counted_here FROM t",)
    )
    assert (row["userid"], row["queryid"]) == (userid, queryid)
    major = database.server.major
    wrote = found.row("INSERT")
    assert (wrote["rows"], wrote["wal_records"] if major >= 13 else None) == (1000, 1000 if major >= 13 else None)
    assert (wrote["wal_bytes"] is not None, row["toplevel"]) == (major >= 13, True if major >= 14 else None)
    assert (row["jit_functions"], row["parallel_workers_to_launch"]) == (
        0 if major >= 15 else None,
        0 if major >= 18 else None,
    )
    assert (row["stats_since"] is not None) is (major >= 17)
    assert row["plans"] == (0 if major >= 13 else None)


AXES = {
    "by_total": ["SELECT pg_sleep(0.5) AS by_total"],
    "by_mean": ["SELECT pg_sleep(0.05), 1 AS by_mean"] * 5,
    "by_calls": [";".join(["SELECT 1 = 2 AS by_calls"] * 100)],
    "by_rows": ["SELECT x AS by_rows FROM generate_series(1, 30000) x"],
    "by_reads": ["SELECT count(*) AS by_reads FROM large"],
    "by_temp": ["SET work_mem = '64kB'; SELECT x AS by_temp FROM generate_series(1, 20000) x ORDER BY -x OFFSET 19999"],
    "by_wal": ["INSERT INTO by_wal SELECT generate_series(1, 5000)"],
    "by_io": ["SET track_io_timing = on; SELECT sum(x) AS by_io FROM large"],
}


def test_the_first_by_any_measure(database: Database) -> None:
    """Each planted statement is first by one measure; those between are by none."""
    database.sql("CREATE TABLE by_wal (x int)")
    database.sql("CREATE TABLE large AS SELECT x, repeat('x', 1000) AS y FROM generate_series(1, 20000) x")
    database.sql("SELECT pg_stat_statements_reset()")
    for number in range(20):
        database.sql(f"SELECT {', '.join(f'1 AS between_{each}' for each in range(number + 1))}")
    for statements in AXES.values():
        for statement in statements:
            database.sql(statement)
    found = read(database.dsn, limit=2)
    missing = [word for word in AXES if not found.has(word)]
    assert (missing, found.has("between_10")) == ([], False)
    assert found.row("by_mean")["calls"] == 5
    assert found.row("by_calls")["calls"] == 100
    assert found.row("by_rows")["rows"] == 30000
    assert found.row("by_reads")["shared_blks_read"] > 1000
    assert found.row("by_temp")["temp_blks_written"] > 10
    assert found.row("by_io")["shared_blk_read_time_ms"] > 0
    assert len(found.top) == 2
    assert found.more == found.total["count"] - len(found.rows) > 15


@pytest.mark.pg(">= 15")
def test_by_jit_time(newest_database: Database) -> None:
    if newest_database.sql("SELECT pg_jit_available()") == [(False,)]:
        pytest.skip("this server has no JIT")
    newest_database.sql("SET jit_above_cost = 0; SELECT sum(x) AS compiled FROM generate_series(1, 10) x")
    assert read(newest_database.dsn, limit=1).row("compiled")["jit_functions"] > 0


def test_sums_over_all(database: Database) -> None:
    before = read(database.dsn).total
    for number in range(1, 30):
        database.sql(f"SELECT {', '.join('1' * number)} FROM generate_series(1, 3)")
    database.sql("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 5000) x")
    after = read(database.dsn, limit=1).total
    assert after["count"] - before["count"] >= 30
    assert after["calls"] - before["calls"] >= 30
    assert after["rows"] - before["rows"] >= 29 * 3 + 5000
    assert after["max"] == 5000
    assert after["entries"] >= after["count"]
    assert (after["track"], after["track_utility"], after["recording"]) == ("top", True, True)
    major = database.server.major
    assert (after["dealloc"], after["stats_reset"] is None) == ((0, False) if major >= 14 else (None, True))
    assert (after["wal_bytes"] is not None and after["wal_bytes"] > 5000 * 20) is (major >= 13)


def test_own_statements_are_summed_and_left_out(database: Database) -> None:
    database.sql("SELECT 1 AS theirs")
    for _ in range(3):
        found = read(database.dsn, limit=100)
    assert not found.has("pgdoctor")
    assert found.total["own_calls"] >= 3
    assert 0 < found.total["own_exec_time_ms"] < found.total["total_exec_time_ms"]
    assert found.total["own_calls"] < found.total["calls"]


def test_own_prepared_statements_too(database: Database) -> None:
    """What PostgreSQL keeps as the text of a prepared statement is its PREPARE."""
    own = "SELECT /* pgdoctor */ 1 AS one_of_ours"
    database.sql(f"BEGIN READ ONLY; PREPARE pgdoctor_1 AS {own}; EXECUTE pgdoctor_1; EXECUTE pgdoctor_1; COMMIT")
    before = read(database.dsn, limit=100)
    assert not before.has("one_of_ours") and not before.has("pgdoctor")
    assert not [row for row in before.top if "pgdoctor" in (row["normalized_query"] or "")]
    database.sql(f"PREPARE pgdoctor_2 AS {own}; EXECUTE pgdoctor_2; EXECUTE pgdoctor_2")
    assert read(database.dsn).total["own_calls"] - before.total["own_calls"] >= 2


def test_roles_and_levels_have_rows_of_their_own(newest_database: Database) -> None:
    database = newest_database
    database.sql("SET pg_stat_statements.track = 'all'; DO 'BEGIN PERFORM 1 AS shared_by_all; END'")
    database.sql("SELECT 1 AS shared_by_all")
    database.sql(f"SET ROLE {database.role}; SELECT 1 AS shared_by_all")
    found = read(database.dsn, limit=50)
    [top] = [row for row in found.top if "shared_by_all" in (row["normalized_query"] or "")]
    rows = [row for row in found.rows if row["queryid"] == top["fingerprint"]]
    told = {(row["rolname"], row["toplevel"], row["calls"]) for row in rows}
    assert told == {("postgres", True, 1), ("postgres", False, 1), (database.role, True, 1)}
    assert (top["calls"], len([row for row in rows if row["query"]])) == (3, 1)


@pytest.mark.pg(">= 18")
@pytest.mark.parametrize("version", ["1.4", "1.6", "1.7", "1.8", "1.9", "1.10", "1.11"])
def test_an_old_version_of_the_extension(newest_database: Database, version: str) -> None:
    newest_database.sql(f"DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '{version}'")
    newest_database.sql("SELECT 1 AS counted_here")
    old = read(newest_database.dsn)
    newest_database.sql("ALTER EXTENSION pg_stat_statements UPDATE")
    new = read(newest_database.dsn)
    at, then = old.row("counted_here"), new.row("counted_here")
    assert list(at) == list(then) and list(old.total) == list(new.total)
    since = {"plans": "1.8", "toplevel": "1.9", "jit_functions": "1.10", "stats_since": "1.11"}
    number = int(version.split(".")[1])
    assert {name: at[name] is not None for name in since} == {
        name: number >= int(first.split(".")[1]) for name, first in since.items()
    }
    assert (at["parallel_workers_launched"], then["parallel_workers_launched"]) == (None, 0)
    for name in ("calls", "rows", "total_exec_time_ms", "min_exec_time_ms", "shared_blk_read_time_ms"):
        assert at[name] == then[name]
    assert (old.total["dealloc"], new.total["dealloc"]) == (None if number < 9 else 0, 0)


def test_another_schema(newest_database: Database) -> None:
    newest_database.sql('CREATE SCHEMA "We ird\'"; ALTER EXTENSION pg_stat_statements SET SCHEMA "We ird\'"')
    newest_database.sql(f'GRANT USAGE ON SCHEMA "We ird\'" TO {newest_database.role}')
    newest_database.sql("SELECT 1 AS counted_here")
    found = read(newest_database.dsn)
    assert found.row("counted_here")["calls"] == 1
    assert [row["calls"] for row in found.top if "counted_here" in (row["normalized_query"] or "")] == [1]
    assert found.total["own_calls"] > 0


def test_the_extension_in_another_database(database: Database) -> None:
    database.sql("DROP EXTENSION pg_stat_statements")
    database.sql("SELECT 1 AS counted_here")
    other = database.server.new_database()
    other.sql("SELECT 1 AS counted_there")
    dsn = Dsn.parse(database.dsn, {})
    try:
        with connect(dsn) as session:
            databases, facts = candidates(session), session.facts
        statements = Statements(20, "masked")

        def visit(name: str, use: Callable[[Session], TopQueries | None]) -> TopQueries | None:
            with connect(dsn, dbname=name) as there:
                return use(there)

        found = Found(
            Elsewhere().read(
                databases,
                visit,
                lambda there: of(statements, there, 0.0, database),
                facts,
            )
        )
    finally:
        other.drop()
    assert found.row("counted_here")["rolname"] == "postgres"
    assert not found.has("counted_there")
    assert found.total["count"] < found.total["entries"]


def test_hidden_statements_are_counted(newest_database: Database) -> None:
    newest_database.server.create_role("bare", "secret", grants=())
    newest_database.sql("SELECT 1 AS seen_by_nobody_else FROM generate_series(1, 777)")
    try:
        newest_database.sql("SET ROLE bare; SELECT 1 AS own_one")
        found = read(newest_database.server.dsn(newest_database.name, "bare", "secret"))
    finally:
        newest_database.server.sql("DROP ROLE bare")
    assert (found.row("own_one")["rolname"], found.has("seen_by_nobody")) == ("bare", False)
    assert found.total["hidden_count"] >= 1
    assert found.total["rows"] >= 777
    assert "are hidden from bare" in found.errors[0].error


@pytest.mark.pg(">= 14")
def test_statements_thrown_out_for_want_of_room(make_server) -> None:
    server = make_server(**{"pg_stat_statements.max": 100})
    server.sql("CREATE EXTENSION pg_stat_statements")
    many = ";".join(f"SELECT {', '.join('1' * number)}" for number in range(1, 160))
    server.sql(many)
    total = read(server.dsn()).total
    assert (total["dealloc"] >= 1, total["max"]) == (True, 100)
    assert 50 <= total["entries"] <= 100


def test_a_reset_in_between(database: Database) -> None:
    for _ in range(3):
        database.sql("SELECT 1 AS counted_here")
    before = read(database.dsn)
    database.server.forget_statements(database.name)
    after = read(database.dsn)
    assert before.has("counted_here") and not after.has("counted_here")
    assert after.total["calls"] < before.total["calls"]


@pytest.mark.pg(">= 14")
def test_a_reset_of_all_is_told(fresh_server) -> None:
    fresh_server.sql("CREATE EXTENSION pg_stat_statements")
    before = read(fresh_server.dsn()).total["stats_reset"]
    fresh_server.sql("SELECT pg_stat_statements_reset()")
    assert read(fresh_server.dsn()).total["stats_reset"] > before


def test_a_text_is_told_once(newest_database: Database) -> None:
    newest_database.sql("SELECT 1 AS counted_here")
    first, *later = readings(newest_database, "SELECT 1", "SELECT 1, 2 AS another", "SELECT 1")
    row = first.row("counted_here")
    for each in later:
        assert [again["query"] for again in each.rows if again["queryid"] == row["queryid"]] == [None]
        assert [again for again in each.top if "counted_here" in (again["normalized_query"] or "")]
        assert not [again for again in each.top if "pgdoctor" in (again["normalized_query"] or "")]
    assert [each.has("another") for each in later] == [False, True, False]


def test_texts_are_read_again_after_an_hour(newest_database: Database) -> None:
    newest_database.sql("SELECT 1 AS counted_here")
    statements = Statements(20, "masked")
    with connect(Dsn.parse(newest_database.dsn, {})) as session:
        told = [
            Found(of(statements, session, now)).has("counted_here")
            for now in (0.0, 60.0, LASTS_S - 1, LASTS_S, LASTS_S + 60)
        ]
    assert told == [True, False, False, True, False]


def test_so_many_texts_at_a_time_and_all_in_the_end(newest_database: Database) -> None:
    for number in range(1, 60):
        newest_database.sql(f"SELECT {', '.join('1' * number)} /* {'x ' * 3000} */ AS many_of_them")
    statements, told = Statements(100, "masked"), set()
    with connect(Dsn.parse(newest_database.dsn, {})) as session:
        for cycle in range(6):
            found = Found(of(statements, session, cycle * 400.0))
            assert sum(len(row["query"] or "") for row in found.rows) <= 60_000
            assert max(len(row["query"] or "") for row in found.rows) <= 5000
            told |= {row["queryid"] for row in found.rows if row["query"]}
            many = {row["fingerprint"] for row in found.top if "many_of_them" in (row["normalized_query"] or "")}
            assert len(many) == 59
    assert many <= told


def readings(database: Database, *between: str) -> list[Found]:
    """One after the other, minutes apart, each after one more statement."""
    statements, found = Statements(20, "masked"), []
    with connect(Dsn.parse(database.dsn, {})) as session:
        for number, statement in enumerate(("SELECT 1", *between)):
            database.sql(statement)
            found.append(Found(of(statements, session, number * 60.0)))
    return found


Readings = list[tuple[int, bool]]


@pytest.fixture
def readings_made(monkeypatch: pytest.MonkeyPatch) -> Readings:
    """Of each reading: for how many databases, and whether with texts."""
    made: Readings = []
    real = top_queries.read

    def read(session: Session, databases: Any, limit: int, query_text: QueryText, told: Any, timeout_s: float) -> Any:
        made.append((len(databases), told is not None))
        return real(session, databases, limit, query_text, told, timeout_s)

    monkeypatch.setattr(top_queries, "read", read)
    return made


@pytest.fixture
def several(newest_server: Server) -> Iterator[list[Database]]:
    """Four databases with a statement each."""
    databases = [newest_server.new_database() for _ in range(4)]
    for each in databases:
        each.sql(f"SELECT 1 AS counted_in_{each.name}")
    yield databases
    for each in databases:
        each.drop()


def session_of(database: Database) -> Session:
    return connect(Dsn.parse(database.server.dsn(database.name), {}))


def test_one_reading_is_for_those_whose_turn_is_next(several: list[Database], readings_made: Readings) -> None:
    statements = Statements(20, "masked")
    with session_of(several[0]) as session:
        for now in (0.0, 60.0, 120.0):
            for each in several:
                found = Found(of(statements, session, now, each))
                texts = {
                    row["normalized_query"] for row in found.top if "counted_in" in (row["normalized_query"] or "")
                }
                assert texts == {f"SELECT $1 AS counted_in_{each.name}"}
                assert found.has(f"counted_in_{each.name}") is (now == 0.0)
                assert found.total["count"] >= len(found.rows) > 0
    assert readings_made == [(1, True)] * 4 + [(4, False), (4, True)] + [(4, False)]


def test_a_reading_for_several_brings_no_larger_piece_than_one_for_each(several: list[Database]) -> None:
    """What libpq keeps room for goes by the largest: a session is kept that reads for others."""
    with session_of(several[0]) as session:
        names = [each.name for each in several]
        told = several[0].server.sql("SELECT oid FROM pg_database WHERE datname = ANY (%s)", (names,))
        oids = {int(oid): frozenset[int]() for (oid,) in told}
        found = top_queries.read(session, oids, 20, "masked", oids, 5.0)
    sizes = [len(part.queries) for part in found.parts.values()]
    assert set(found.parts) == set(oids)
    assert max(sizes) <= session.largest_answer < sum(sizes)


def test_what_is_old_is_read_anew_and_its_texts_are_told(several: list[Database], readings_made: Readings) -> None:
    early, late, *_ = several
    statements = Statements(20, "masked")
    with session_of(early) as session:
        for each in (early, late):
            of(statements, session, 0.0, each)
        late.sql("SELECT 1, 2 AS counted_here")
        of(statements, session, 60.0, early)
        found = Found(of(statements, session, 60.0 + OLD_S + 1, late))
    assert found.has("counted_here")
    assert readings_made[2:] == [(2, False), (2, True), (1, False), (1, True)]


def test_who_comes_while_it_is_read_for_waits_for_it(
    several: list[Database], readings_made: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = several
    statements, found = Statements(20, "masked"), []
    with session_of(first) as session:
        for each in (first, second):
            of(statements, session, 0.0, each)
        second.sql("SELECT 1, 2 AS counted_here")
        [(oid,)] = second.sql("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
        facts = replace(session.facts, db_name=second.name, db_oid=oid)
        come = partial(statements.of, second.name, facts, 60.0, 60.01, None, 5.0)
        waiting = threading.Thread(target=lambda: found.append(come()))
        real = top_queries.read

        def read(*given: Any) -> Any:
            if not waiting.ident:
                waiting.start()
            return real(*given)

        monkeypatch.setattr(remembered, "PATIENCE_S", 30.0)
        monkeypatch.setattr(top_queries, "read", read)
        of(statements, session, 60.0, first)
        waiting.join()
    assert Found(found[0]).has("counted_here")


def test_a_database_that_spoils_the_reading_spoils_its_own(
    several: list[Database], readings_made: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements, real = Statements(20, "masked"), top_queries.read
    with session_of(several[0]) as session:
        for each in several:
            of(statements, session, 0.0, each)

        def read(session: Session, databases: Any, *more: Any) -> Any:
            if len(databases) > 1:
                raise DatabaseError("canceling statement due to statement timeout", sqlstate="57014")
            return real(session, databases, *more)

        monkeypatch.setattr(top_queries, "read", read)
        for now in (60.0, 120.0):
            assert all(of(statements, session, now, each).json for each in several)
        monkeypatch.setattr(top_queries, "read", real)
        readings_made.clear()


def test_two_that_collect_from_one_database_are_both_told_its_texts(newest_database: Database) -> None:
    newest_database.sql("SELECT 1 AS counted_here")
    statements = Statements(20, "masked")
    with session_of(newest_database) as session:
        for now in (0.0, 60.0):
            found = [
                Found(statements.of(name, session.facts, 60.0, now, session, 5.0)) for name in ("one", "production/one")
            ]
            assert [each.has("counted_here") for each in found] == [now == 0.0] * 2
            assert all([row for row in each.top if "counted_here" in (row["normalized_query"] or "")] for each in found)


def test_texts_are_masked(newest_database: Database) -> None:
    newest_database.sql("CREATE ROLE made_here PASSWORD 'hunter2'; DROP ROLE made_here")
    masked = read(newest_database.dsn)
    assert masked.row("CREATE ROLE")["query"].endswith("PASSWORD '***'")
    full = read(newest_database.dsn, query_text="full")
    assert "hunter2" not in json.dumps([masked.rows, full.rows])
    none = read(newest_database.dsn, query_text="none")
    assert {row["query"] for row in none.rows} == {None}


def test_known_forgets_after_an_hour() -> None:
    known = Known()
    known.add(frozenset({"1", "2"}), 100.0)
    known.add(frozenset({"3"}), 3000.0)
    assert known.ids(100.0 + LASTS_S - 1) == {"1", "2", "3"}
    assert known.ids(100.0 + LASTS_S) == frozenset()
    known.add(frozenset({"4"}), 5000.0)
    assert known.ids(5000.0 + LASTS_S - 1) == {"4"}
    known.forget()
    assert known.ids(5000.0) == frozenset()


def test_known_is_bounded() -> None:
    known = Known()
    for start in range(0, 3 * MOST, 1000):
        known.add(frozenset(map(str, range(start, start + 1000))), 1.0)
    assert len(known.ids(1.0)) == MOST


def test_the_section_is_in_the_snapshot_and_its_texts_in_one_of_many(newest_database: Database) -> None:
    newest_database.sql("SELECT 1 AS counted_here")
    collecting = Collecting(Dsn.parse(newest_database.dsn, {}), 20)
    texts = []
    for _ in range(2):
        sections = {section.name: section.json for section in collecting.once().sections}
        texts.append("counted_here" in sections["queries"])
        assert json.loads(sections["queries"])["total"]["recording"] is True
    assert texts == [True, False]
