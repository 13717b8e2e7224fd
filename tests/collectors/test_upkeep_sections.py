"""What the sections on upkeep (functions, statistics, bloat, vacuum, schema) say of planted situations."""

import re
from itertools import takewhile
from typing import Any

import pytest

from pgdoctor_lib.collectors.registry import FOLDER, query
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.postgres.connect import connect
from tests.collectors.conftest import Collect, Document
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

SECTIONS = ("functions", "statistics", "bloat", "vacuum", "schema")
pytestmark = pytest.mark.collects(*SECTIONS)


@pytest.mark.parametrize("name", ["vacuum", "statistics", "bloat"])
def test_a_total_is_of_the_same_tables_as_the_rows(name: str) -> None:
    """Both files go through the same steps: they first differ where a step is over."""
    rows, total = (_steps((FOLDER / f"{file}.sql").read_text()) for file in (name, f"{name}.total"))
    same = list(takewhile(lambda lines: lines[0] == lines[1], zip(rows, total, strict=False)))
    assert total[len(same)].startswith(")")
    assert sum("AS MATERIALIZED (" in line for line, _ in same) >= 3


def _steps(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith("-- [") or not line.startswith("--")]
    return lines[lines[0].startswith("WITH RECURSIVE") or lines[0] == "WITH" :]


@pytest.mark.parametrize("grants", [[], ["pg_monitor"]], ids=["bare", "monitor"])
def test_any_role_may_ask(newest_server: Server, collect: Collect, grants: list[str]) -> None:
    database = newest_server.new_database()
    newest_server.create_role(f"r_{database.role}", "secret", grants)
    try:
        database.sql("CREATE SCHEMA hidden; REVOKE ALL ON SCHEMA hidden FROM PUBLIC")
        database.sql("CREATE TABLE hidden.t (id int, x text); INSERT INTO hidden.t SELECT 1 FROM generate_series(1, 9)")
        found = collect(newest_server.dsn(database.name, f"r_{database.role}", "secret"))
        assert set(SECTIONS) <= set(found.sections)
        assert not set(SECTIONS) & set(found.errors)
        assert found.row("vacuum", relname="t", relkind="r")["schemaname"] == "hidden"
        assert found.row("schema", name="t")["kind"] == "table"
    finally:
        newest_server.sql(f'DROP ROLE "r_{database.role}"')
        database.drop()


def test_functions(database: Database, collect: Collect) -> None:
    body = "BEGIN PERFORM 1; END"
    database.sql(f"CREATE FUNCTION inner_one(int, text) RETURNS void LANGUAGE plpgsql AS '{body}'")
    body = "BEGIN PERFORM inner_one(1, 'x'), pg_sleep(0.01); END"
    database.sql(f"CREATE FUNCTION outer_one() RETURNS void LANGUAGE plpgsql AS $${body}$$")
    database.sql("CREATE PROCEDURE never() LANGUAGE plpgsql AS 'BEGIN END'")
    assert collect(database.dsn).sections["functions"]["total"]["track_functions"] == "none"
    for _ in range(2):
        database.sql("SET track_functions = 'all'; SELECT outer_one()")
    database.sql("SELECT outer_one()")
    found = wait_for(lambda: _with_calls(collect(database.dsn), 2), "the calls have not arrived")
    outside, inside = (found.row("functions", funcname=name) for name in ("outer_one", "inner_one"))
    assert (outside["calls"], inside["calls"], inside["args"], inside["lanname"]) == (2, 2, "integer, text", "plpgsql")
    assert (outside["prokind"], outside["prosecdef"], outside["schemaname"]) == ("f", False, "public")
    assert outside["total_time_ms"] >= outside["self_time_ms"] >= 20
    assert inside["total_time_ms"] < outside["total_time_ms"]
    assert [row["funcname"] for row in found.sections["functions"]["rows"]] == ["outer_one", "inner_one"]
    total = found.sections["functions"]["total"]
    assert (total["count"], total["calls"]) == (2, 4)
    assert total["function_count"] >= 3


