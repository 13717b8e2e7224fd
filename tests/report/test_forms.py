"""Findings for people and for other programs, whatever the names in them."""

import re
from dataclasses import replace

from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report import markdown, nagios
from pgdoctor_lib.report.result import Result, tally, worst_first
from pgdoctor_lib.report.text import Text

HOSTILE = "a|b `c` *d* \x1b[31m\n# e <b>"
CAUSE = Finding(
    "xmin-horizon",
    "session",
    Severity.WARNING,
    "a transaction holds back vacuum",
    threshold="1 h",
    evidence={
        "pid": 4711,
        "none": None,
        "root": {"state": "active"},
        "tree": [{"pid": 1, "depth": 1}, {"pid": 2, "depth": 2}],
    },
    remedy="-- end it\nSELECT pg_terminate_backend(4711);\n",
    caution="it is rolled back",
    since=1000.0,
    days_left=2.5,
    more=3,
)
EFFECT = Finding("dead-tuples", "public.t", Severity.CRITICAL, "dead rows", because_of="xmin-horizon:session")
NOTE = Finding("logging-timeouts", "", Severity.INFO, "some are off", threshold="off", evidence={"a": 1})


def result(*findings: Finding, name: str = "app", error: str = "") -> Result:
    return Result(name, "PostgreSQL 18.1, database app", findings, {"cache-hit": "too young", "io": "too young"}, error)


def text(*results: Result, colour: bool = False, reasons: bool = True) -> str:
    return Text(80, 4600.0, colour=colour, reasons=reasons).results(results)


def test_for_people() -> None:
    told = text(result(EFFECT, CAUSE, NOTE))
    assert told.startswith("app: 1 critical finding, 4 warnings, 1 note (PostgreSQL 18.1, database app)\n")
    lines = [line.strip() for line in told.splitlines()]
    assert (
        lines.index("WARNING  xmin-horizon") < lines.index("from this follows:") < lines.index("CRITICAL dead-tuples")
    )
    for line in ("seen: pid=4711", "root: state=active", "and 3 more like it", "mind: it is rolled back"):
        assert line in lines
    assert "left at this pace: 2 d 12 h" in lines
    assert any(re.fullmatch(r"since: 1970-01-01 .* \(1 h\)", line) for line in lines)
    assert "        pid=1\n          pid=2\n" in told
    assert "SELECT pg_terminate_backend(4711);" in lines
    assert "compared with: off" not in lines, "what is but worth knowing is told in short"
    assert "    cache-hit, io: too young" in told
    assert max(map(len, told.splitlines())) <= 80


def test_what_was_not_examined_in_one_line_or_with_the_reasons() -> None:
    assert text(result(), reasons=False).endswith("\n  not examined (--only CHECK tells why): cache-hit, io\n")
    assert text(result(), reasons=True).endswith("\n  not examined\n    cache-hit, io: too young\n")


def test_what_is_muted_leaves_a_trace() -> None:
    muted = replace(result(), muted=("slot-lost:a", HOSTILE))
    assert "\n  muted\n    slot-lost:a, a|b" in text(muted)
    assert "\x1b" not in text(muted)
    assert muted.as_json()["muted"] == ["slot-lost:a", HOSTILE]
    assert "muted" not in text(result())


def test_what_follows_from_what_is_not_shown_stands_by_itself() -> None:
    assert "CRITICAL dead-tuples" in text(result(EFFECT))


def test_causes_in_a_ring_are_told_once_each() -> None:
    """No check says so: a file that somebody wrote may."""
    ring = replace(CAUSE, because_of="dead-tuples:public.t")
    for findings in ((EFFECT, ring), (EFFECT, CAUSE, ring), (replace(NOTE, because_of=NOTE.id),)):
        told = text(result(*findings))
        for finding in findings:
            assert told.count(f" {finding.check}\n") == [each.check for each in findings].count(finding.check)


