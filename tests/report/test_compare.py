"""What is different between two snapshots, of files alone."""

from typing import Any

import pytest

from pgdoctor_lib.checks.document import Document, Part
from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.report.compare import compare

QUERIES = {"rows": [{"queryid": "1", "calls": 100, "total_exec_time_ms": 1000.0}], "total": {}}


def snapshot(minute: int, cluster: str = "7", **sections: Any) -> Document:
    """Of the database app at so many minutes past noon."""
    head = {"collected_at": f"2026-01-01T12:{minute:02}:00Z", "meta": {"db_name": "app"}}
    taken_at = Document(head, {}).collected_at
    told = {"database": {"system_identifier": cluster}, "queries": QUERIES, **sections}
    return Document(head, {name: Part(found, taken_at) for name, found in told.items()})


@pytest.mark.parametrize("which", range(2))
def test_one_database_of_a_server_brings_what_is_the_servers(which: int) -> None:
    servers: list[dict[str, Any]] = [{}, {}]
    servers[which] = {"server": {"system_identifier": "7"}}
    found = compare(snapshot(1, **servers[0]), snapshot(2, **servers[1]))
    assert not found.statements.was_reset


def test_counters_of_another_cluster_do_not_go_on() -> None:
    found = compare(snapshot(1), snapshot(2, "8"))
    assert found.statements.was_reset
    assert "these are two servers, or a cluster that was made anew: counters are compared as they stand" in found.notes


@pytest.mark.parametrize(
    "told",
    [
        {"findings": [{"check": "x"}]},
        {"findings": [1]},
        {"findings": 1},
        {"diagnosis": [1]},
        {"diagnosis": {"watched": 1}},
    ],
    ids=str,
)
def test_findings_that_make_no_sense(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not a snapshot: its findings make no sense"):
        compare(snapshot(1), Document({"collected_at": "2026-01-01T13:00:00Z", **told}, {}))
