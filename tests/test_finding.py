"""In which order findings are told."""

from itertools import pairwise

from pgdoctor_lib.finding import Finding, Severity, causes_first

INFO, WARNING, CRITICAL = Severity


def finding(name: str, severity: Severity, because_of: str = "") -> Finding:
    return Finding(name, "", severity, name, because_of=because_of)


def test_whatever_a_snapshot_has_for_a_name_is_a_text() -> None:
    made = Finding.of_json({"check": ["c"], "key": None, "severity": "info", "summary": "", "because_of": {}})
    assert causes_first([made]) == [made]


def order(*findings: Finding) -> str:
    return " ".join(each.check for each in causes_first(findings))


def test_a_cause_is_as_bad_as_what_comes_of_it() -> None:
    told = [finding("note", INFO), finding("warning", WARNING), finding("mild", WARNING, "cause")]
    told += [finding("worst", CRITICAL, "between"), finding("between", INFO, "cause"), finding("cause", INFO)]
    assert order(*told) == "cause between worst mild warning note"
    assert order(*told, finding("critical", CRITICAL)) == "critical cause between worst mild warning note"


def test_what_follows_from_what_is_not_there_stands_by_itself() -> None:
    assert order(finding("note", INFO), finding("worst", CRITICAL, "gone")) == "worst note"


def test_nothing_is_lost_whatever_a_snapshot_says() -> None:
    ring = [finding(name, WARNING, cause) for name, cause in (("a", "b"), ("b", "a"), ("own", "own"))]
    assert order(finding("note", INFO), *ring, finding("worst", CRITICAL, "a")) == "worst a b own note"
    assert order(finding("a", INFO), finding("a", INFO), finding("b", INFO, "a")) == "a b a"
    names = [str(number) for number in range(20_000)]
    chain = [finding(name, CRITICAL, cause) for name, cause in pairwise(names)]
    assert len(causes_first(chain)) == len(chain)
