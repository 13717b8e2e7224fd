"""The page to mail: nothing that it was given runs in it, and all of it is told."""

import json
import random
from typing import Any

import pytest

from pgdoctor_lib.agent.checkup import saved
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.report.figures import figures
from pgdoctor_lib.report.html.page import page
from pgdoctor_lib.report.result import Result
from tests.fix_daemon import Cli
from tests.postgres.server import Server
from tests.report.html_reader import Reader

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></script></svg></pre><!--",
    "a\x00b\x1b[31mc\x07\u202ed\u2028e\ufeff\ud800",
    "]]>&#60;b&#62;&amp;javascript&colon;alert(1)",
    "x" * 63,
    "注文" * 31,
    "`${alert(1)}`{{7*7}}",
)
CAUSE = Finding(
    "xmin-horizon", "session", Severity.WARNING, "a transaction holds back vacuum", threshold="1 h",
    evidence={"pid": 4711, "none": None, "size_bytes": 123456789, "root": {"state": "active"}, "names": ["a", "b"],
              "rows": [{"pid": 12345, "waiting_s": 61.5}, {"pid": 2, "query": "SELECT 1"}]},
    remedy="-- end it\nSELECT pg_terminate_backend(4711);\n", caution="it is rolled back", since=1000.0, days_left=2.5,
    more=3, category="wraparound and vacuum",
)  # fmt: skip
EFFECT = Finding("dead-tuples", "public.t", Severity.CRITICAL, "dead rows", because_of="xmin-horizon:session")
NOTE = Finding("logging-timeouts", "", Severity.INFO, "some are off", threshold="off", evidence={"a": 1})


def result(*findings: Finding, name: str = "app", error: str = "", sections: dict[str, Any] | None = None) -> Result:
    body = {"collected_at": "2026-01-31T10:00:00.000Z", "meta": {"db_name": "app"}, "sections": sections or {}}
    drawn = figures(Document.parse(json.dumps(body)), Document({}, {}), 2)
    of = "PostgreSQL 18.1, database app"
    return Result(name, of, findings, {"cache-hit": "too young", "io": "too young"}, error, drawn)


def waiting(pid: int, parent: int, depth: int, **known: object) -> dict[str, object]:
    return {"pid": pid, "parent_pid": parent, "depth": depth, "root_pid": 1, "waiting_s": 100.0, **known}


def test_a_finding_is_told_whole() -> None:
    told = page([result(EFFECT, CAUSE, NOTE)])
    reader = Reader(told)
    assert reader.texts["title"][0] == "Health of app"
    assert "1 critical" in reader.texts["span"] and "4 warnings" in reader.texts["span"]
    assert reader.texts["pre"] == ["-- end it\nSELECT pg_terminate_backend(4711);"]
    for text in ("117.7 MiB", "1 h", "2 d 12 h", "4711", "12345", "a, b"):
        assert text in reader.texts["dd"] + reader.texts["td"], text
    assert told.index("xmin-horizon") < told.index("From this follows:") < told.index("dead-tuples")
    for text in ("and 3 more like it", "it is rolled back", "2 findings, by the configuration", "cache-hit, io"):
        assert text in told
    assert "1970-01-01 00:16:40 UTC" in reader.texts["time"]
    assert "<summary>what was seen</summary>" in told, "what is but worth knowing opens when asked"


def test_several_databases_have_a_table_of_contents_worst_first() -> None:
    told = page([result(NOTE, name="well"), result(CAUSE, name="ill"), result(name="gone", error="refused")])
    reader = Reader(told)
    assert reader.texts["a"] == ["gone", "ill", "well"] == reader.texts["h2"]
    assert reader.links == ["#db-1", "#db-2", "#db-3"]
    assert reader.texts["title"][0] == "Health of 3 databases"
    assert "nothing found" in page([result()])


def test_causes_that_go_round_hide_nothing() -> None:
    ring = [Finding(name, "", Severity.INFO, name, because_of=cause) for name, cause in (("a", "b"), ("b", "a"))]
    own = Finding("c", "", Severity.INFO, "c", because_of="c")
    assert page([result(*ring, own)]).count("<article") == 3


