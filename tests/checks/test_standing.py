"""What holds for every check: a page under the fixed headings, a test of its own, and words for `explain`."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import CATEGORIES, FOLDER, Check, checks
from pgdoctor_lib.collectors.registry import names
from pgdoctor_lib.finding import Finding, Severity

CHECKS = list(checks().values())
HEADINGS = ("What it looks at", "Why it matters", "Thresholds", "How to fix it", "When to ignore it")
SECTIONS = {name.partition(".")[0] for name in names()} | {"host", "queries", "recording", "pgbouncer"}


@pytest.mark.parametrize("check", CHECKS, ids=[check.id for check in CHECKS])
def test_a_check_is_one_function_and_one_page(check: Check) -> None:
    title, *headings = re.findall(r"^#+ (.*)$", check.page, re.MULTILINE)
    assert (title, tuple(headings)) == (check.id, HEADINGS)
    assert max(map(len, check.page.splitlines())) <= 120
    assert check.category in CATEGORIES
    assert check.scope in ("server", "database")
    assert check.about.partition("\n")[0].endswith(".")
    assert set(check.compares) <= set(check.reads) <= SECTIONS
    assert all(isinstance(value, int | float) for value in check.limits.values())
    assert (Path(__file__).parent / f"test_{check.id.replace('-', '_')}.py").is_file()


def test_every_file_is_a_check() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")}
    spine = {
        "__init__",
        "altering",
        "delta",
        "diagnose",
        "document",
        "holders",
        "registry",
        "sessions",
        "state",
        "statements",
        "waits",
        "widening",
    }
    assert (
        modules - spine == {path.stem for path in FOLDER.glob("*.md")} == {name.replace("-", "_") for name in checks()}
    )


def test_causes_are_checks() -> None:
    causes = {check.id: {*check.follows, *check.follows_same} for check in CHECKS}
    assert set().union(*causes.values()) <= set(checks())
    assert len([*TopologicalSorter(causes).static_order()]) == len(CHECKS), "and never in a circle"


def test_an_empty_snapshot_is_not_fine() -> None:
    """Nothing is found in it, and of no check is it said that it was examined."""
    nothing = Document({}, {})
    found = diagnose(nothing, nothing)
    assert found.findings == ()
    assert found.not_examined == {}
    errors = [{"collector": check.reads[0], "error": "permission denied"} for check in CHECKS]
    found = diagnose(Document({"errors": errors}, {}), nothing)
    assert found.findings == ()
    assert set(found.not_examined) == set(checks())


def test_severities() -> None:
    assert [severity.word for severity in sorted(Severity)] == ["info", "warning", "critical"]
    assert Severity.of("critical") is Severity.CRITICAL
    assert Finding("slot-lost", "gone", Severity.INFO, "").id == "slot-lost:gone"
    assert Finding("wal", "", Severity.INFO, "").id == "wal"
