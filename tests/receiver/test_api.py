"""The readable interface over HTTP: what it tells, page by page, to whom, and what it refuses."""

import json
import time
from datetime import datetime, timezone
from typing import Any

import pytest

from pgdoctor_lib.receiver.api.parameters import given_in, moment
from pgdoctor_lib.receiver.moments import epoch_of
from pgdoctor_lib.receiver.wire import Rejected
from pgdoctor_lib.snapshot import iso_time
from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, snapshot
from tests.receiver.store.documents import counters, document, finding, many, query


def post(receiver: Client, made: dict[str, Any], bearer: str = TOKEN) -> str:
    answer = receiver.post(json.dumps(made).encode(), Authorization=f"Bearer {bearer}")
    assert answer.status == 201, answer.text
    return f"/api/databases/{answer.json['source_id']}"


def refused(receiver: Client, path: str, status: int = 400) -> str:
    answer = receiver.get(path)
    assert (answer.status, list(answer.json)) == (status, ["error"])
    return str(answer.json["error"])


def test_databases_by_state_and_page_by_page(receiver: Client) -> None:
    for name in ("a", "b", "c"):
        receiver.post(snapshot(name).body())
    receiver.post(snapshot("d", ago_s=3600).body())

    def names(query: str) -> tuple[list[str], int]:
        found = receiver.get(f"/api/databases?{query}").json
        return [each["name"] for each in found["databases"]], found["more"]

    assert names("limit=2") == (["a", "b"], 2)
    assert names("limit=2&offset=2") == (["c", "d"], 0)
    assert names("offset=100") == ([], 0)
    assert names("state=stale") == (["d"], 0)
    assert names("state=ok&limit=1") == (["a"], 2)


def test_snapshots_page_by_page(receiver: Client) -> None:
    now = time.time()
    for ago in range(5):
        base = post(receiver, document(now - 60 * ago))
    found, path = [], f"{base}/snapshots?limit=2"
    while path:
        page = receiver.get(path).json
        found += [each["collected_at"] for each in page["snapshots"]]
        path = f"{base}/snapshots?limit=2&before={page['before']}" if page["before"] else ""
    assert len(found) == 5
    assert found == sorted(set(found), reverse=True)


def test_findings_that_are_open_and_that_were(receiver: Client) -> None:
    now = time.time()
    base = post(receiver, document(now - 7200, findings=[finding(key="gone"), finding(key="stays")]))
    post(receiver, document(now - 3600, findings=[finding(key="stays"), finding(key="new", severity="critical")]))

    def ids(query: str = "", path: str = base) -> list[str]:
        return [each["id"].split(":")[1] for each in receiver.get(f"{path}/findings?{query}").json["findings"]]

    assert ids() == ids(path="/api") == ["new", "stays"]
    assert ids("severity=warning") == ["stays"]
    assert sorted(ids(f"from={now - 8000}")) == ["gone", "new", "stays"]
    assert sorted(ids(f"from={now - 8000:.0f}&to={iso_time(now - 7000)}")) == ["gone", "stays"]
    assert sorted(ids(f"from={now - 1800}")) == ["new", "stays"]
    assert ids("limit=1&offset=1") == ["stays"]
    [gone] = [each for each in receiver.get(f"{base}/findings?from=0").json["findings"] if each["gone_at"]]
    assert (gone["since"], gone["gone_at"]) == (iso_time(now - 7200), iso_time(now - 3600))
    assert gone["finding"]["summary"] == "index-unused of gone"


def test_queries_events_and_figures_over_a_span(receiver: Client) -> None:
    now = time.time()
    for ago, calls in ((900, 0), (600, 30), (300, 100)):
        rows = [query("1", calls, 10 * calls), query("2", calls, 30 * calls)]
        sections = {"queries": many(rows), "database": counters(1000 + calls)}
        base = post(receiver, document(now - ago, interval_s=300, mark={"label": f"m{ago}"}, **sections))
    found = receiver.get(f"{base}/queries?range=1h").json
    assert [(each["queryid"], round(each["share"], 3), each["calls"]) for each in found["queries"]] == [
        ("2", 0.75, 100),
        ("1", 0.25, 100),
    ]
    assert found["queries"][0]["mean_exec_time_ms"] == 30
    one = receiver.get(f"{base}/queries/2?range=1h").json
    assert [step["calls"] for step in one["steps"]] == [30, 70]
    assert one["times"] == [iso_time(now - ago) for ago in (900, 600, 300)]
    assert one["query"] == "SELECT 2"
    marks = receiver.get(f"{base}/events?kind=mark&limit=2").json
    assert ([each["text"] for each in marks["events"]], marks["more"]) == (["m300", "m600"], 1)
    told = receiver.get(f"{base}/series?metrics=database.xact_commit,database.size_bytes&range=15m&points=3").json
    assert told["units"] == {"database.xact_commit": "/s", "database.size_bytes": "bytes"}
    assert len(told["times"]) == len(told["values"]["database.xact_commit"])
    assert {value for value in told["values"]["database.size_bytes"] if value is not None} == {1000}
    assert refused(receiver, f"{base}/queries/3", 404) == "no such query"