def test_the_sickest_first() -> None:
    told = text(result(NOTE, name="well"), result(CAUSE, name="ill"), result(name="gone", error="connection refused"))
    assert [line.split(":")[0] for line in told.splitlines() if re.match("[a-z]", line)] == ["gone", "ill", "well"]
    assert [each.name for each in worst_first([result(name="a"), result(EFFECT, name="b")])] == ["b", "a"]
    assert tally([]) == "nothing found"


def test_no_name_reaches_the_terminal_as_a_command() -> None:
    for colour in (False, True):
        finding = Finding(
            "x", HOSTILE, Severity.CRITICAL, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: [HOSTILE]}, HOSTILE, HOSTILE
        )
        told = text(result(finding, name=HOSTILE), result(name="b", error=HOSTILE), colour=colour)
        escapes = set(re.findall(r"\x1b\[[0-9;]*m", told))
        assert escapes <= ({"\x1b[1m", "\x1b[2m", "\x1b[1;31m", "\x1b[0m"} if colour else set())
        assert "\x1b[31m" not in told


def test_for_a_monitoring_system() -> None:
    line, status = nagios.line([result(CAUSE, NOTE), result(EFFECT, name=HOSTILE)])
    assert status == nagios.CRITICAL
    assert "\n" not in line
    assert line.count("|") == 1
    assert line.endswith("| critical=1;;;0 warning=4;;;0 info=1;;;0 databases=2;;;0 unknown=0;;;0")
    assert nagios.line([result(CAUSE)])[1] == nagios.WARNING
    assert nagios.line([result(NOTE)])[1] == nagios.OK
    line, status = nagios.line([result(NOTE), result(name="b", error="connection refused")])
    assert (status, line.partition(" | ")[0]) == (
        nagios.UNKNOWN,
        "PGDOCTOR UNKNOWN - 1 note in 1 of 2 databases; b: connection refused",
    )


def test_of_what_nobody_saw_nothing_is_said_to_be_found() -> None:
    told, status = nagios.line([result(name=name, error="no password supplied") for name in "ab"])
    assert (status, told.partition(" | ")[0]) == (nagios.UNKNOWN, "PGDOCTOR UNKNOWN - a: no password supplied")
    told, _ = nagios.line([result(), result(name="b", error="refused")])
    assert told.partition(" | ")[0] == "PGDOCTOR UNKNOWN - nothing found in 1 of 2 databases; b: refused"


def test_a_monitoring_system_is_told_the_cause_and_the_worst_that_follows_from_it() -> None:
    root = Finding("long-transaction", "7", Severity.INFO, "a transaction is open")
    cause = replace(CAUSE, because_of=root.id)
    mild = replace(EFFECT, check="index-bloat", severity=Severity.WARNING, summary="an index is large")
    told, status = nagios.line([result(root, cause, mild, EFFECT)])
    said = "app: a transaction is open; from this follows: dead rows"
    assert (status, told.partition(" | ")[0].partition("; ")[2]) == (nagios.CRITICAL, said)
    told, _ = nagios.line([result(CAUSE, replace(EFFECT, because_of=""))])
    assert told.partition(" | ")[0].endswith("; app: a transaction holds back vacuum")
    told, _ = nagios.line([result(root, NOTE)])
    assert told.partition(" | ")[0] == "PGDOCTOR OK - 2 notes"


def test_for_an_issue() -> None:
    told = markdown.document([result(EFFECT, CAUSE), result(name="b", error="refused")])
    assert "## b\n\nCould not be examined: refused" in told
    assert "### warning: xmin-horizon\n" in told
    assert "```sql\n-- end it\nSELECT pg_terminate_backend(4711);\n```" in told
    assert "- follows from: xmin-horizon:session" in told
    told = markdown.document([result(Finding("x", "", Severity.INFO, HOSTILE, remedy="```\n# x"), name=HOSTILE)])
    assert "<b>" not in told
    assert not re.search(r"^# ", told, re.MULTILINE) or "` ` `\n# x" in told
