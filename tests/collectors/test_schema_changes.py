"""What was created, altered and dropped since the last time."""

import json
from typing import Any

from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.collectors.schema_changes import MOST, SchemaChanges
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.snapshot import Collected, Section
from tests.postgres.server import Database


def told(collected: Collected) -> dict[str, Any] | None:
    found = [section.json for section in collected.sections if section.name == "schema_changes"]
    return json.loads(found[0]) if found else None


def test_changes(database: Database) -> None:
    database.sql("CREATE TABLE stays (id int); CREATE TABLE goes (id int); CREATE TABLE grows (id int)")
    one = Collecting(Dsn.parse(database.dsn, {}), 20, routine=Routine("one", 60.0, Memory()))

    def an_hour_later() -> dict[str, Any] | None:
        one._memory._ran.clear()
        return told(one.once())

    assert an_hour_later() is None  # the first
    assert an_hour_later() is None  # the same
    database.sql("DROP TABLE goes; CREATE TABLE comes (id int PRIMARY KEY); ALTER TABLE grows ADD x text")
    found = an_hour_later()
    assert found is not None
    changes = [(row["change"], row["kind"], row["schemaname"], row["name"]) for row in found["rows"]]
    assert ("dropped", "table", "public", "goes") in changes
    assert ("created", "table", "public", "comes") in changes
    assert ("created", "constraint", "public", "comes_pkey") in changes
    assert ("altered", "table", "public", "grows") in changes
    assert not any(name == "stays" for *_, name in changes)
    total = found["total"]
    assert total["count"] == len(changes) == total["created_count"] + total["altered_count"] + total["dropped_count"]
    assert found["more"] == 0
    assert an_hour_later() is None
    one.close()


def schema(names: dict[str, str], kind: str = "table") -> tuple[Section]:
    rows = [
        {"kind": kind, "schemaname": name, "name": None if kind == "contents" else name, "fingerprint": mark}
        for name, mark in names.items()
    ]
    return (Section("schema", json.dumps({"rows": [{"kind": "contents", "fingerprint": "x"}, *rows]})),)


def test_many_changes_and_schemas_in_place_of_objects() -> None:
    changes = SchemaChanges()
    assert changes.of(schema({})) is None
    section = changes.of(schema({f"t{number}": "a" for number in range(MOST + 5)}))
    assert section is not None
    found = json.loads(section.json)
    assert (len(found["rows"]), found["more"], found["total"]["created_count"]) == (MOST, 5, MOST + 5)
    assert changes.of(schema({"public": "a"}, "contents")) is None  # nothing compares
    section = changes.of(schema({"public": "b"}, "contents"))
    assert section is not None
    assert [(row["change"], row["schemaname"]) for row in json.loads(section.json)["rows"]] == [("altered", "public")]
    assert changes.of((Section("tables", "{}"),)) is None


def test_what_cannot_be_read_is_as_if_it_had_not_been_collected() -> None:
    changes = SchemaChanges()
    deep = f'{{"rows":{"[" * 100_000}{"]" * 100_000}}}'
    for spoiled in (f'{{"rows":[{"9" * 5000}]}}', deep):
        assert changes.of(schema({"public": "a"})) is None
        assert changes.of((Section("schema", spoiled),)) is None
    section = changes.of(schema({"public": "b"}))
    assert section is not None and json.loads(section.json)["total"]["altered_count"] == 1
