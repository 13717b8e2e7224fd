"""pg_stat_statements: any schema, any database of the server, any version; and why not, where not."""

import pytest

from pgdoctor_lib.collectors import elsewhere
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config.dsn import Dsn
from tests.collectors.conftest import Collect
from tests.postgres.server import Database, Server

SHAPE = ["fingerprint", "normalized_query", "calls", "total_exec_time_ms", "mean_exec_time_ms", "rows"]


def test_the_shape_of_the_first_pgdoctor(database: Database, collect: Collect) -> None:
    database.sql("SELECT pg_stat_statements_reset()")
    for number in (1, 2, 3):
        database.sql(f"SELECT {number} AS counted_here FROM generate_series(1, 2)")
    found = collect(database.dsn).query("counted_here")
    assert list(found) == SHAPE
    assert (found["calls"], found["rows"]) == (3, 6)
    assert "$1" in found["normalized_query"]
    assert found["mean_exec_time_ms"] == pytest.approx(found["total_exec_time_ms"] / 3, abs=0.01)
    assert isinstance(found["fingerprint"], str)


def test_the_most_expensive_come_first_and_only_so_many(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("SELECT pg_sleep(0.05) AS slowest")
    for number in range(30):
        newest_database.sql(f"SELECT {', '.join('1' * (number + 1))}")
    found = collect(newest_database.dsn, 7).top_queries
    assert found is not None
    times = [row["total_exec_time_ms"] for row in found]
    assert (len(times), times) == (7, sorted(times, reverse=True))
    assert "slowest" in "".join(row["normalized_query"] for row in found)


def test_own_statements_and_other_databases_are_left_out(database: Database, collect: Collect) -> None:
    """PostgreSQL 18 drops a comment that begins a statement, so that ours stands within."""
    database.server.sql("SELECT 1 AS not_of_this_database")
    database.sql("SELECT 1 AS of_this_one")
    for _ in range(3):
        found = collect(database.dsn, 200)
    assert found.top_queries
    texts = [row["normalized_query"] for row in found.top_queries]
    assert [text for text in texts if "of_this_one" in text]
    ours = ("pgdoctor", "set_config", "MATERIALIZED", "server_version_num", "not_of_this_database")
    assert not [text for text in texts for word in ours if word in text]


@pytest.mark.parametrize("schema", ["we ird", "q\"uo'te", "😀 $1 :x"])
def test_any_schema(newest_database: Database, collect: Collect, schema: str) -> None:
    quoted = '"' + schema.replace('"', '""') + '"'
    newest_database.sql(f"CREATE SCHEMA {quoted}; ALTER EXTENSION pg_stat_statements SET SCHEMA {quoted}")
    newest_database.sql("SELECT 1 AS counted_here")
    refused, remedy = collect(newest_database.dsn).errors["top_queries"]
    assert refused == f"permission denied for schema {schema}"
    assert remedy == f'GRANT USAGE ON SCHEMA {quoted} TO "{newest_database.role}";'
    newest_database.sql(remedy.replace("%", "%%"))
    found = collect(newest_database.dsn)
    assert (found.errors, found.query("counted_here")["calls"]) == ({}, 1)


@pytest.mark.parametrize("version", ["1.4", "1.6", "1.8", "1.10"])
def test_an_old_version_of_the_extension(newest_database: Database, collect: Collect, version: str) -> None:
    newest_database.sql(f"DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '{version}'")
    newest_database.sql("SELECT 1 AS counted_here")
    found = collect(newest_database.dsn)
    assert (found.errors, found.query("counted_here")["calls"]) == ({}, 1)


def test_the_extension_in_another_database(database: Database, collect: Collect) -> None:
    database.sql("DROP EXTENSION pg_stat_statements")
    database.sql("SELECT 1 AS counted_here")
    other = database.server.new_database()
    other.sql("SELECT 1 AS counted_there")
    try:
        found = collect(database.dsn)
    finally:
        other.drop()
    assert (found.errors, found.query("counted_here")["calls"]) == ({}, 1)
    assert "counted_there" not in found.text


def test_the_extension_in_no_database(make_server, collect: Collect) -> None:
    server = make_server()
    found = collect(server.dsn())
    assert found.top_queries is None
    assert found.errors["top_queries"][1] == "CREATE EXTENSION pg_stat_statements;"


def test_not_preloaded(fresh_server: Server, collect: Collect) -> None:
    fresh_server.restart(shared_preload_libraries="")
    preload = "add pg_stat_statements to shared_preload_libraries and restart the server"
    created = "CREATE EXTENSION pg_stat_statements;"
    expected = ("pg_stat_statements is not loaded", f"{preload}, then {created}")
    assert collect(fresh_server.dsn()).errors == {"top_queries": expected}
    fresh_server.sql(created)
    assert collect(fresh_server.dsn()).errors == {"top_queries": ("pg_stat_statements is not loaded", preload)}
    assert collect(fresh_server.dsn()).top_queries is None


def test_nothing_is_recorded(fresh_server: Server, collect: Collect) -> None:
    fresh_server.sql("CREATE EXTENSION pg_stat_statements")
    for settings in ({"compute_query_id": "off"}, {"pg_stat_statements.track": "none"}):
        fresh_server.restart(**settings)
        found = collect(fresh_server.dsn())
        assert found.errors["top_queries"][0] == "pg_stat_statements records nothing"
        assert found.top_queries is not None


def test_a_text_of_a_megabyte(database: Database, collect: Collect) -> None:
    names = ", ".join(f"1 AS a_rather_long_name_for_column_{number}" for number in range(1600))
    database.sql(f"SELECT {names} /* {'x' * 1_000_000} */")
    found = collect(database.dsn, 200)
    [text] = [row["normalized_query"] for row in found.top_queries or () if "long_name" in row["normalized_query"]]
    assert len(text) == 10_000
    assert len(found.text) < 200_000


def test_texts_that_this_encoding_lacks(newest_database: Database, collect: Collect) -> None:
    server = newest_database.server
    name = f"latin_{newest_database.name}"
    server.create_database(name, "LATIN1")
    try:
        server.sql("CREATE EXTENSION pg_stat_statements", dbname=name)
        server.sql("SELECT 1 AS counted_here", dbname=name)
        newest_database.sql('SELECT 1 AS "日本語"')
        found = collect(server.dsn(name))
        _, _, remedy = found.errors["top_queries"][1].partition(": ")
        server.sql(remedy, dbname=name)
        cured = collect(server.dsn(name))
    finally:
        server.drop_database(name)
    assert cured.query("counted_here")
    assert cured.errors == {}
    assert "cannot be written in LATIN1" in found.errors["top_queries"][0]
    assert found.top_queries
    assert {row["normalized_query"] for row in found.top_queries} == {None}


def test_bytes_that_are_no_text_cost_all_texts(newest_database: Database, collect: Collect) -> None:
    server = newest_database.server
    name = f"ascii_{newest_database.name}"
    server.create_database(name, "SQL_ASCII")
    try:
        session = server.connect(name)
        session.set_client_encoding("SQL_ASCII")
        session.cursor().execute(b'SELECT 1 AS "\xe9"')
        found = collect(newest_database.dsn)
    finally:
        server.forget_statements(name)
        server.drop_database(name)
    assert "cannot be written in UTF8" in found.errors["top_queries"][0]
    assert found.top_queries
    assert {row["normalized_query"] for row in found.top_queries} == {None}
    assert {row["query"] for row in found.sections["queries"]["rows"]} == {None}


def test_an_encoding_that_none_converts_to_this_one(newest_database: Database, collect: Collect) -> None:
    server = newest_database.server
    here, there = (f"{word}_{newest_database.name}" for word in ("latin", "japanese"))
    server.create_database(here, "LATIN1")
    server.create_database(there, "EUC_JP")
    try:
        server.sql("CREATE EXTENSION pg_stat_statements; SELECT 1 AS counted_here", dbname=here)
        server.sql("SELECT 1 AS plain_enough", dbname=there)
        found = collect(server.dsn(here))
        why, remedy = found.errors["top_queries"]
        server.sql(remedy.partition(": ")[2], dbname=here)
        cured = collect(server.dsn(here))
    finally:
        server.drop_database(here)
        server.drop_database(there)
    assert "cannot be written in LATIN1" in why
    assert found.top_queries
    assert {row["normalized_query"] for row in found.top_queries} == {None}
    assert cured.query("counted_here")
    assert cured.errors == {}


def test_a_function_that_is_missing_is_told_as_such(fresh_server: Server, collect: Collect) -> None:
    made = fresh_server.new_database()
    made.sql("ALTER EXTENSION pg_stat_statements DROP VIEW pg_stat_statements; DROP VIEW pg_stat_statements")
    made.sql(
        "ALTER EXTENSION pg_stat_statements DROP FUNCTION pg_stat_statements(bool);"
        "DROP FUNCTION pg_stat_statements(bool)"
    )
    found = collect(made.dsn)
    assert "pg_stat_statements(boolean) does not exist" in found.errors["top_queries"][0]
    assert found.top_queries is None


def test_a_search_that_found_nothing_is_not_repeated_each_cycle(
    fresh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fresh_server.new_database()
    made.sql("DROP EXTENSION pg_stat_statements")
    one = Collecting(Dsn.parse(made.dsn, {}), 20, routine=Routine("one", 60.0, Memory()))
    first = one.once()
    fresh_server.sql("CREATE EXTENSION pg_stat_statements")  # found within five minutes, not at once
    assert first.top_queries is None
    assert one.once().errors == first.errors
    monkeypatch.setattr(elsewhere, "AGAIN_S", 0.0)
    one._server.elsewhere = elsewhere.Elsewhere()
    assert one.once().top_queries is not None
    one.close()


def test_a_search_that_was_in_the_way_of_something_says_so(fresh_server: Server) -> None:
    made = fresh_server.new_database()
    made.sql("DROP EXTENSION pg_stat_statements")
    fresh_server.sql("CREATE EXTENSION pg_stat_statements")
    one = Collecting(Dsn.parse(made.dsn, {}), 20, routine=Routine("one", 60.0, Memory()))
    holder = fresh_server.connect()
    holder.autocommit = False
    holder.cursor().execute("LOCK pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE")
    errors = {error.collector: error.error for error in one.once().errors}
    holder.rollback()
    assert "could not be looked for everywhere (postgres: " in errors["top_queries"]
    one.close()
