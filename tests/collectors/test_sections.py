"""What the sections say of planted situations."""

import threading

import psycopg2
import pytest

from tests.collectors.conftest import Collect
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

HOSTILE = [
    'it\'s "quoted"',
    "two\nlines\ttab",
    "\x1b[31mred\x1b[0m",
    "😀 émoji \u202e",
    "<script>alert(1)</script>",
    "%s %(x)s {} \\ $1 :x",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(newest_database: Database, collect: Collect, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    newest_database.sql(f"CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.{quoted} ({quoted} int PRIMARY KEY)")
    newest_database.sql(f"CREATE INDEX ON {quoted}.{quoted} (({quoted} + 1))")
    found = collect(newest_database.dsn)
    assert found.errors == {}
    assert found.row("tables", relname=name)["schemaname"] == name
    assert {row["schemaname"] for row in found.sections["indexes"]["rows"]} == {name}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_databases_and_roles(newest_server: Server, collect: Collect, name: str) -> None:
    newest_server.create_role(name, "secret")
    newest_server.create_database(name, owner=name)
    try:
        found = collect(newest_server.dsn(name, name, "secret"))
        assert found.sections["database"]["datname"] == name
        assert set(found.errors) <= {"top_queries"}
    finally:
        newest_server.drop_database(name)
        quoted = '"' + name.replace('"', '""') + '"'
        newest_server.sql(f"DROP ROLE {quoted}")


@pytest.mark.collects("tables", "indexes")
def test_tables_and_indexes_are_counted(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, x text); CREATE INDEX ON t (x)")
    database.sql("CREATE TABLE parent (id int) PARTITION BY LIST (id); CREATE TABLE child PARTITION OF parent DEFAULT")
    database.sql(
        "CREATE TEMP TABLE gone (id int); CREATE MATERIALIZED VIEW seen AS SELECT 1; CREATE VIEW unseen AS SELECT 1"
    )
    database.sql("ALTER TABLE t ADD y text; ALTER TABLE t ALTER y SET STORAGE EXTERNAL")
    database.sql("INSERT INTO t SELECT g, g, repeat('y', 5000) FROM generate_series(1, 1000) g")
    database.sql("VACUUM ANALYZE t")
    database.sql("DELETE FROM t WHERE id % 2 = 0")
    found = wait_for(lambda: _with_dead(collect(database.dsn)), "the counters have not arrived")
    kinds = {row["relname"]: row["relkind"] for row in found.sections["tables"]["rows"]}
    assert kinds == {"t": "r", "parent": "p", "child": "r", "seen": "m"}
    table = found.row("tables", relname="t")
    assert (table["n_tup_ins"], table["n_tup_del"], table["n_dead_tup"], table["index_count"]) == (1000, 500, 500, 2)
    parts = [table[f"{part}_size_bytes"] for part in ("table", "toast", "indexes")]
    assert (table["size_bytes"], min(parts) > 0) == (sum(parts), True)
    assert table["last_analyze"]
    assert found.sections["tables"]["total"]["count"] == 4
    assert found.sections["tables"]["total"]["n_dead_tup"] == 500
    assert found.row("indexes", indexrelname="t_pkey")["indisprimary"] is True
    assert found.sections["indexes"]["total"]["count"] == 2


def _with_dead(document):
    return document if document.row("tables", relname="t")["n_dead_tup"] else None


@pytest.mark.collects("tables", "indexes")
def test_rows_are_bounded_and_the_rest_is_counted(newest_database: Database, collect: Collect) -> None:
    tables = "FOR i IN 1..600 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i); END LOOP"
    newest_database.sql(f"DO $$BEGIN {tables}; END$$")
    newest_database.sql(
        "INSERT INTO t300 SELECT generate_series(1, 100000); DELETE FROM t300 WHERE id < 100; ANALYZE t300"
    )
    found = collect(newest_database.dsn).sections
    for name in ("tables", "indexes"):
        shown = len(found[name]["rows"])
        assert 50 <= shown <= 200
        assert (found[name]["total"]["count"], found[name]["more"]) == (600, 600 - shown)
    assert found["tables"]["rows"][0]["relname"] == "t300"


@pytest.mark.collects("tables", "indexes")
def test_an_invalid_index(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("CREATE TABLE t AS SELECT 1 AS id FROM generate_series(1, 2)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        newest_database.sql("CREATE UNIQUE INDEX CONCURRENTLY broken ON t (id)")
    found = collect(newest_database.dsn)
    assert found.row("indexes", indexrelname="broken")["indisvalid"] is False
    assert found.sections["indexes"]["total"]["invalid_count"] == 1


@pytest.mark.collects("activity", "locks")
def test_a_blocked_session(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, secret text); INSERT INTO t VALUES (1, 'x')")
    holder, waiter = (psycopg2.connect(database.server.dsn(database.name)) for _ in range(2))
    holder.cursor().execute("UPDATE t SET secret = 'h1dden by pgdoctor' WHERE id = 1")
    waiting = threading.Thread(
        target=waiter.cursor().execute, args=("UPDATE t SET secret = 'h1dden too' WHERE id = 1",)
    )
    waiting.start()
    pids = holder.info.backend_pid, waiter.info.backend_pid
    found = wait_for(lambda: _with_waiting(collect(database.dsn)), "nobody waits")
    text = collect(database.dsn, whole=True).text
    holder.rollback()
    waiting.join()
    for connection in (holder, waiter):
        connection.close()
    lock = found.row("locks", pid=pids[1])
    assert (lock["blocking_pids"], lock["locktype"], lock["mode"]) == ([pids[0]], "transactionid", "ShareLock")
    assert lock["query"] == "UPDATE t SET secret = '***' WHERE id = ***"
    [blocker] = lock["blockers"]
    assert (blocker["pid"], blocker["state"]) == (pids[0], "idle in transaction")
    assert found.sections["locks"]["total"]["waiting_by_mode"] == {"ShareLock": 1}
    assert (lock["wait_age_s"] is not None) == (database.server.major >= 14)
    session = found.row("activity", pid=pids[0])
    assert (session["state"], session["query"]) == ("idle in transaction", "UPDATE t SET secret = '***' WHERE id = ***")
    assert session["xact_age_s"] >= 0
    assert "h1dden" not in text


def _with_waiting(document):
    return document if document.sections["locks"]["rows"] else None


def test_secrets_in_settings_do_not_leave_the_server(make_server, collect: Collect) -> None:
    conninfo = "host=/tmp password='hid den' sslpassword=h1dden passfile=/x"
    server = make_server(
        primary_conninfo=conninfo, archive_command="KEY=h1dden cp --password h1dden postgres://u:h1dden@h/ %p /a"
    )
    server.sql("ALTER DATABASE postgres SET app.jwt_secret = 'h1dden'; ALTER DATABASE postgres SET work_mem = '7MB'")
    found = collect(server.dsn())
    settings = {row["name"]: row["setting"] for row in found.sections["settings"]["rows"]}
    assert "app.jwt_secret" not in settings  # pg_settings has no settings of one's own
    assert settings["primary_conninfo"] == "host=/tmp password=*** sslpassword=*** passfile=***"
    assert settings["archive_command"] == "***"
    assert settings["work_mem"] == "7168"
    assert not [word for word in ("h1dden", "hid den") if word in found.text]


@pytest.mark.collects("settings")
def test_the_sessions_own_settings_do_not_show(newest_database: Database, collect: Collect) -> None:
    newest_database.sql(f"ALTER DATABASE \"{newest_database.name}\" SET statement_timeout = '77s'")
    settings = collect(newest_database.dsn).sections["settings"]
    assert [row["setting"] for row in settings["rows"] if row["name"] == "statement_timeout"] == ["77000"]
    assert not [row for row in settings["rows"] if row["name"] in ("lock_timeout", "search_path", "application_name")]


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_other_encodings(server: Server, collect: Collect, encoding: str) -> None:
    name = f"encoded_{encoding.lower()}"
    server.create_database(name, encoding)
    raw = b"\xe9" if encoding != "EUC_JP" else b"\xc6\xfc"
    try:
        session = server.connect(name)
        session.set_client_encoding(encoding)
        session.cursor().execute(
            b'CREATE TABLE "t' + raw + b'" (id int); CREATE INDEX "i' + raw + b'" ON "t' + raw + b'" (id)'
        )
        session.cursor().execute(b'SELECT 1 AS "' + raw + b"\", '" + raw + b"'")
        inside, outside = collect(server.dsn(name)), collect(server.dsn())
        session.close()
    finally:
        server.forget_statements(name)  # which no other test of this server could read
        server.drop_database(name)
    assert inside.errors.keys() <= {"top_queries"}, inside.errors
    assert outside.errors.keys() <= {"top_queries"}, outside.errors
    expected = {"SQL_ASCII": "t\ufffd", "LATIN1": "té", "EUC_JP": "t日"}[encoding]
    assert [row["relname"] for row in inside.sections["tables"]["rows"]] == [expected]
    assert outside.row("activity", datname=name)["query"] is None
    assert 'AS "' in inside.row("activity", datname=name)["query"]


UNUSUAL = [
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'sql_standard'",
    "TimeZone = 'Asia/Kathmandu'",
    "bytea_output = 'escape'",
    "search_path = public",
    "default_transaction_isolation = 'serializable'",
    "extra_float_digits = -15",
]


def test_unusual_settings_of_the_database(newest_database: Database, collect: Collect) -> None:
    newest_database.sql("SELECT 'it''s' AS counted_here")
    for setting in UNUSUAL:
        newest_database.sql(f'ALTER DATABASE "{newest_database.name}" SET {setting}')
    planted = "LANGUAGE sql AS 'SELECT ''planted''::text'"
    newest_database.sql(f"CREATE FUNCTION public.left(text, int) RETURNS text {planted}")
    found = collect(newest_database.dsn)
    assert found.errors == {}
    assert found.query("counted_here")["normalized_query"] == "SELECT $1 AS counted_here"
    assert found.sections["database"]["server_time"].endswith(("+05:45", "Z", "+00:00"))
    assert "planted" not in found.text
