"""docs/diagnosis.md: every check that its tables name is there, and every check is named."""

import re

from pgdoctor_lib.checks.registry import checks
from tests.fix_daemon import ROOT

PAGE = (ROOT / "docs" / "diagnosis.md").read_text()
SECTIONS = {path.name.partition(".")[0] for path in (ROOT / "pgdoctor_lib" / "collectors").glob("*.sql")}
TOOLS = ("emancu/pgdoctor", "PgHero", "pganalyze", "check_postgres", "splinter")
OTHERS = {"statement_timeout", "explain: true", "pgdoctor diff", "check", "daemon status", "config test", "host"}
OTHERS |= {"synchronous_standby_names", "anon", "authenticated"}


def rows(tool: str) -> list[tuple[str, str]]:
    text = PAGE.split(f"### {tool}\n")[1].partition("\n### ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [(theirs, here) for theirs, here in lines[1:]]


def test_each_row_names_checks_that_there_are_or_a_reason() -> None:
    for tool in TOOLS:
        for theirs, here in rows(tool):
            named = set(re.findall(r"`([^`]+)`", here))
            assert named - OTHERS - SECTIONS <= set(checks()), (tool, theirs)
            assert named & set(checks()) or "left out" in here or "not examined" in here or named, (tool, theirs)


def test_every_check_is_told_of() -> None:
    named = {name for tool in TOOLS for _, here in rows(tool) for name in re.findall(r"`([^`]+)`", here)}
    beyond = set(re.findall(r"^- `([^`]+)`", PAGE.split("### Here and not there\n")[1], re.MULTILINE))
    assert named & set(checks()) | beyond == set(checks())
    assert not named & beyond


def test_their_checks_are_all_there() -> None:
    assert len({theirs.partition(":")[0] for theirs, _ in rows("emancu/pgdoctor")}) == 28
    assert len({theirs.partition(":")[0] for theirs, _ in rows("pganalyze")}) == 21
    numbers = {number for theirs, _ in rows("splinter") for number in re.findall(r"\b00\d\d\b", theirs)}
    assert numbers == {f"{number:04}" for number in range(1, 30)}
