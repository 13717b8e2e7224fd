"""Real snapshots are what docs/snapshot.schema.json says, and docs/snapshot.md names every field."""

import json
import runpy
import threading
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from psycogreen.gevent import gevent_wait_callback
from psycopg2.extensions import set_wait_callback

from pgdoctor_lib.collectors.run import Collecting
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.snapshot import Agent, Snapshot, new_id
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

ROOT = Path(__file__).parent.parent
build = runpy.run_path(str(ROOT / "docs/build.py"))
SCHEMA = json.loads((ROOT / "docs/snapshot.schema.json").read_text())
COLUMNS = {each.stem: each.read_text().splitlines() for each in (ROOT / "tests/collectors/columns").glob("*.txt")}
PAGE = (ROOT / "docs/snapshot.md").read_text()


@pytest.fixture(autouse=True)
def cooperative_psycopg2():
    set_wait_callback(gevent_wait_callback)
    yield
    set_wait_callback(None)


def snapshot(dsn: str) -> Any:
    collected = Collecting(Dsn.parse(dsn, {}), 20).once()
    agent = Agent("1.0.0", "mon-1", 12345)
    made = Snapshot(new_id(), 1705312800.0, 14.25, agent, "production", ("production",), 60.0, collected)
    return json.loads(made.body())


def check(document: Any) -> None:
    Draft202012Validator(SCHEMA, format_checker=FormatChecker()).validate(document)
    unknown = [*_unknown(document, SCHEMA, "")]
    assert unknown == []


def _unknown(value: Any, schema: Any, where: str):
    """Fields that the schema does not know: it lets them be, for what later versions add."""
    if isinstance(value, dict) and "properties" in schema:
        for key, inner in value.items():
            known = schema["properties"].get(key)
            yield from [f"{where}.{key}"] if known is None else _unknown(inner, known, f"{where}.{key}")
    for item in value if isinstance(value, list) and "items" in schema else ():
        yield from _unknown(item, schema["items"], where)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_snapshot(database: Database) -> None:
    database.sql("CREATE TABLE t (id int PRIMARY KEY, x text) WITH (fillfactor = 70); CREATE INDEX ON t (lower(x))")
    document = snapshot(database.dsn)
    check(document)
    assert (document["errors"], document["has_pg_stat_statements"]) == ([], True)


def test_primary_and_standby_with_a_session_that_waits(server: Server, standby) -> None:
    follower = standby(server)
    holder, waiter = server.connect(), server.connect()
    lock = "SELECT pg_advisory_lock(1)"
    holder.cursor().execute(lock)
    waiting = threading.Thread(target=waiter.cursor().execute, args=(lock,))
    waiting.start()
    wait_for(lambda: snapshot(server.dsn())["sections"]["locks"]["rows"], "nobody waits")
    check(snapshot(server.dsn()))
    check(snapshot(follower.dsn()))
    holder.close()
    waiting.join()
    waiter.close()


def test_a_role_without_privileges(newest_server: Server) -> None:
    newest_server.create_role("bare", "secret", grants=())
    try:
        document = snapshot(newest_server.dsn("postgres", "bare", "secret"))
    finally:
        newest_server.sql("DROP ROLE bare")
    check(document)
    assert document["errors"]


def test_page_and_schema_are_made_from_the_collectors() -> None:
    text, schema = PAGE, (ROOT / "docs/snapshot.schema.json").read_text()
    assert (build["page"](text), build["schema"](schema)) == (text, schema), "run make docs"
    assert build["checks_page"]() == (ROOT / "docs/checks.md").read_text(), "run make docs"


def test_the_page_names_every_field() -> None:
    sections = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])
    for name, columns in COLUMNS.items():
        section = name.split(".", maxsplit=1)[0]
        if name.endswith((".elsewhere", ".look", ".names", ".sample", ".worst")):
            continue
        told = {entry.split(" ", 1)[0] for entry in columns} - ({"dbid"} if "queries" in name else set())
        missing = [column for column in told if column not in sections[section]]
        assert (name, missing) == (name, [])
    assert [field for field in SCHEMA["properties"] if f"`{field}`" not in PAGE] == []
