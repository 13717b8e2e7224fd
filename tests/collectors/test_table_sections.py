"""Tables, indexes, sequences, constraints and columns: what is said of planted situations."""

import threading
from typing import Any

import psycopg2
import pytest

from tests.collectors.conftest import Collect, Document
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

OURS = ("tables", "table_sizes", "indexes", "sequences", "constraints", "columns")
pytestmark = pytest.mark.collects(*OURS, "database")
TREE = """
CREATE TABLE tree (id int, x text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE INDEX tree_x ON tree (x);
CREATE TABLE branch PARTITION OF tree FOR VALUES FROM (900) TO (1000) PARTITION BY RANGE (id);
DO $$BEGIN
    FOR i IN 0..999 LOOP
        EXECUTE format('CREATE TABLE leaf%s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)',
                       i, CASE WHEN i < 900 THEN 'tree' ELSE 'branch' END, i, i + 1);
    END LOOP;
END$$;
"""


def rows(document: Document, section: str, name: str, wanted: str) -> dict[Any, Any]:
    """One column of a section's rows, by another."""
    return {row[name]: row[wanted] for row in document.sections[section]["rows"]}


def test_a_partition_tree_is_one_row(make_server: Any, collect: Collect) -> None:
    server: Server = make_server(max_locks_per_transaction=2000)
    database = server.new_database()
    database.sql(TREE)
    database.sql("CREATE TABLE other (id int); INSERT INTO other VALUES (1)")
    database.sql("INSERT INTO tree SELECT g, repeat('x', 100) FROM generate_series(0, 999) g")
    database.sql("ALTER TABLE leaf77 SET (autovacuum_enabled = off)")
    database.sql("VACUUM FREEZE leaf1, leaf950, other")
    database.sql("ANALYZE tree")
    database.sql("UPDATE leaf950 SET x = 'y'; UPDATE leaf950 SET x = 'z'")
    found = wait_for(lambda: _with_dead(collect(database.dsn), "tree", 2), "the dead rows have not arrived")
    tree = found.row("tables", relname="tree")
    assert (tree["relkind"], tree["partition_count"], tree["index_count"]) == ("p", 1000, 2)
    assert (tree["reltuples"], tree["n_tup_ins"], tree["n_live_tup"], tree["n_dead_tup"]) == (1000, 1000, 1000, 2)
    assert (tree["table_size_bytes"], tree["indexes_size_bytes"]) == (1000 * 8192, 2 * 1000 * 2 * 8192)
    assert tree["most_dead_partition"]["relname"] == "leaf950"
    assert tree["most_dead_partition"]["n_dead_tup"] == 2
    assert tree["oldest_partition"]["relname"] not in ("leaf1", "leaf950")
    assert tree["relfrozenxid_age"] == tree["oldest_partition"]["relfrozenxid_age"]
    assert tree["autovacuum_enabled"] is False  # on one of them
    tables = found.sections["tables"]
    assert {"tree", "other", "leaf950"} <= {row["relname"] for row in tables["rows"]}
    assert len(tables["rows"]) <= 33
    assert (tables["total"]["count"], tables["total"]["partition_count"]) == (1003, 1000)
    assert (tables["total"]["partitioned_count"], tables["total"]["autovacuum_disabled_count"]) == (1, 1)
    assert tables["total"]["table_size_bytes"] >= 1000 * 8192
    index = found.row("indexes", indexrelname="tree_x")
    assert (index["relkind"], index["partition_count"], index["size_bytes"]) == ("I", 1000, 1000 * 2 * 8192)
    assert len(found.sections["indexes"]["rows"]) <= 12
    assert found.sections["indexes"]["total"]["count"] == 2 * 1002
    assert len(found.sections["table_sizes"]["rows"]) == 100
    assert found.sections["table_sizes"]["more"] == 901


def _with_dead(document: Document, relname: str, dead: int) -> Document | None:
    return document if document.row("tables", relname=relname)["n_dead_tup"] == dead else None


