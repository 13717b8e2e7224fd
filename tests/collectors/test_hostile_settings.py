"""Whatever a role, a database or a server sets for its sessions, PGDoctor's go by its own."""

import json
from collections.abc import Callable

import pytest

from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.connect import connect
from tests.postgres.server import Database, Server

SETTINGS = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "extra_float_digits": "-15",
    "statement_timeout": "100ms",
    "lock_timeout": "1ms",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "row_security": "off",
    "timezone": "Asia/Kathmandu",
    "search_path": "evil, public",
}
LATER = {"idle_session_timeout": "1s"}  # 14+


def set_for(database: Database, **settings: str) -> None:
    for name, value in settings.items():
        database.sql(f"ALTER ROLE {database.role} SET {name} = {value if 'path' in name else repr(value)}")


def test_all_of_them_at_once(database: Database) -> None:
    settings = SETTINGS | (LATER if database.server.major >= 14 else {})
    settings |= {"transaction_timeout": "300ms"} if database.server.major >= 17 else {}
    set_for(database, **settings)
    one = Collecting(Dsn.parse(database.dsn, {}), 20, routine=Routine("one", 60.0, Memory()))
    for _ in range(3):
        collected = one.once()
        assert [error.line for error in collected.errors] == []
        assert {"tables", "database"} <= {section.name for section in collected.sections}
    assert any(cost.ms != round(cost.ms) for cost in collected.costs.values())
    one.close()


def test_a_standby_whose_transactions_would_be_serializable(
    newest_server: Server, standby: Callable[[Server], Server]
) -> None:
    database = newest_server.new_database()
    set_for(database, default_transaction_isolation="serializable")
    follower = standby(newest_server)
    try:
        dsn = Dsn.parse(follower.dsn(database.name, database.role, database.password), {})
        assert "database" in {section.name for section in Collecting(dsn, 20).once().sections}
    finally:
        database.drop()


def test_a_statement_has_the_agents_limit_and_not_the_roles(database: Database) -> None:
    """Before PostgreSQL 13 the limit that is in force when a message comes holds for all of it."""
    set_for(database, statement_timeout="60s")
    with connect(Dsn.parse(database.dsn, {})) as session:
        with pytest.raises(DatabaseError) as caught:
            session.ask("SELECT pg_sleep(20)::text", 1, 0.2)
        assert caught.value.sqlstate == "57014"


def test_an_idle_session_is_not_ended(make_server: Callable[..., Server]) -> None:
    server = make_server(idle_session_timeout="200ms")
    with connect(Dsn.parse(server.dsn(), {})) as session:
        server.sql("SELECT pg_sleep(0.6)")
        assert session.ask("SELECT 1", 1, 5) == ("1",)


def test_the_shells_commands_are_not_told(make_server: Callable[..., Server]) -> None:
    command = "sshpass -p hunter1 scp %p b: && curl -u me:hunter2 -H 'Authorization: Bearer hunter3' && mysql -phunter4"
    server = make_server(archive_mode="on", archive_command=command, restore_command=command)
    found = Collecting(Dsn.parse(server.dsn(), {}), 20).once()
    [settings] = [json.loads(section.json) for section in found.sections if section.name == "settings"]
    told = {row["name"]: row["setting"] for row in settings["rows"]}
    assert (told["archive_command"], told["restore_command"]) == ("***", "***")
    assert not any("hunter" in section.json for section in found.sections)


def test_explain_that_fails_costs_its_own_section(make_server: Callable[..., Server]) -> None:
    server = make_server()
    database = server.new_database()
    database.sql("CREATE SCHEMA apart; ALTER EXTENSION pg_stat_statements SET SCHEMA apart")
    one = Collecting(Dsn.parse(database.dsn, {}), 20, routine=Routine("one", 60.0, Memory()), explain=True)
    for _ in range(2):
        found = one.once()
        errors = {error.collector: (error.error, error.hint) for error in found.errors}
        usage = ("permission denied for schema apart", f'GRANT USAGE ON SCHEMA "apart" TO "{database.role}";')
        assert errors == {"plans": usage, "top_queries": usage}
        assert "database" in {section.name for section in found.sections}
    server.sql(usage[1], dbname=database.name)
    one = Collecting(Dsn.parse(database.dsn, {}), 20, routine=Routine("one", 60.0, Memory()), explain=True)
    assert one.once().errors == ()