def test_a_chain_is_drawn_in_its_finding_and_a_wide_one_is_bounded() -> None:
    blocker = {"pid": 1, "state": "idle in transaction", "state_age_s": 900, "usename": "app"}
    rows = [waiting(2, 1, 1, blockers=[blocker], mode="ShareLock", locktype="relation", relname="t")]
    rows += [waiting(pid, 2, 2) for pid in range(3, 103)]
    chain = Finding("blocking-chain", "1", Severity.CRITICAL, "they wait", evidence={"tree": [{"pid": 2}], "x": 7})
    for findings, heading in (((chain,), False), ((), True)):
        told = page([result(*findings, sections={"locks": {"rows": rows}})])
        reader = Reader(told)
        assert "Who waits for pid 1" in reader.texts["title"]
        assert "pid 1: idle in transaction for 15 min" in reader.texts["tspan"]
        assert "pid 2: waits 1 min" in reader.texts["tspan"]
        assert "ShareLock on table t" in reader.texts["text"]
        assert "and 61 more" in told
        assert ("Who waits for whom" in reader.texts["h3"]) is heading
    rows = [waiting(pid, pid - 1, pid - 1) for pid in range(2, 60)]
    deep = Reader(page([result(sections={"locks": {"rows": rows}})]))
    assert "pid 40: waits 1 min" in deep.texts["tspan"]


def test_sizes_have_their_parts_and_the_same_as_a_table() -> None:
    sections = {
        "table_sizes": {"rows": [
            {"schemaname": "public", "relname": f"t{n}", "size_bytes": n * 1024**2, "indexes_size_bytes": 1024}
            for n in range(40)
        ]},
        "bloat": {"rows": [
            {"kind": "table", "schemaname": "public", "relname": "t39", "wasted_bytes_estimate": 10 * 1024**2}
        ]},
        "activity": {"total": {"by_state": {"idle": 7, "active": 1}, "max_connections": 20}},
    }  # fmt: skip
    reader = Reader(page([result(sections=sections)]))
    assert [each for each in reader.texts["text"] if each.startswith("public.")][:2] == ["public.t39", "public.t38"]
    assert len([each for each in reader.texts["td"] if each.startswith("public.")]) == 20
    assert "10.0 MiB" in reader.texts["td"]
    assert "8 client sessions of 20 connections" in reader.texts["h4"]
    assert "sizes of indexes" in reader.texts["dt"], "what is not drawn says why"


def test_no_name_does_anything() -> None:
    for text in HOSTILE:
        finding = Finding(
            text, text, Severity.WARNING, text, text, text, {text: [{text: text}], "q": {text: text}}, text, text
        )
        found = result(finding, NOTE, name=text)
        odd = Result(text, text, (finding,), {text: text}, "", found.figures)
        Reader(page([odd, result(name="b", error=text)]))


def test_a_file_that_somebody_made_is_a_page_and_never_an_error(cli: Cli, newest_server: Server) -> None:
    body = json.loads(cli.run("snapshot", newest_server.dsn()).stdout)
    body["sections"]["locks"]["rows"] = [waiting(2, 1, 1), waiting(3, 2, 2, blockers=[{"pid": 2}])]
    dice = random.Random(7)
    for _ in range(60):
        made = {**body, **{key: spoilt(body[key], dice) for key in ("sections", "top_queries")}}
        made["sections"] = made["sections"] if isinstance(made["sections"], dict) else {}
        Reader(page([saved(json.dumps(made).encode(), with_figures=True)]))
    with pytest.raises(UsageError, match="its head makes no sense"):
        saved(json.dumps({**body, "meta": 7}).encode())


def spoilt(value: Any, dice: random.Random) -> Any:
    """The same with something else in some places."""
    if dice.random() < 0.03:
        return dice.choice([*HOSTILE, None, -1, 10**400, 1e308, True, [], {}, [[1]], {"rows": 7}])
    if isinstance(value, dict):
        return {dice.choice(HOSTILE) if dice.random() < 0.01 else k: spoilt(v, dice) for k, v in value.items()}
    if isinstance(value, list):
        return [spoilt(each, dice) for each in value]
    return dice.choice(HOSTILE) if isinstance(value, str) and dice.random() < 0.3 else value