def test_tables_and_sections_as_they_were(receiver: Client) -> None:
    now = time.time()
    for ago, dead in ((7200, 1), (0, 9)):
        tables = many([{"relid": 10, "relname": "t", "n_dead_tup": dead}, {"relid": 11, "relname": "u"}])
        indexes = many([{"indexrelid": 20, "relid": 10, "idx_scan": 3}])
        locks = {"locks": many([{"pid": 1}], root_count=1)} if ago else {}
        base = post(receiver, document(now - ago, tables=tables, wal={"lsn": "0/1"}, indexes=indexes, **locks))
    assert receiver.get(f"{base}/indexes/20").json["columns"] == {"idx_scan": [3, 3]}
    assert receiver.get(f"{base}/tables?limit=1").json == {
        "tables": [{"relid": 10, "relname": "t", "n_dead_tup": 9}],
        "more": 1,
        "left_out": 0,
        "total": {"count": 2},
        "collected_at": iso_time(now),
    }
    assert receiver.get(f"{base}/tables?at={now - 3600}").json["tables"][0]["n_dead_tup"] == 1
    assert receiver.get(f"{base}/tables?at=1000").json["collected_at"] is None
    assert receiver.get(f"{base}/tables/10").json["columns"] == {"n_dead_tup": [1, 9]}
    assert receiver.get(f"{base}/sections/locks").json == {
        "section": "locks",
        "collected_at": iso_time(now - 7200),
        "rows": [{"pid": 1}],
        "more": 0,
        "left_out": 0,
        "total": {"count": 1, "root_count": 1},
    }
    assert receiver.get(f"{base}/sections/wal").json["figures"] == {"lsn": "0/1"}
    for path in ("sections/activity", "sections/locks?at=1000", "tables/12", "indexes/10", "tables/20"):
        assert refused(receiver, f"{base}/{path}", 404).startswith("no such ")


def test_what_is_unknown_or_out_of_bounds_is_named(receiver: Client) -> None:
    base = post(receiver, document(time.time()))
    for given, word in (
        ("limt=3", "unknown parameter 'limt'; there are state, limit, offset"),
        ("limit=3&limit=4", "a parameter is given twice"),
        ("limit=", "limit: must be a number from 1 to 1000"),
        ("limit=1001", "limit: must be a number from 1 to 1000"),
        ("limit=%D9%A3", "limit: must be a number from 1 to 1000"),
        ("state=fine", "state: must be one of stale, critical, warning, errors, ok"),
        ("&".join(f"x{n}=1" for n in range(40)), "more than 30 parameters"),
    ):
        assert refused(receiver, f"/api/databases?{given}") == word
    for given, word in (
        ("", "metrics: is needed"),
        ("metrics=", "metrics: must be names, with commas between"),
        ("metrics=database.size_bytes,nothing", "metrics: 'nothing' is none"),
        ("metrics=database.size_bytes&range=6y", "range: must be a span like 30m, 6h or 7d"),
        (
            "metrics=database.size_bytes&from=yesterday",
            "from: must be a time like 2024-01-15T10:00:00Z, or epoch seconds",
        ),
        ("metrics=database.size_bytes&points=2001", "points: must be a number from 1 to 2000"),
    ):
        assert refused(receiver, f"{base}/series?{given}") == word
    assert refused(receiver, f"{base}?at=3") == "unknown parameter 'at'; there are none"
    assert refused(receiver, "/api/openapi.json?x", 400)
    assert refused(receiver, "/api/databases/0123456789ab", 404) == "no such database"