def _with_calls(document: Document, calls: int) -> Document | None:
    rows = document.sections["functions"]["rows"]
    return document if rows and rows[0]["calls"] == calls else None


def test_functions_with_the_rights_of_their_owner(database: Database, collect: Collect) -> None:
    create = "CREATE FUNCTION {} RETURNS int LANGUAGE sql AS 'SELECT 1' SECURITY {}"
    database.sql('CREATE SCHEMA "my app"; GRANT USAGE ON SCHEMA "my app" TO PUBLIC; CREATE SCHEMA own')
    database.sql(create.format('"my app".unsafe(int, text)', "DEFINER"))
    database.sql(create.format("own.nobody_else_calls_it()", "DEFINER"))
    database.sql(create.format("other_setting()", "DEFINER SET work_mem = '1MB'"))
    database.sql(create.format("safe()", "DEFINER SET search_path = pg_catalog, pg_temp"))
    database.sql(create.format("empty_path()", "DEFINER SET search_path = ''"))
    database.sql(create.format("invoker()", "INVOKER"))
    total = collect(database.dsn).sections["functions"]["total"]
    assert total["security_definer_count"] == 5
    assert total["security_definer_without_search_path_count"] == 2
    named = ['"my app".unsafe(integer, text)', "public.other_setting()"]
    assert total["security_definer_without_search_path"] == named
    assert total["security_definer_without_search_path_superuser_count"] == 2
    database.sql(f'GRANT ALL ON SCHEMA "my app" TO "{database.role}"')
    database.sql(f'ALTER FUNCTION "my app".unsafe(int, text) OWNER TO "{database.role}"')
    total = collect(database.dsn).sections["functions"]["total"]
    assert total["security_definer_without_search_path"] == named[::-1]  # that of a superuser is the worse
    assert total["security_definer_without_search_path_superuser_count"] == 1


def test_stale_statistics(database: Database, collect: Collect) -> None:
    for name in ("good", "stale", "strict", "never", "grown"):
        database.sql(f"CREATE TABLE {name} (id int, x text, y int) WITH (autovacuum_enabled = off)")
    for name in ("good", "stale", "strict", "grown"):
        database.sql(f"INSERT INTO {name} SELECT g FROM generate_series(1, 1000) g")
        _analyze(database, name, 1000)
    database.sql("CREATE TABLE empty (id int)")
    database.sql("ALTER TABLE never ALTER y SET STATISTICS 0; CREATE STATISTICS together ON id, x FROM never")
    database.sql("INSERT INTO never SELECT g FROM generate_series(1, 300) g")
    database.sql("UPDATE good SET id = 0 WHERE id <= 100; UPDATE stale SET id = 0 WHERE id <= 500")
    database.sql("ALTER TABLE strict SET (autovacuum_analyze_threshold = 10, autovacuum_analyze_scale_factor = 0)")
    database.sql("UPDATE strict SET id = 0 WHERE id <= 20; INSERT INTO grown SELECT 1 FROM generate_series(1, 20000)")
    found = wait_for(lambda: _with_modified(collect(database.dsn)), "the counters have not arrived")
    rows = found.sections["statistics"]["rows"]
    assert {row["relname"] for row in rows} == {"stale", "strict", "never", "grown"}
    stale, strict, never, grown = (
        found.row("statistics", relname=name) for name in ("stale", "strict", "never", "grown")
    )
    assert (stale["n_mod_since_analyze"], stale["analyze_threshold"], stale["analyze_percent"]) == (500, 150, 333.3)
    assert (strict["n_mod_since_analyze"], strict["analyze_threshold"], strict["is_due"]) == (20, 10, True)
    assert (stale["is_due"], stale["is_unanalyzed"], stale["differs"], stale["never_analyzed"]) == (
        True,
        False,
        False,
        False,
    )
    assert (stale["reltuples"], stale["autovacuum_enabled"]) == (1000, False)
    assert stale["last_analyze"]
    assert stale["last_analyze_age_s"] >= 0
    assert (never["is_unanalyzed"], never["never_analyzed"], never["n_live_tup"]) == (True, True, 300)
    assert (never["reltuples"], never["last_analyze_age_s"], never["analyze_threshold"]) == (None, None, 50)
    assert (never["columns_with_target_0"], never["extended_statistics_count"], never["column_count"]) == (1, 1, 3)
    assert (grown["differs"], grown["n_live_tup"]) == (True, 21000)
    assert stale["columns_without_statistics"] is None  # pg_monitor does not see pg_stats
    total = found.sections["statistics"]["total"]
    assert (total["count"], total["table_count"], total["due_count"]) == (4, 6, 4)
    assert (total["unanalyzed_count"], total["differs_count"], total["columns_with_target_0"]) == (1, 1, 1)
    assert total["extended_statistics_count"] == 1
    read = collect(database.server.dsn(database.name))  # a role that may read the tables
    assert read.row("statistics", relname="never")["columns_without_statistics"] == 3
    assert read.row("statistics", relname="stale")["columns_without_statistics"] == 0
    database.sql("ANALYZE")
    wait_for(lambda: collect(database.dsn).sections["statistics"]["rows"] == [], "they stay stale")  # 12: told late