def test_what_identifies_a_row_and_what_keeps_autovacuum_away(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE keyed (id int PRIMARY KEY); CREATE TABLE bare (id int, x text)")
    database.sql("ALTER TABLE bare REPLICA IDENTITY FULL")
    database.sql("ALTER TABLE bare SET (autovacuum_enabled = no, fillfactor = 70, toast.autovacuum_enabled = false)")
    database.sql("CREATE TABLE tended (id int) WITH (autovacuum_enabled = on)")
    found = collect(database.dsn)
    expected = {"keyed": (True, "d", True), "bare": (False, "f", False), "tended": (False, "d", True)}
    assert {
        row["relname"]: (row["has_primary_key"], row["relreplident"], row["autovacuum_enabled"])
        for row in found.sections["tables"]["rows"]
    } == expected
    assert found.row("tables", relname="bare")["reloptions"] == ["autovacuum_enabled=no", "fillfactor=70"]
    assert found.row("tables", relname="bare")["toast_reloptions"] == ["autovacuum_enabled=false"]
    assert found.row("tables", relname="keyed")["partition_count"] is None
    assert found.sections["tables"]["total"]["autovacuum_disabled_count"] == 1
    assert rows(found, "tables", "relname", "is_extension_member") == dict.fromkeys(expected, False)


def test_a_table_that_an_extension_made(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("CREATE TABLE made (id int PRIMARY KEY); CREATE TABLE own (id int PRIMARY KEY)")
    newest_database.sql("ALTER EXTENSION pg_stat_statements ADD TABLE made")
    found = collect(newest_database.dsn)
    assert rows(found, "tables", "relname", "is_extension_member") == {"made": True, "own": False}
    assert rows(found, "indexes", "relname", "is_extension_member") == {"made": True, "own": False}


@pytest.mark.pg(">= 16")
def test_when_it_was_last_read(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, x int); CREATE INDEX t_x ON t (x)")
    database.sql("INSERT INTO t SELECT g, g FROM generate_series(1, 10) g; ANALYZE t")
    database.sql("SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM t")
    database.sql("SET enable_seqscan = off; SELECT count(*) FROM t WHERE id = 1")
    found = wait_for(lambda: _with_scan(collect(database.dsn)), "the scans have not arrived")
    assert found.row("tables", relname="t")["last_seq_scan"]
    used, unused = found.row("indexes", indexrelname="t_pkey"), found.row("indexes", indexrelname="t_x")
    assert used["unused_since"] == used["last_idx_scan"] == found.row("tables", relname="t")["last_idx_scan"]
    assert (unused["last_idx_scan"], unused["idx_scan"]) == (None, 0)
    reset = found.sections["database"]
    assert unused["unused_since"] in (reset["stats_reset"], reset["archiver_stats_reset"])


def _with_scan(document: Document) -> Document | None:
    return document if document.row("indexes", indexrelname="t_pkey")["idx_scan"] else None


def test_what_ddl_holds_is_marked_and_not_waited_for(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE held (id serial PRIMARY KEY, x text); CREATE TABLE free (id serial PRIMARY KEY, x text)")
    database.sql("INSERT INTO held (x) VALUES ('a'); INSERT INTO free (x) VALUES ('a'); ANALYZE held, free")
    database.sql(f'GRANT SELECT ON SEQUENCE held_id_seq, free_id_seq TO "{database.role}"')
    holder = database.server.connect(database.name)
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("ALTER TABLE held ADD y int; ALTER SEQUENCE held_id_seq RESTART WITH 7")
        found = collect(database.dsn, whole=True)
        cursor.execute("ALTER TABLE free ADD y int")  # nothing of ours stands in its way
    holder.rollback()
    assert found.errors == {}
    assert rows(found, "tables", "relname", "locked") == {"held": True, "free": False}
    assert found.sections["tables"]["total"]["locked_count"] == 1
    assert [row["relname"] for row in found.sections["table_sizes"]["rows"]] == ["free"]
    assert found.sections["table_sizes"]["total"] == {"count": 2, "locked_count": 1}
    assert rows(found, "sequences", "sequencename", "last_value") == {"held_id_seq": None, "free_id_seq": 1}
    assert rows(found, "sequences", "sequencename", "locked") == {"held_id_seq": True, "free_id_seq": False}
    assert found.sections["sequences"]["total"]["locked_count"] == 1
    assert rows(found, "columns", "relname", "last_value") == {"held": None, "free": 1}
    assert rows(found, "columns", "relname", "locked") == {"held": True, "free": False}
    after = collect(database.dsn)
    assert rows(after, "tables", "relname", "locked") == {"held": False, "free": False}
    assert rows(after, "sequences", "sequencename", "last_value") == {"held_id_seq": 1, "free_id_seq": 1}


def test_ddl_that_waits_and_an_index_that_is_held(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE read (id int PRIMARY KEY); CREATE TABLE indexed (id int PRIMARY KEY)")
    database.sql("CREATE TABLE free (id int PRIMARY KEY)")
    reader, holder, waiter = (database.server.connect(database.name) for _ in range(3))
    for connection in (reader, holder):
        connection.autocommit = False
    reader.cursor().execute("SELECT * FROM read")
    holder.cursor().execute("REINDEX INDEX indexed_pkey")
    waiting = threading.Thread(target=waiter.cursor().execute, args=("ALTER TABLE read ADD x int",))
    waiting.start()
    asked = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'read'::regclass"
    wait_for(lambda: database.sql(asked), "nobody waits")
    found = collect(database.dsn, whole=True)
    reader.rollback()
    holder.rollback()
    waiting.join()
    assert found.errors == {}
    assert rows(found, "tables", "relname", "locked") == {"read": True, "indexed": False, "free": False}
    assert [row["relname"] for row in found.sections["table_sizes"]["rows"]] == ["free"]
    assert found.sections["table_sizes"]["total"] == {"count": 3, "locked_count": 2}
    locked = {"read_pkey": True, "indexed_pkey": True, "free_pkey": False}
    assert rows(found, "indexes", "indexrelname", "locked") == locked
    assert found.sections["indexes"]["total"]["locked_count"] == 2
    definitions = rows(found, "indexes", "indexrelname", "definition")
    assert {name for name, definition in definitions.items() if definition is None} == {"read_pkey", "indexed_pkey"}


def test_true_sizes(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, x text); ALTER TABLE t ALTER x SET STORAGE EXTERNAL")
    database.sql(
        "CREATE TABLE fresh AS SELECT 1 AS id; CREATE VIEW unseen AS SELECT 1; CREATE TEMP TABLE gone (id int)"
    )
    database.sql("INSERT INTO t SELECT g, repeat('x', 5000) FROM generate_series(1, 100) g")
    database.sql("VACUUM ANALYZE t")
    database.sql("INSERT INTO t SELECT g, 'short' FROM generate_series(101, 5000) g")
    found = collect(database.dsn)
    [expected] = database.sql(
        "SELECT pg_total_relation_size(oid), pg_relation_size(oid), pg_total_relation_size(reltoastrelid),"
        " pg_indexes_size(oid) FROM pg_class WHERE relname = 't'"
    )
    row = found.row("table_sizes", relname="t")
    kinds = ("size_bytes", "table_size_bytes", "toast_size_bytes", "indexes_size_bytes")
    assert tuple(row[kind] for kind in kinds) == expected
    assert 0 < row["relpages_size_bytes"] < row["table_size_bytes"]
    assert [row["relname"] for row in found.sections["table_sizes"]["rows"]] == ["t", "fresh"]
    assert found.sections["table_sizes"]["total"] == {"count": 2, "locked_count": 0}


INDEXES = """
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c text, d text COLLATE "C");
CREATE INDEX ab ON t (a, b);
CREATE INDEX ab_too ON t (a, b);
CREATE INDEX a_only ON t (a);
CREATE INDEX a_desc ON t (a DESC);
CREATE INDEX a_hash ON t USING hash (a);
CREATE INDEX a_part ON t (a) WHERE b > 0;
CREATE INDEX a_part_too ON t (a) WHERE b   > 0;
CREATE INDEX a_other_part ON t (a) WHERE b > 1;
CREATE INDEX ba ON t (b, a);
CREATE UNIQUE INDEX b_unique ON t (b);
CREATE INDEX c_plain ON t (c);
CREATE INDEX c_pattern ON t (c text_pattern_ops);
CREATE INDEX c_collated ON t (c COLLATE "POSIX");
CREATE INDEX d_plain ON t (d);
CREATE INDEX lower_c ON t (lower(c));
CREATE INDEX lower_c_too_much_longer_a_name ON t (lower(c));
CREATE INDEX upper_c ON t (upper(c));
CREATE INDEX lower_upper ON t (lower(c), upper(c));
CREATE INDEX id_again ON t (id);
CREATE INDEX d_includes_b ON t (d) INCLUDE (b);
CREATE TABLE ref (id int REFERENCES t);
CREATE UNIQUE INDEX id_unique ON t (id);
"""


def test_duplicate_and_redundant_indexes(database: Database, collect: Collect) -> None:
    database.sql(INDEXES)
    found = collect(database.dsn)
    duplicates = {name: of for name, of in rows(found, "indexes", "indexrelname", "duplicate_of").items() if of}
    assert duplicates == {
        "ab_too": "ab",
        "a_part_too": "a_part",
        "lower_c_too_much_longer_a_name": "lower_c",
        "id_again": "t_pkey",
        "id_unique": "t_pkey",
    }
    redundant = {name: to for name, to in rows(found, "indexes", "indexrelname", "redundant_to").items() if to}
    assert redundant == {"a_only": "ab", "lower_c": "lower_upper", "lower_c_too_much_longer_a_name": "lower_upper"}
    total = found.sections["indexes"]["total"]
    assert (total["count"], total["duplicate_count"], total["redundant_count"]) == (22, 5, 3)
    assert total["duplicate_size_bytes"] == 5 * 8192
    flags = found.row("indexes", indexrelname="lower_c")
    assert (flags["has_expressions"], flags["is_partial"], flags["indislive"]) == (True, False, True)


@pytest.mark.pg(">= 15")
def test_nulls_not_distinct_is_another_index(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (a int); CREATE UNIQUE INDEX one ON t (a)")
    database.sql("CREATE UNIQUE INDEX two ON t (a) NULLS NOT DISTINCT")
    found = collect(database.dsn)
    assert rows(found, "indexes", "indexrelname", "duplicate_of") == {"one": None, "two": None}
    assert rows(found, "indexes", "indexrelname", "indnullsnotdistinct") == {"one": False, "two": True}


def test_duplicates_on_a_partitioned_table_are_told_once(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p DEFAULT")
    database.sql("CREATE INDEX one ON p (a); CREATE INDEX two ON p (a); CREATE INDEX own ON p1 (a)")
    found = collect(database.dsn)
    duplicates = rows(found, "indexes", "indexrelname", "duplicate_of")
    assert {name for name, of in duplicates.items() if of} == {"two", "own"}
    assert found.sections["indexes"]["total"]["duplicate_count"] == 2
    assert found.row("indexes", indexrelname="one")["partition_count"] == 1
    assert found.row("indexes", indexrelname="p1_a_idx")["is_partition"] is True


def test_indexes_that_are_not_valid(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t AS SELECT 1 AS id FROM generate_series(1, 2)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        database.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (id)")
    database.sql("CREATE INDEX sound ON t (id)")
    database.sql("CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p DEFAULT")
    database.sql("CREATE INDEX apart ON ONLY p (a)")
    found = collect(database.dsn)
    flags = ("indisvalid", "indislive", "is_building", "duplicate_of")
    assert [found.row("indexes", indexrelname="broken")[flag] for flag in flags] == [False, True, False, None]
    assert [found.row("indexes", indexrelname="sound")[flag] for flag in flags] == [True, True, False, None]
    assert found.row("indexes", indexrelname="apart")["indisvalid"] is False
    assert found.sections["indexes"]["total"]["invalid_count"] == 2


def test_what_an_index_is_needed_for(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE ref (x int, tid int REFERENCES t, y int)")
    database.sql("CREATE INDEX serves ON ref (tid, y); CREATE INDEX does_not ON ref (y, tid)")
    found = rows(collect(database.dsn), "indexes", "indexrelname", "supports_foreign_key")
    assert found == {"t_pkey": False, "serves": True, "does_not": False}


SEQUENCES = """
CREATE TABLE small (id smallserial PRIMARY KEY);
CREATE TABLE t (id serial PRIMARY KEY, big bigint GENERATED ALWAYS AS IDENTITY);
CREATE SEQUENCE round MAXVALUE 100 CYCLE;
CREATE SEQUENCE down INCREMENT -1 MINVALUE -100;
CREATE SEQUENCE wide AS bigint OWNED BY t.id;
CREATE SEQUENCE below MINVALUE -100 MAXVALUE 0 START -100;
CREATE TEMP SEQUENCE gone;
SELECT setval('small_id_seq', 29490), setval('t_id_seq', 1932735283), setval('round', 50), setval('down', -25);
SELECT setval('wide', 1073741823), setval('below', -40);
"""


def test_sequences_and_how_far_they_are(database: Database, collect: Collect) -> None:
    database.sql(SEQUENCES)
    database.sql(f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{database.role}"')
    found = collect(database.dsn, whole=True)
    assert found.errors == {}
    used = rows(found, "sequences", "sequencename", "used_percent")
    expected = {"t_id_seq": 90, "small_id_seq": 90, "below": 60, "round": 50, "wide": 50, "down": 25, "t_big_seq": 0}
    assert used == expected
    assert list(used.values()) == sorted(expected.values(), reverse=True)
    small, big = (found.row("sequences", sequencename=name) for name in ("small_id_seq", "t_big_seq"))
    assert (small["last_value"], small["limit_value"], small["values_left"]) == (29490, 32767, 3277)
    assert (small["data_type"], small["owner_relname"], small["owner_attname"]) == ("smallint", "small", "id")
    assert (big["is_identity"], big["last_value"], small["is_identity"]) == (True, None, False)
    wide, down = (found.row("sequences", sequencename=name) for name in ("wide", "down"))
    assert (wide["limit_value"], wide["max_value"]) == (2147483647, 9223372036854775807)
    assert (down["limit_value"], down["values_left"], down["owner_relname"]) == (-100, 75, None)
    assert rows(found, "sequences", "sequencename", "cycle")["round"] is True
    total = {"count": 7, "unreadable_count": 0, "locked_count": 0, "unread_count": 0}
    assert found.sections["sequences"]["total"] == total


def test_sequences_that_the_role_may_not_read(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id serial PRIMARY KEY); CREATE TABLE u (id serial PRIMARY KEY)")
    database.sql("SELECT setval('t_id_seq', 2000000000), setval('u_id_seq', 5)")
    database.sql(f'GRANT SELECT ON u_id_seq TO "{database.role}"')
    found = collect(database.dsn, whole=True)
    assert found.errors == {}
    assert rows(found, "sequences", "sequencename", "last_value") == {"t_id_seq": None, "u_id_seq": 5}
    assert rows(found, "sequences", "sequencename", "readable") == {"t_id_seq": False, "u_id_seq": True}
    assert found.row("sequences", sequencename="t_id_seq")["used_percent"] is None
    assert found.sections["sequences"]["total"]["unreadable_count"] == 1
    assert rows(found, "columns", "relname", "last_value") == {"t": None, "u": 5}
    assert found.row("columns", relname="t")["used_percent"] is None
    assert found.sections["columns"]["total"]["unreadable_count"] == 1


@pytest.mark.pg(">= 14")
def test_a_role_that_may_read_all(database: Database, collect: Collect) -> None:
    database.sql("CREATE SCHEMA hidden; CREATE TABLE hidden.t (id serial PRIMARY KEY)")
    database.sql("SELECT setval('hidden.t_id_seq', 2000000000)")
    database.sql(f'GRANT pg_read_all_data TO "{database.role}"')
    found = collect(database.dsn)
    assert found.row("sequences", sequencename="t_id_seq")["used_percent"] == 93.13
    assert found.row("columns", relname="t")["last_value"] == 2000000000


def test_sequences_are_read_within_bounds(newest_server: Server, oldest_server: Server, collect: Collect) -> None:
    for server in (newest_server, oldest_server):
        database = server.new_database()
        try:
            loop = "FOR i IN 1..250 LOOP EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY)', i); END LOOP"
            database.sql(f"DO $$BEGIN {loop}; END$$")
            database.sql("INSERT INTO t250 SELECT FROM generate_series(1, 1000); ANALYZE t250")
            database.sql("SELECT setval('t250_id_seq', 2000000000)")
            database.sql(f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{database.role}"')
            found = collect(database.dsn)
            sequences = found.sections["sequences"]
            assert (sequences["total"]["unread_count"], len(sequences["rows"]), sequences["more"]) == (50, 100, 150)
            assert sequences["rows"][0]["sequencename"] == "t250_id_seq"
            assert found.sections["columns"]["rows"][0]["relname"] == "t250"
        finally:
            database.drop()


def test_a_standby_without_files_of_unlogged_sequences(newest_server: Server, standby: Any, collect: Collect) -> None:
    database = newest_server.new_database()
    database.sql("CREATE UNLOGGED TABLE t (id serial PRIMARY KEY); CREATE TABLE u (id serial PRIMARY KEY)")
    database.sql("SELECT setval('t_id_seq', 7), setval('u_id_seq', 7)")
    database.sql(f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{database.role}"')
    follower = standby(newest_server)
    found = collect(follower.dsn(database.name, database.role, database.password))
    assert set(OURS) - set(found.sections) == set()
    assert not set(OURS) & set(found.errors)
    assert rows(found, "sequences", "sequencename", "last_value") == {"u_id_seq": 7}
    follower.stop("immediate")
    database.drop()


CONSTRAINTS = """
CREATE TABLE parent (a int, b int, id int UNIQUE, PRIMARY KEY (a, b));
CREATE TABLE plain (id int CONSTRAINT plain_fk REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE ordered (x int, a int, b int, CONSTRAINT ordered_fk FOREIGN KEY (a, b) REFERENCES parent);
CREATE INDEX ON ordered (b, a, x);
CREATE TABLE behind (x int, a int, b int, CONSTRAINT behind_fk FOREIGN KEY (a, b) REFERENCES parent);
CREATE INDEX ON behind (x, a, b);
CREATE TABLE half (a int, b int, CONSTRAINT half_fk FOREIGN KEY (a, b) REFERENCES parent);
CREATE INDEX ON half (a) INCLUDE (b);
CREATE TABLE filled (id int CONSTRAINT filled_fk REFERENCES parent (id));
CREATE INDEX ON filled (id) WHERE id IS NOT NULL;
CREATE TABLE empty (id int CONSTRAINT empty_fk REFERENCES parent (id));
CREATE INDEX ON empty (id) WHERE id IS NULL;
CREATE TABLE summary (id int CONSTRAINT summary_fk REFERENCES parent (id));
CREATE INDEX ON summary USING brin (id);
CREATE TABLE split (id int CONSTRAINT split_fk REFERENCES parent (id)) PARTITION BY RANGE (id);
CREATE TABLE split1 PARTITION OF split DEFAULT;
ALTER TABLE plain ADD CONSTRAINT late CHECK (id > 0) NOT VALID;
ALTER TABLE filled ADD CONSTRAINT late_fk FOREIGN KEY (id) REFERENCES parent (id) NOT VALID;
INSERT INTO parent SELECT g, g, g FROM generate_series(1, 1000) g;
INSERT INTO plain SELECT g FROM generate_series(1, 1000) g;
INSERT INTO split SELECT g FROM generate_series(1, 500) g;
ANALYZE;
DELETE FROM parent WHERE id > 990;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER resting BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER working BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE plain DISABLE TRIGGER resting;
ALTER TABLE half DISABLE TRIGGER ALL;
"""


def test_constraints(database: Database, collect: Collect) -> None:
    database.sql(CONSTRAINTS)
    found = wait_for(lambda: _with_deleted(collect(database.dsn)), "the deleted rows have not arrived")
    assert collect(database.dsn, whole=True).errors == {}
    indexed = rows(found, "constraints", "conname", "is_indexed")
    unindexed = ["behind_fk", "empty_fk", "half_fk", "plain_fk", "split_fk", "summary_fk"]
    assert sorted(name for name, is_indexed in indexed.items() if is_indexed is False) == unindexed
    validated = rows(found, "constraints", "conname", "convalidated")
    assert sorted(name for name, is_valid in validated.items() if not is_valid) == ["late", "late_fk"]
    assert found.sections["constraints"]["rows"][0]["conname"] in ("late", "plain_fk")
    plain = found.row("constraints", conname="plain_fk")
    assert (plain["columns"], plain["ref_relname"], plain["ref_columns"]) == (["id"], "parent", ["id"])
    assert (plain["size_bytes"], plain["reltuples"], plain["ref_reltuples"]) == (5 * 8192, 1000, 1000)
    assert (plain["confdeltype"], plain["confupdtype"], plain["ref_n_tup_del"]) == ("c", "a", 10)
    assert found.row("constraints", conname="behind_fk")["columns"] == ["a", "b"]
    assert found.row("constraints", conname="split_fk")["reltuples"] == 500
    late = found.row("constraints", conname="late")
    assert (late["contype"], late["is_indexed"], late["ref_relname"], late["confdeltype"]) == ("c", None, None, None)
    total = found.sections["constraints"]["total"]
    assert (total["count"], total["foreign_key_count"], total["unindexed_count"]) == (8, 9, 6)
    assert (total["not_valid_count"], total["disabled_trigger_count"]) == (2, 1)
    assert total["disabled_internal_trigger_count"] == 2
    assert total["disabled_triggers"][0]["tgname"] == "resting"


def _with_deleted(document: Document) -> Document | None:
    return document if document.row("constraints", conname="plain_fk")["ref_n_tup_del"] else None


@pytest.mark.pg(">= 18")
def test_a_constraint_not_enforced_is_not_one_to_validate(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int CHECK (id > 0) NOT ENFORCED, x int)")
    database.sql("ALTER TABLE t ADD CONSTRAINT filled NOT NULL x NOT VALID")
    found = collect(database.dsn).sections["constraints"]
    assert [(row["conname"], row["contype"]) for row in found["rows"]] == [("filled", "n")]
    assert (found["total"]["not_enforced_count"], found["total"]["not_valid_count"]) == (1, 1)


COLUMNS = """
CREATE TABLE near (id serial PRIMARY KEY, other smallint GENERATED BY DEFAULT AS IDENTITY, far bigserial);
CREATE TABLE seen (id int PRIMARY KEY);
CREATE TABLE pair (a int, b int, PRIMARY KEY (a, b));
CREATE SEQUENCE shared;
CREATE TABLE fed (n int DEFAULT nextval('shared'));
CREATE TABLE wide (id bigserial PRIMARY KEY);
CREATE TABLE narrow (id bigint PRIMARY KEY, wide_id int CONSTRAINT narrow_fk REFERENCES wide);
SELECT setval('near_id_seq', 1932735283), setval('near_other_seq', 16384), setval('near_far_seq', 1932735283);
SELECT setval('shared', 214748365), setval('wide_id_seq', 1610612736);
INSERT INTO seen SELECT 1288490188 - g FROM generate_series(0, 999) g;
ANALYZE;
"""


def test_a_column_that_counts_downwards(newest_database: Database, collect: Collect) -> None:
    newest_database.sql(
        "CREATE TABLE down (id int GENERATED ALWAYS AS IDENTITY"
        " (INCREMENT -1 MINVALUE -2147483648 START -2147483640) PRIMARY KEY, x int);"
        "INSERT INTO down (x) VALUES (1);"
        f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{newest_database.role}"'
    )
    found = collect(newest_database.dsn, whole=True).row("columns", relname="down")
    assert (found["used_percent"], found["limit_value"]) == (100, -2147483648)


def test_columns_near_their_end(database: Database, collect: Collect) -> None:
    database.sql(COLUMNS)
    database.sql(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{database.role}"')
    database.sql(f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "{database.role}"')
    found = collect(database.dsn, whole=True)
    assert found.errors == {}
    got = [(row["relname"], row["attname"], row["used_percent"]) for row in found.sections["columns"]["rows"]]
    assert got == [
        ("near", "id", 90),
        ("narrow", "wide_id", 75),
        ("seen", "id", 60),
        ("near", "other", 50),
        ("fed", "n", 10),
    ]
    near, narrow, fed = (found.row("columns", relname=name, attname=column) for name, column in NAMED)
    assert (near["last_value"], near["limit_value"], near["is_primary_key"]) == (1932735283, 2147483647, True)
    assert (near["data_type"], near["is_identity"], near["sequencename"]) == ("integer", False, "near_id_seq")
    assert (narrow["ref_relname"], narrow["ref_attname"], narrow["ref_data_type"]) == ("wide", "id", "bigint")
    assert (narrow["sequencename"], narrow["is_primary_key"]) == ("wide_id_seq", False)
    assert (fed["sequencename"], fed["is_primary_key"]) == ("shared", False)
    assert found.row("columns", attname="other")["is_identity"] is True
    assert (near["referencing_count"], near["referencing"], near["size_bytes"]) == (0, [], 0)
    seen = found.row("columns", relname="seen")
    assert (seen["greatest_value"], seen["last_value"], seen["reltuples"]) == (1288490188, None, 1000)
    total = found.sections["columns"]["total"]
    assert (total["count"], total["fed_count"], total["unfed_key_count"]) == (5, 3, 1)
    assert (total["narrow_reference_count"], total["unreadable_count"]) == (1, 0)


NAMED = [("near", "id"), ("narrow", "wide_id"), ("fed", "n")]


def test_a_role_with_no_privilege_at_all(database: Database, collect: Collect) -> None:
    database.sql(SEQUENCES)
    database.sql("CREATE SCHEMA hidden; CREATE TABLE hidden.h (id serial PRIMARY KEY, tid int REFERENCES t)")
    name = f"bare {database.role}"
    database.server.create_role(name, "secret", grants=())
    try:
        found = collect(database.server.dsn(database.name, name, "secret"))
    finally:
        database.server.sql(f'DROP ROLE "{name}"')
    for section in OURS:
        assert section not in found.errors
        assert found.sections[section]["total"]["count"] > 0
    assert (
        found.sections["sequences"]["total"]["unreadable_count"] == found.sections["sequences"]["total"]["count"] == 8
    )
    assert found.row("table_sizes", relname="h")["indexes_size_bytes"] == 8192
