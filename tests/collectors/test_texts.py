"""No constant leaves the server in a query's text, whatever form it has; `full` and `none` do what they say."""

import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from tests.collectors.conftest import Collect, Document
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

MASKED = {
    "SELECT 'a' AS \"it's\", 'h1dden' AS b": "SELECT '***' AS \"it's\", '***' AS b",
    "SELECT 1 /* it's h1dden */, 'h1dden' -- it's h1dden\n, 'h1dden'": "SELECT ***  , '***'  \n, '***'",
    "SELECT 1 /* a /* h1dden */ h1dden */, 2": "SELECT ***  ",
    "SELECT/**/1/***/+/* h1dden **/2 -- h1dden": "SELECT *** + ***  ",
    "SELECT 'it''s h1dden', 1": "SELECT '***''***', ***",
    "SELECT E'it\\'s h1dden', 1": "SELECT E'***'",
    "SELECT E'it\\\\', 'h1dden'": "SELECT E'***'",
    "SELECT U&'h1dden', B'1001', X'9F', N'h1dden'": "SELECT U&'***', B'***', X'***', N'***'",
    "SELECT U&'h1dden!0041' UESCAPE '!'": "SELECT U&'***' UESCAPE '***'",
    "SELECT $$h1dden$$, 1": "SELECT '***'",
    "SELECT $a$h1dden $b$ h1dden$a$, 1": "SELECT '***'",
    "SELECT $ü$h1dden$ü$": "SELECT '***'",
    "SELECT 1 AS a$b$c, 'h1dden', 4-2/1": "SELECT *** AS a$b$c, '***', ***-***/***",
    "SELECT 9001, 9001.5, .9001, 9001e-3, 1::bit(9001)": "SELECT ***, ***, .***, ***-***, ***::bit(***)",
    "SELECT 9001 AS t9001ü9001": "SELECT *** AS t9001ü9001",
    "ALTER ROLE postgres PASSWORD 'h1dden'": "ALTER ROLE postgres PASSWORD '***'",
    "ALTER ROLE postgres PASSWORD $x$h1dden$x$": "ALTER ROLE postgres PASSWORD '***'",
    "PREPARE one AS SELECT $1::int + 9001": "PREPARE one AS SELECT $1::int + ***",
    "DO 'BEGIN RAISE DEBUG ''h1dden''; END'": "DO '***''***''***'",
    f"SELECT '{'h1dden' * 400}'": "SELECT '***'",
    f"SELECT {'1, ' * 320} 'h1dden', $$h1dden$$": None,
    f"SELECT 1, '{'x' * 970}''h1dden', 9001": None,
    f"SELECT 1 /* {'x' * 975} h1dden */": "SELECT ***  ",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Database]:
    """One for statements that leave nothing behind but themselves."""
    made = server.new_database()
    yield made
    made.drop()


@pytest.mark.collects("activity")
@pytest.mark.parametrize(("statement", "shown"), MASKED.items())
def test_constants_do_not_leave_the_server(
    shared: Database, collect: Collect, statement: str, shown: str | None
) -> None:
    shared.sql("SELECT pg_stat_statements_reset()")
    connection = shared.server.connect(shared.name)
    try:
        connection.cursor().execute(statement)
        found = collect(shared.dsn, 200)
    finally:
        connection.close()
    assert shown is None or shown in [row["query"] for row in found.sections["activity"]["rows"]]
    texts = [row["query"] or "" for row in found.sections["activity"]["rows"]]
    texts += [row["normalized_query"] or "" for row in found.top_queries or ()]
    assert not [text for text in texts if "h1dden" in text or "9001" in text.replace("t9001ü9001", "")]


UTILITY = [
    "CREATE ROLE {role} PASSWORD 'h1dden'",
    "ALTER ROLE {role} ENCRYPTED PASSWORD E'hid\\145h1dden'",
    "ALTER ROLE {role} PASSWORD /* h1dden */ 'h1dden'",
    "CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER fdw OPTIONS (passfile 'h1dden')",
    "CREATE USER MAPPING FOR {role} SERVER elsewhere OPTIONS (user 'x', password 'h1dden')",
    'ALTER USER MAPPING FOR {role} SERVER elsewhere OPTIONS (SET "password" $$h1dden$$)',
    "CREATE SUBSCRIPTION s CONNECTION 'host=h password=''h1dden''' PUBLICATION p WITH (connect = false)",
    "ALTER SUBSCRIPTION s CONNECTION 'postgresql://u:h1dden@h/db'",
    "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null # h1dden'",
    "DO $$BEGIN PERFORM dblink_connect('password=h1dden'); EXCEPTION WHEN OTHERS THEN NULL; END$$",
    "ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s",
]