def test_a_span_is_taken_as_it_is_meant(receiver: Client) -> None:
    base = post(receiver, document(time.time()))

    def span(query: str) -> tuple[str, str]:
        found = receiver.get(f"{base}/events?{query}").json
        return found["from"], found["to"]

    noon, one = "2024-01-15T12:00:00.000Z", "2024-01-15T13:00:00.000Z"
    for given in (
        f"from={noon}&to={one}",
        f"from={one}&to={noon}",
        f"to={one}&range=60m",
        "from=1705320000&to=1705323600",
        "from=2024-01-15T14:00%2B02:00&to=2024-01-15T13:00Z&range=7d",
    ):
        assert span(given) == (noon, one)
    assert span(f"from={noon}&to={noon}") == ("2024-01-15T11:59:50.000Z", noon)
    assert span(f"from=0&to={noon}")[0] == "2021-01-12T12:00:00.000Z"
    assert span("from=0&to=0") == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:10.000Z")
    assert span("to=9999-12-31T23:59:59-23:59")[1].startswith("5138-")


def test_a_project_reads_its_own_alone(cli: Cli) -> None:
    receiver = Client(cli, "--host", "0.0.0.0")
    red, blue = (cli.run("serve", "token", "add", name).stdout.strip() for name in ("red", "blue"))
    made = document(
        time.time(), findings=[finding()], queries=many([query()]), tables=many([{"relid": 10}]), locks=many([])
    )
    base = post(receiver, made, red)
    below = [
        "snapshots",
        "findings",
        "events",
        "queries",
        "tables",
        "indexes",
        "sections/locks",
        "queries/1",
        "tables/10",
    ]
    paths = [base, *(f"{base}/{each}" for each in (*below, "series?metrics=database.size_bytes"))]
    for path in (*paths, f"/api/snapshots/{made['snapshot_id']}"):
        theirs = receiver.get(path, Authorization=f"Bearer {blue}")
        assert (theirs.status, theirs.json["error"][:8]) == (404, "no such ")
        assert receiver.get(path).status == 401
        mine = receiver.get(path, Authorization=f"Bearer {red}")
        assert mine.status == 200, (path, mine.text)
    for path, rows in (("/api/databases", "databases"), ("/api/findings", "findings")):
        counts = [len(receiver.get(path, Authorization=f"Bearer {each}").json[rows]) for each in (red, blue, TOKEN)]
        assert counts == [1, 0, 1]
        assert receiver.get(path).status == 401
    assert receiver.get("/api/openapi.json").status == 200  # it is the same for everybody


def test_numbers_that_json_has_no_word_for(receiver: Client) -> None:
    body = json.dumps(document(time.time(), tables=many([{"relid": 10, "size_bytes": 7}]), wal={"x": 8}))
    deep = "[" * 200 + "9" + "]" * 200
    answer = receiver.post(body.replace('"size_bytes": 7', f'"size_bytes": -1e999, "deep": {deep}').encode())
    base = f"/api/databases/{answer.json['source_id']}"
    [row] = json.loads(receiver.get(f"{base}/tables").body, parse_constant=pytest.fail)["tables"]
    assert (row["relid"], row["size_bytes"]) == (10, None)
    assert receiver.get(f"{base}/sections/wal").json["figures"] == {"x": 8}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2024-01-15T10:00:00Z", "2024-01-15T10:00:00.000Z"),
        ("2024-01-15t10:00:00.123456789z", "2024-01-15T10:00:00.123Z"),
        ("2024-01-15 10:00+0530", "2024-01-15T04:30:00.000Z"),
        ("2024-01-15T10:00:00.5-01:00", "2024-01-15T11:00:00.500Z"),
        ("0001-01-01T00:00:00+23:59", "1970-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times(text: str, told: str) -> None:
    assert iso_time(epoch_of(text)) == told


@pytest.mark.parametrize(
    "text",
    ["", "2024-01-15", "2024-01-15T10:00:00", "2024-13-01T00:00:00Z", "2024-01-01T24:00:01Z", "٢٠٢٤-01-01T00:00Z"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its words
        epoch_of(text)
    with pytest.raises(Rejected):
        given_in(f"at={text}", [moment("at", "")])


def test_times_are_those_of_the_calendar() -> None:
    for at in (0, 951_782_400, 1_705_312_800, 4_102_444_800):
        written = datetime.fromtimestamp(at, timezone.utc)
        assert epoch_of(written.isoformat()) == at
