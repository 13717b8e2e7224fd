"""The OpenAPI document is what the running server does: tried from the document, and from real answers."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from pgdoctor_lib.receiver.api.answers import MADE_UNITS
from pgdoctor_lib.receiver.guard import COOKIE
from pgdoctor_lib.receiver.web.measures import MADE
from pgdoctor_lib.snapshot import iso_time, new_id
from tests.fix_daemon import Cli
from tests.postgres.server import Database, Server
from tests.receiver.client import TOKEN, Client
from tests.receiver.store.documents import document, finding, many, query

Check = Callable[[str, str], Any]


def strict(schema: Any) -> Any:
    """The same, where an object has nothing that is not written down."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return {**closed, **{key: strict(value) for key, value in schema.items()}}


@pytest.fixture
def check(receiver: Client) -> Check:
    """Ask for an address: the answer, which is what the document says of this operation, and no more."""
    told = receiver.get("/api/openapi.json").json
    known = strict(told["components"])
    del known["schemas"]["Snapshot"]["additionalProperties"]
    del known["schemas"]["Snapshot"]["properties"]["database"]["additionalProperties"]

    def ask(operation: str, path: str) -> Any:
        answer = receiver.get(path)
        [found] = [
            methods["get"]
            for methods in told["paths"].values()
            if methods.get("get", {}).get("operationId") == operation
        ]
        schema = found["responses"][str(answer.status)]["content"]["application/json"]["schema"]
        validator = Draft202012Validator({**schema, "components": known}, format_checker=FormatChecker())
        problems = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(answer.json)]
        assert problems == [], path
        assert answer.status == 200, answer.text
        return answer.json

    return ask


@pytest.fixture
def planted(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    made.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    made.sql("INSERT INTO orders SELECT g, 'x' FROM generate_series(1, 1000) g")
    yield made
    made.drop()


def test_answers_of_a_real_server_are_what_the_document_says(
    receiver: Client, cli: Cli, planted: Database, check: Check
) -> None:
    for ago in (900, 300, 0):
        taken = json.loads(cli.run("snapshot", planted.dsn).stdout)
        at = time.time() - ago
        taken.update(snapshot_id=new_id(at), collected_at=iso_time(at))
        taken["database"] = {"name": "planted", "tags": {"team": "core"}, "interval_s": 300,
                             "mark": {"label": "v1", "at": iso_time(at)}}  # fmt: skip
        taken["findings"] = [finding(severity=severity, key=severity) for severity in ("critical", "warning", "info")]
        answer = receiver.post(json.dumps(taken).encode())
        assert answer.status == 201
        planted.sql("SELECT count(*) AS planted FROM orders")
    base = f"/api/databases/{answer.json['source_id']}"
    assert check("listDatabases", "/api/databases?state=critical")["databases"][0]["name"] == "planted"
    assert check("getDatabase", base)["figures"]["database"]["datname"] == planted.name
    assert len(check("listSnapshots", f"{base}/snapshots")["snapshots"]) == 3
    check("getSnapshot", f"/api/snapshots/{answer.json['id']}")
    everything = ",".join(all_series(receiver))
    found = check("getSeries", f"{base}/series?metrics={everything}&range=30m&points=30")
    assert any(found["values"]["database.size_bytes"])
    assert [each["severity"] for each in check("listFindings", "/api/findings")["findings"]] == [
        "critical",
        "warning",
        "info",
    ]
    assert check("listFindingsOfDatabase", f"{base}/findings?severity=info&from=2020-01-01T00:00:00Z")["findings"]
    assert {each["kind"] for each in check("listEvents", f"{base}/events")["events"]} >= {"mark", "opened"}
    [statement] = [each for each in check("listQueries", f"{base}/queries")["queries"] if "AS planted" in each["query"]]
    assert check("getQuery", f"{base}/queries/{statement['queryid']}")["steps"][-1]["calls"] == 1
    [table] = check("listTables", f"{base}/tables")["tables"]
    assert check("getTable", f"{base}/tables/{table['relid']}")["columns"]["n_live_tup"][-1] == 1000
    [index] = check("listIndexes", f"{base}/indexes")["indexes"]
    assert check("getIndex", f"{base}/indexes/{index['indexrelid']}")["columns"]["size_bytes"]
    for section in taken["sections"]:
        assert check("getSection", f"{base}/sections/{section}")["section"] == section
    check("openapi", "/api/openapi.json")


def all_series(receiver: Client) -> list[str]:
    told = receiver.get("/api/openapi.json").json["paths"]["/api/databases/{database}/series"]["get"]["parameters"]
    [names] = [each["schema"]["items"]["enum"] for each in told if each["name"] == "metrics"]
    return list(names)


def test_every_series_has_a_unit() -> None:
    assert set(MADE_UNITS) == set(MADE)


def test_schemathesis_finds_nothing(receiver: Client, tmp_path: Path) -> None:
    """It tries what the document permits, and what it does not, of every operation."""
    taken: list[dict[str, str]] = []
    for ago in (600, 300, 0):
        sections = {
            "queries": many([query(calls=1000 - ago, ms=1000 - ago)]),
            "tables": many([{"relid": 10, "relname": "orders", "n_live_tup": 7}]),
            "indexes": many([{"indexrelid": 20, "relid": 10, "relname": "orders", "idx_scan": 7}]),
            "locks": many([]),
        }
        made = document(time.time() - ago, findings=[finding()], mark={"label": "v1"}, **sections)
        taken.append(receiver.post(json.dumps(made).encode()).json)
    there = {"database": taken[0]["source_id"], "snapshot": taken[0]["id"], "queryid": "1", "relid": "10",
             "indexrelid": "20", "section": "locks"}  # fmt: skip
    config = tmp_path / "schemathesis.toml"
    named = "".join(f'"path.{name}" = "{value}"\n' for name, value in there.items())
    config.write_text(f'[parameters]\n{named}[phases.coverage]\nunexpected-methods = ["DELETE"]\n')
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
            f"http://127.0.0.1:{receiver.port}/api/openapi.json",
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--no-shrink", "--seed", "1"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--no-color"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert receiver.running.errors == []


def test_what_any_operation_may_answer_and_what_signs_in(shared: Client) -> None:
    told = shared.get("/api/openapi.json").json
    cookie = told["components"]["securitySchemes"]["cookie"]
    assert (cookie["in"], cookie["name"]) == ("cookie", COOKIE)
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            assert {"405", "500"} <= set(operation["responses"])
            needs_somebody = method == "get" and path != "/api/openapi.json"
            assert ({"cookie": []} in operation["security"]) == needs_somebody
    refused = shared.ask("DELETE", "/api/databases")
    assert (refused.status, list(refused.json)) == (405, ["error"])