@pytest.mark.parametrize("query_text", ["masked", "full", "none"])
def test_passwords_in_utility_statements_leave_in_no_mode(
    database: Database, collect: Collect, watch: Callable[..., Callable[[], Document]], query_text: str
) -> None:
    look = watch(database.dsn, 200, query_text)
    role = f"user_{database.name}"
    connection = database.server.connect(database.name)
    try:
        for statement in UTILITY:
            connection.cursor().execute(statement.format(role=role))
            assert "h1dden" not in look().text
    finally:
        connection.close()
        database.sql(f"DROP FOREIGN DATA WRAPPER fdw CASCADE; DROP ROLE {role}")
    assert (collect(database.dsn, 200, "full").query("ALTER SUBSCRIPTION s CONNECTION")["calls"]) == 1


@pytest.mark.collects("activity")
def test_full_shows_texts_as_they_are(database: Database, collect: Collect) -> None:
    statement = "SELECT 'shown', 4711 /* as it is */ FROM pg_class WHERE relname = $x$shown$x$"
    connection = database.server.connect(database.name)
    try:
        connection.cursor().execute(statement)
        found = collect(database.dsn, 200, "full")
    finally:
        connection.close()
    assert statement in [row["query"] for row in found.sections["activity"]["rows"]]
    assert "/* as it is */" in found.query("as it is")["normalized_query"]


def test_none_shows_numbers_only(database: Database, collect: Collect) -> None:
    database.sql("SELECT 1 AS counted_here")
    with_texts, without = collect(database.dsn, 200), collect(database.dsn, 200, "none")
    assert without.top_queries
    assert {row["normalized_query"] for row in without.top_queries} == {None}
    assert {row["query"] for row in without.sections["activity"]["rows"]} == {None}
    counted = with_texts.query("counted_here")
    assert counted["calls"] in [
        row["calls"] for row in without.top_queries if row["fingerprint"] == counted["fingerprint"]
    ]
    assert "SELECT" not in without.text


def test_a_text_that_the_server_cut_in_a_constant(make_server, watch: Callable[..., Callable[[], Document]]) -> None:
    server = make_server(track_activity_query_size=100)
    session, look = server.connect(), watch(server.dsn())
    for length in range(50, 100):
        session.cursor().execute(f"SELECT '{'x' * length} '' $tag$ h1dden', $tag$h1dden$tag$, E'\\'h1dden', 730451729")
        text = look().text
        assert not [word for word in ("h1dden", "730451729", "xxx") if word in text]
    session.close()


@pytest.mark.collects("locks")
def test_who_waits_and_who_blocks(database: Database, collect: Collect) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (9001, 'x')")
    holder, waiter = (psycopg2.connect(database.server.dsn(database.name)) for _ in range(2))
    holder.cursor().execute("UPDATE t SET x = 'h1dden' WHERE id = 9001 -- h1dden")
    statement = "UPDATE t SET x = $$h1dden$$ WHERE id = 9001"
    waiting = threading.Thread(target=waiter.cursor().execute, args=(statement,))
    waiting.start()
    wait_for(lambda: collect(database.dsn).sections["locks"]["rows"], "nobody waits")
    masked, full, none = (
        collect(database.dsn, 20, mode).sections["locks"]["rows"][0] for mode in ("masked", "full", "none")
    )
    holder.rollback()
    waiting.join()
    for connection in (holder, waiter):
        connection.close()
    assert (masked["query"], masked["blockers"][0]["query"]) == (
        "UPDATE t SET x = '***'",
        "UPDATE t SET x = '***' WHERE id = ***  ",
    )
    assert (full["query"], full["blockers"][0]["query"]) == (
        statement,
        "UPDATE t SET x = 'h1dden' WHERE id = 9001 -- h1dden",
    )
    assert (none["query"], none["blockers"][0]["query"]) == (None, None)