def _analyze(database: Database, table: str, changed: int) -> None:
    """ANALYZE, when the counters have arrived that it is to set back: a session sends them as it ends."""
    modified = f"SELECT pg_stat_get_mod_since_analyze('{table}'::regclass)"
    wait_for(lambda: database.sql(modified) == [(changed,)], "the counters have not arrived")
    database.sql(f"ANALYZE {table}")
    wait_for(lambda: database.sql(modified) == [(0,)], "ANALYZE has not set them back")  # before 15 it takes a moment


def _with_modified(document: Document) -> Document | None:
    rows = document.sections["statistics"]["rows"]
    seen = {row["relname"]: row["n_mod_since_analyze"] for row in rows}
    wanted = {"stale": 500, "strict": 20, "never": 300, "grown": 20000}
    return document if seen == wanted else None


@pytest.mark.pg(">= 14")
def test_a_partitioned_table_that_was_never_analyzed(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE parent (id int) PARTITION BY LIST (id); CREATE TABLE child PARTITION OF parent DEFAULT")
    database.sql("CREATE TABLE bare (id int) PARTITION BY LIST (id); CREATE TABLE none PARTITION OF bare DEFAULT")
    database.sql("INSERT INTO parent SELECT generate_series(1, 1000)")
    _analyze(database, "child", 1000)
    row = collect(database.dsn).row("statistics", relname="parent")
    assert (row["relkind"], row["is_unanalyzed"], row["analyze_threshold"]) == ("p", True, None)
    assert row["autovacuum_enabled"] is None
    assert collect(database.server.dsn(database.name)).row("statistics", relname="parent")["never_analyzed"] is True
    assert collect(database.dsn).sections["statistics"]["total"]["count"] == 1
    database.sql("ANALYZE parent")
    wait_for(lambda: collect(database.dsn).sections["statistics"]["rows"] == [], "it stays unanalyzed")


def test_vacuum_thresholds(database: Database, collect: Collect) -> None:
    major = database.server.major
    database.sql("CREATE TABLE plain (id int); CREATE TABLE own (id int, x text); CREATE TABLE off (id int, x text)")
    options = "autovacuum_vacuum_threshold = 7, autovacuum_vacuum_scale_factor = 0.5"
    options += ", autovacuum_analyze_threshold = 11, autovacuum_analyze_scale_factor = 0.25"
    options += ", autovacuum_freeze_max_age = 1000000, autovacuum_multixact_freeze_max_age = 2000000"
    options += ", toast.autovacuum_vacuum_threshold = 3, toast.autovacuum_vacuum_scale_factor = 0"
    options += ", autovacuum_vacuum_insert_threshold = 13, autovacuum_vacuum_insert_scale_factor = 0.1" * (major >= 13)
    options += ", autovacuum_vacuum_max_threshold = 400" * (major >= 18)
    database.sql(f"ALTER TABLE own SET ({options}); ALTER TABLE off SET (autovacuum_enabled = false)")
    database.sql("INSERT INTO own SELECT generate_series(1, 1000); INSERT INTO plain SELECT generate_series(1, 1000)")
    for name in ("own", "plain"):
        _analyze(database, name, 1000)
    database.sql("UPDATE own SET id = 0 WHERE id <= 100")
    found = wait_for(lambda: _with_dead(collect(database.dsn)), "the counters have not arrived")
    own, toast = (found.row("vacuum", relname="own", relkind=kind) for kind in "rt")
    limit = 400 if major >= 18 else 507
    assert (own["n_dead_tup"], own["vacuum_threshold"], own["vacuum_remaining"]) == (100, limit, limit - 100)
    assert own["vacuum_percent"] == round(10000 / limit, 1)
    assert (own["n_mod_since_analyze"], own["analyze_threshold"], own["analyze_remaining"]) == (100, 261, 161)
    assert (own["analyze_percent"], own["autovacuum_vacuum_scale_factor"]) == (38.3, 0.5)
    assert (own["freeze_max_age"], own["multixact_freeze_max_age"]) == (1000000, 2000000)
    assert own["freeze_remaining"] == 1000000 - own["relfrozenxid_age"]
    assert own["relfrozenxid_age"] > 0
    inserts = (1000, 113, -887, 885.0, 13, 0.1) if major >= 13 else (None,) * 6
    keys = ("vacuum_insert_threshold", "vacuum_insert_remaining", "vacuum_insert_percent")
    settings = ("autovacuum_vacuum_insert_threshold", "autovacuum_vacuum_insert_scale_factor")
    assert tuple(own[key] for key in ("n_ins_since_vacuum", *keys, *settings)) == inserts
    assert (toast["vacuum_threshold"], toast["analyze_threshold"], toast["relid"]) == (3, None, own["relid"])
    assert toast["freeze_max_age"] == 200000000
    assert "autovacuum_vacuum_threshold=3" in toast["reloptions"]
    plain = found.row("vacuum", relname="plain")
    assert (plain["vacuum_threshold"], plain["analyze_threshold"], plain["reloptions"]) == (250, 150, None)
    assert (plain["autovacuum_enabled"], plain["freeze_max_age"]) == (True, 200000000)
    assert plain["autovacuum_vacuum_max_threshold"] == (100000000 if major >= 18 else None)
    assert [row["autovacuum_enabled"] for row in found.sections["vacuum"]["rows"] if row["relname"] == "off"] == [
        False,
        False,  # its TOAST table has no parameters of its own
    ]
    total = found.sections["vacuum"]["total"]
    assert (total["count"], total["autovacuum_disabled_count"], total["autovacuum"]) == (5, 2, True)
    assert (total["vacuum_due_count"], total["freeze_due_count"]) == (0, 0)


def _with_dead(document: Document) -> Document | None:
    return document if document.row("vacuum", relname="own", relkind="r")["n_dead_tup"] == 100 else None


def test_a_table_due_for_each_kind_of_vacuum(make_server: Any, collect: Collect) -> None:
    server = make_server(autovacuum_freeze_max_age=100000, autovacuum_naptime="1h", autovacuum="off")
    holder = server.connect()
    holder.autocommit = False
    holder.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    server.sql("CREATE TABLE t (id int) WITH (fillfactor = 50); INSERT INTO t SELECT generate_series(1, 1000)")
    server.sql("DELETE FROM t")
    burn = "BEGIN INSERT INTO u VALUES (1); PERFORM 1 / 0; EXCEPTION WHEN others THEN NULL; END"
    server.sql(f"CREATE TABLE u (id int); DO $$BEGIN FOR i IN 1..101000 LOOP {burn}; END LOOP; END$$")
    found = wait_for(lambda: _with_due(collect(server.dsn())), "the counters have not arrived")
    holder.rollback()
    row = found.row("vacuum", relname="t")
    assert (row["n_dead_tup"], row["vacuum_threshold"], row["vacuum_percent"]) == (1000, 50, 2000.0)
    assert row["freeze_percent"] > 100
    assert row["freeze_remaining"] < 0
    total = found.sections["vacuum"]["total"]
    assert (total["autovacuum"], total["vacuum_due_count"]) == (False, 2)
    assert (total["vacuum_insert_due_count"], row["vacuum_insert_percent"]) == (1, 100.0)  # u: rolled back ones count
    assert (total["freeze_due_count"], total["freeze_percent"] > 100) == (2, True)


def _with_due(document: Document) -> Document | None:
    return document if document.row("vacuum", relname="t")["n_dead_tup"] == 1000 else None


BLOAT = """
CREATE TABLE dense WITH (autovacuum_enabled = off) AS
SELECT g::bigint AS id, g AS a, 'value ' || g AS t, now() AS at, g % 2 = 0 AS b,
       CASE WHEN g % 2 = 0 THEN 'maybe ' || g END AS n
  FROM generate_series(1, 160000) g;
CREATE TABLE bloated WITH (autovacuum_enabled = off) AS TABLE dense;
CREATE TABLE typed WITH (autovacuum_enabled = off) AS SELECT id, a, at, b FROM dense;
INSERT INTO typed SELECT id + 1000000, a, at, b FROM dense;
CREATE INDEX typed_id ON typed (id, at, a);
CREATE TABLE filled WITH (autovacuum_enabled = off, fillfactor = 60) AS TABLE dense;
"""


def test_bloat(database: Database, collect: Collect) -> None:
    database.sql(BLOAT)
    for table in ("dense", "bloated", "typed", "filled"):
        database.sql(f"VACUUM ANALYZE {table}")
    database.sql("DELETE FROM bloated WHERE id / 2 % 10 <> 0; CREATE EXTENSION pgstattuple")
    database.sql("DELETE FROM typed WHERE id % 5 <> 0")
    reader = database.server.dsn(database.name)
    found = wait_for(lambda: _with_waste(collect(reader)), "the counters have not arrived")
    rows = {row["indexrelname"] or row["relname"]: row for row in found.sections["bloat"]["rows"]}
    assert set(rows) == {"dense", "bloated", "typed", "filled", "typed_id"}
    assert {row["basis"] for row in rows.values()} == {"statistics"}
    tuples = database.sql(
        "SELECT relname, s.tuple_len, s.tuple_count, s.table_len"
        "  FROM pg_class, pgstattuple(oid) s WHERE relname IN ('dense', 'bloated', 'typed', 'filled')"
    )
    for name, length, count, size in tuples:
        row = rows[name]
        assert row["size_bytes"] == size
        assert row["live_rows_estimate"] == pytest.approx(count, rel=0.02)
        assert length / count - 1 < row["tuple_bytes_estimate"] < length / count + 8  # padding at the end is not in it
        if (
            name != "filled"
        ):  # headers, item pointers, padding, and what fillfactor leaves free, are no rows and no waste
            assert row["wasted_percent_estimate"] == pytest.approx(100 * (1 - length / size), abs=15)
    assert rows["bloated"]["wasted_percent_estimate"] == pytest.approx(90, abs=3)
    assert rows["bloated"]["dead_bytes_estimate"] == pytest.approx(0.9 * rows["bloated"]["size_bytes"], rel=0.02)
    assert rows["dense"]["wasted_percent_estimate"] < 8
    assert rows["filled"]["wasted_percent_estimate"] < 8
    assert rows["filled"]["fillfactor"] == 60
    before = rows["typed_id"]
    assert before["wasted_percent_estimate"] == pytest.approx(80, abs=6)
    assert before["relname"] == "typed"
    for table in ("bloated", "typed"):
        database.sql(f"VACUUM FULL {table}")
    sizes = dict(database.sql("SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'i')"))
    for name in ("bloated", "typed", "typed_id"):  # what was needed, by the estimate, is what it takes now
        assert rows[name]["needed_bytes_estimate"] == pytest.approx(sizes[name], rel=0.08)


def _with_waste(document: Document) -> Document | None:
    rows = [row for row in document.sections["bloat"]["rows"] if row["relname"] in ("bloated", "typed")]
    return document if all(row["wasted_percent_estimate"] > 60 for row in rows) else None


def test_bloat_of_what_the_role_may_not_read(database: Database, collect: Collect) -> None:
    database.sql(BLOAT)
    for table in ("dense", "typed"):
        database.sql(f"VACUUM ANALYZE {table}")
    database.sql(
        "DELETE FROM typed WHERE id % 5 <> 0; CREATE INDEX hashed ON dense USING hash (id) WITH (fillfactor = 10)"
    )
    found = wait_for(lambda: _with_typed(collect(database.dsn)), "the counters have not arrived")
    typed, dense = (found.row("bloat", relname=name, kind="table") for name in ("typed", "dense"))
    assert (typed["basis"], typed["unestimated_because"]) == ("types", None)
    assert typed["tuple_bytes_estimate"] == 56  # 24 header, 8, 4, 4 padding, 8, 1, 7 padding
    assert (dense["wasted_bytes_estimate"], dense["tuple_bytes_estimate"], dense["basis"]) == (None, None, None)
    assert dense["unestimated_because"] == "no privilege"
    assert dense["size_bytes"] > 10 * 2**20
    index = found.row("bloat", indexrelname="typed_id")
    assert (index["basis"], index["tuple_bytes_estimate"]) == ("types", 32)
    total = found.sections["bloat"]["total"]
    assert total["unestimated_table_count"] == total["unestimated_no_privilege_count"] == 1
    assert total["count"] == len(found.sections["bloat"]["rows"])
    assert (total["unestimated_not_analyzed_count"], total["unestimated_bytes"]) == (0, dense["size_bytes"])
    assert total["skipped_count"] == 0
    [(size,)] = database.sql("SELECT pg_relation_size('hashed')")
    assert (total["other_index_count"], total["other_index_bytes"]) == (1, size)
    database.sql(f'GRANT SELECT ON dense TO "{database.role}"')
    found = collect(database.dsn)
    assert found.row("bloat", relname="dense", kind="table")["basis"] == "statistics"
    assert found.sections["bloat"]["total"]["unestimated_table_count"] == 0
    database.sql("ALTER TABLE dense ENABLE ROW LEVEL SECURITY")  # pg_stats hides it again
    assert collect(database.dsn).row("bloat", relname="dense", kind="table")["unestimated_because"] == "no privilege"


def _with_typed(document: Document) -> Document | None:
    row = document.row("bloat", relname="typed", kind="table")
    return document if row["wasted_percent_estimate"] > 60 else None


def test_bloat_of_an_index_with_equal_keys(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("CREATE UNLOGGED TABLE t AS SELECT g % 500 AS k FROM generate_series(1, 1700000) g")
    newest_database.sql("CREATE INDEX merged ON t (k)")
    newest_database.sql("VACUUM ANALYZE t")
    found = collect(newest_database.server.dsn(newest_database.name))
    merged = found.row("bloat", indexrelname="merged")
    assert merged["size_bytes"] < 20 * 2**20  # 32 bytes an entry would be 60 MB
    assert merged["needed_bytes_estimate"] == pytest.approx(merged["size_bytes"], rel=0.1)
    hidden = collect(newest_database.dsn).row("bloat", indexrelname="merged")  # keys may all be different
    assert (hidden["basis"], hidden["wasted_bytes_estimate"]) == ("types", 0)


SCHEMA = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE TYPE app.pair AS (a int, b text);
CREATE TYPE app.span AS RANGE (subtype = int);
CREATE TABLE app.parent (id int PRIMARY KEY, mood app.mood);
CREATE TABLE app.child (id bigserial PRIMARY KEY, parent int REFERENCES app.parent (id),
                        x text DEFAULT 'x' CHECK (x <> ''), "Odd name" app.positive);
CREATE INDEX child_parent ON app.child (parent DESC) INCLUDE (x);
CREATE TABLE app.parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE app.part PARTITION OF app.parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE VIEW app.seen AS SELECT id, mood FROM app.parent;
CREATE MATERIALIZED VIEW app.kept AS SELECT count(*) FROM app.child;
CREATE FUNCTION app.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE PROCEDURE app.p() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE app.total(int) (SFUNC = int4pl, STYPE = int);
CREATE TRIGGER telling BEFORE INSERT ON app.child FOR EACH ROW EXECUTE FUNCTION app.tell();
CREATE POLICY all_of_it ON app.parent USING (true);
"""


def _schema(database: Database) -> dict[tuple[str | None, ...], str]:
    """Fingerprints by kind, schema, name and table."""
    with connect(Dsn.parse(database.dsn, {})) as session:
        statement = query("schema").sql(session.facts.has)
    rows = database.sql(f"SET search_path = pg_catalog; {statement}")
    assert re.fullmatch(r"[0-9a-f]{16}", rows[0][-1])
    assert all(re.fullmatch(r"[0-9a-f]{8}", row[-1]) for row in rows[1:])
    assert [row[0] for row in rows if row[0] == "contents"] == ["contents"]
    return {row[:-1]: row[-1] for row in rows}


ALL = ("contents", None, None, None)


def test_the_same_schema_has_the_same_fingerprint(database: Database, collect: Collect) -> None:
    other = database.server.new_database()
    try:
        database.sql(SCHEMA)
        other.sql("CREATE TABLE gone (id int); DROP TABLE gone")  # other oids
        other.sql(SCHEMA.replace("x text DEFAULT", "drop_me int, x text DEFAULT"))
        other.sql("ALTER TABLE app.child DROP drop_me")  # other numbers of columns, as before a dump and restore
        objects = _schema(database)
        assert objects == _schema(other)
        found = collect(database.dsn)
        total = found.sections["schema"]["total"]
        assert [tuple(row.values())[:4] for row in found.sections["schema"]["rows"]] == list(objects)
        assert total["count"] == len(objects) - 1 == sum(total["by_kind"].values())
        assert found.sections["schema"]["more"] == 0
        assert total["rows_are"] == "objects"
        assert {kind: count for kind, count in total["by_kind"].items() if kind not in ("extension", "schema")} == {
            "aggregate": 1, "composite type": 1, "constraint": 4, "domain": 1, "enum": 1, "function": 2, "index": 1,
            "materialized view": 1, "partitioned table": 1, "policy": 1, "procedure": 1, "range": 1, "sequence": 1,
            "table": 3, "trigger": 1, "view": 1,
        }  # fmt: skip
        kinds = [kind for kind, *_ in objects if kind != "contents"]
        assert {kind: kinds.count(kind) for kind in kinds} == total["by_kind"]
        other.sql("ALTER TABLE app.child ADD y int")
        assert _schema(other)[ALL] != objects[ALL]
    finally:
        other.drop()


CHANGES = [
    ("CREATE TABLE app.new (id int)", {"+table new"}),
    ("ALTER TABLE app.parent ADD y int", {"~table parent"}),
    ("ALTER TABLE app.child ALTER x DROP DEFAULT", {"~table child"}),
    ("ALTER TABLE app.child ALTER x TYPE varchar(9)", {"~table child"}),
    ("ALTER TABLE app.child ALTER x SET NOT NULL", {"~table child"}),
    ("ALTER TABLE app.child SET (fillfactor = 70)", {"~table child"}),
    ("ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY", {"~table parent"}),
    ("CREATE OR REPLACE VIEW app.seen AS SELECT p.id, p.mood FROM app.parent p JOIN app.child USING (id)",
     {"~view seen"}),
    ("CREATE INDEX extra ON app.parent (mood)", {"+index extra"}),
    ("DROP INDEX app.child_parent; CREATE INDEX child_parent ON app.child (parent)", {"~index child_parent"}),
    ("ALTER TABLE app.child ALTER CONSTRAINT child_parent_fkey DEFERRABLE", {"~constraint child_parent_fkey"}),
    ("ALTER TABLE app.child DROP CONSTRAINT child_parent_fkey", {"-constraint child_parent_fkey"}),
    ("ALTER TABLE app.child ADD CONSTRAINT positive CHECK (id > 0) NOT VALID", {"+constraint positive"}),
    ("ALTER TABLE app.child VALIDATE CONSTRAINT positive", {"~constraint positive"}),
    ("CREATE OR REPLACE FUNCTION app.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 2'",
     {"~function f(integer, text)"}),
    ("ALTER FUNCTION app.f(int, text) SECURITY DEFINER", {"~function f(integer, text)"}),
    ("CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", {"+function f(integer)"}),
    ("DROP AGGREGATE app.total(int)", {"-aggregate total(integer)"}),
    ("ALTER TYPE app.mood ADD VALUE 'new'", {"~enum mood"}),
    ("ALTER DOMAIN app.positive SET NOT NULL", {"~domain positive"}),
    ("ALTER TYPE app.pair ADD ATTRIBUTE c int", {"~composite type pair"}),
    ("ALTER TABLE app.child DISABLE TRIGGER telling", {"~trigger telling"}),
    ("DROP TRIGGER telling ON app.child", {"-trigger telling"}),
    ("ALTER SEQUENCE app.child_id_seq INCREMENT 2", {"~sequence child_id_seq"}),
    ("DROP POLICY all_of_it ON app.parent", {"-policy all_of_it"}),
    ("DROP VIEW app.seen", {"-view seen"}),
    ("ALTER TABLE app.parent RENAME TO mother",
     {"-table parent", "+table mother", "-constraint parent_pkey", "+constraint parent_pkey",
      "-index extra", "+index extra"}),
    ("ALTER TABLE app.parts DETACH PARTITION app.part", {"~table part"}),
    ("CREATE EXTENSION pgstattuple", {"+extension pgstattuple"}),
    ("CREATE SCHEMA more", {"+schema more"}),
    ("INSERT INTO app.mother VALUES (5); ANALYZE; COMMENT ON TABLE app.mother IS "
     "'x'; GRANT SELECT ON app.mother TO PUBLIC",
     set()),
]  # fmt: skip


def _changes(before: dict[tuple[str | None, ...], str], after: dict[tuple[str | None, ...], str]) -> set[str]:
    marks = {"-": before.keys() - after.keys(), "+": after.keys() - before.keys()}
    marks["~"] = {key for key in before.keys() & after.keys() if before[key] != after[key]}
    return {f"{mark}{key[0]} {key[2]}" for mark, keys in marks.items() for key in keys if key != ALL}


@pytest.mark.parametrize("which", ["newest_server", "oldest_server"])
def test_changes_of_the_schema(request: pytest.FixtureRequest, which: str) -> None:
    """Each change gives exactly its own rows as differences, and changes the fingerprint of all."""
    database = request.getfixturevalue(which).new_database()
    try:
        database.sql(SCHEMA)
        before = _schema(database)
        for statement, wanted in CHANGES:
            database.sql(statement)
            after = _schema(database)
            assert (statement, _changes(before, after)) == (statement, wanted)
            assert (before[ALL] == after[ALL]) == (not wanted)
            before = after
    finally:
        database.drop()


def test_a_schema_of_many_objects(newest_database: Database, collect: Collect) -> None:
    create = "EXECUTE format('CREATE FUNCTION %s.f%s() RETURNS int LANGUAGE sql AS ''SELECT 1''', s, i)"
    loop = f"FOR i IN 1..1001 LOOP {create}; END LOOP"
    for name in ("one", "two"):
        newest_database.sql(f"CREATE SCHEMA {name}; DO $$DECLARE s text := '{name}'; BEGIN {loop}; END$$")
    found = collect(newest_database.dsn)
    rows = {row["schemaname"]: row["fingerprint"] for row in found.sections["schema"]["rows"]}
    assert set(rows) == {None, "one", "two", "public", "pg_catalog"}
    assert {row["kind"] for row in found.sections["schema"]["rows"]} == {"contents"}
    total = found.sections["schema"]["total"]
    assert (total["rows_are"], total["by_kind"]["function"]) == ("schemas", 2002)
    assert found.sections["schema"]["more"] == total["count"] - len(rows)
    newest_database.sql("ALTER FUNCTION two.f7() STABLE")
    after = {row["schemaname"]: row["fingerprint"] for row in collect(newest_database.dsn).sections["schema"]["rows"]}
    assert {name for name in rows if rows[name] != after[name]} == {None, "two"}
