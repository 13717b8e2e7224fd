"""Each view, over HTTP, of what a real server told: what was planted there is to be seen."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg2
import pytest

from pgdoctor_lib.snapshot import iso_time, new_id
from tests.fix_daemon import Cli
from tests.postgres.server import Database, Server
from tests.receiver.client import Client
from tests.receiver.pages import Page, crawl, visit
from tests.waiting import wait_for

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def documents(cli: Cli, database: Database, *ago_s: float) -> Iterator[dict[str, Any]]:
    """A snapshot of a real server for each time, as if it had been taken then."""
    for ago in ago_s:
        document = json.loads(cli.run("snapshot", database.dsn).stdout)
        at = time.time() - ago
        document.update(snapshot_id=new_id(at), collected_at=iso_time(at))
        document["database"] = {"name": "planted", "tags": {"team": "core"}, "interval_s": 60}
        yield document


def post(client: Client, document: dict[str, Any]) -> str:
    answer = client.post(json.dumps(document).encode())
    assert answer.status == 201, answer.text
    return str(answer.json["source_id"])


@pytest.fixture
def planted(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    for statement in (
        "CREATE TABLE orders (id int PRIMARY KEY, customer int, note text)",
        "INSERT INTO orders SELECT g, g % 100, repeat('x', 50) FROM generate_series(1, 20000) g",
        "CREATE INDEX orders_customer ON orders (customer)",
        "CREATE INDEX orders_customer_again ON orders (customer)",
        "ALTER TABLE orders SET (autovacuum_enabled = off)",
        "DELETE FROM orders WHERE id % 3 = 0",
        "ANALYZE orders",
        f'CREATE TABLE "{HOSTILE.replace(chr(34), chr(34) * 2)[:60]}" (x int)',
    ):
        made.sql(statement)
    yield made
    made.drop()


@pytest.fixture
def chain(planted: Database) -> Iterator[Callable[[], bool]]:
    """A session that holds a row, idle in its transaction, and one that waits for it."""
    holder, waiter = (planted.server.connect(planted.name) for _ in range(2))
    for each in (holder, waiter):
        each.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("SET application_name = 'holder'; UPDATE orders SET note = 'held' WHERE id = 1")

    def wait() -> None:
        with suppress(psycopg2.Error), waiter.cursor() as cursor:
            cursor.execute("UPDATE orders SET note = 'waits' WHERE id = 1")

    thread = threading.Thread(target=wait)
    thread.start()
    yield lambda: bool(planted.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
    holder.close()
    thread.join()
    waiter.close()


def test_each_view_shows_what_was_planted(
    receiver: Client, cli: Cli, planted: Database, chain: Callable[[], bool]
) -> None:
    wait_for(chain, "nobody waits")
    first, second = documents(cli, planted, 900, 600)
    post(receiver, first)
    post(receiver, second)
    for _ in range(3):
        planted.sql("SELECT count(*) FROM orders o JOIN orders p USING (customer) WHERE o.id < 2000")
    last = next(documents(cli, planted, 0))
    last["database"]["mark"] = {"label": "v1.2", "at": iso_time(time.time() - 300)}
    base = f"/databases/{post(receiver, last)}"
    seen = {
        "": ("Findings", "Active sessions, by what they wait for", "Transactions", "Mark v1.2", "Snapshot every 60 s"),
        "/queries": ("JOIN orders p USING (customer)", "Share"),
        "/tables": ("public.orders", "autovacuum off", "33", "<script>alert(1)</script>"),
        "/indexes": ("orders_customer_again", "the same as orders_customer", "CREATE INDEX orders_customer"),
        "/locks": (
            "1 session waiting, 1 root",
            "waits for nobody: 1 session waits for it",
            "row of public.orders",
            "holder",
        ),
        "/replication": ("It stands alone",),
        "/vacuum": ("Of the way to wraparound", "public.orders", "off"),
        "/settings": ("shared_buffers", "configuration file", "pg_stat_statements"),
        "/compare": ("Choose what to compare it with", "mark v1.2"),
        "/snapshots": ("The last 3", "Figures of the newest"),
    }
    settings = visit(receiver, f"{base}/settings").text
    assert re.search(r"shared_buffers [\d.]+ MiB", settings)
    missing = {
        view: [word for word in words if word not in visit(receiver, base + view).text] for view, words in seen.items()
    }
    assert {view: words for view, words in missing.items() if words} == {}


def test_a_statement_and_a_table_have_pages_of_their_own(receiver: Client, cli: Cli, planted: Database) -> None:
    for ago in (900, 600):
        planted.sql("SELECT count(*) AS planted FROM orders")
        source = post(receiver, next(documents(cli, planted, ago)))
    for _ in range(7):
        planted.sql("SELECT count(*) AS planted FROM orders")
    last = next(documents(cli, planted, 0))
    last["database"]["mark"] = {"label": "v1.2", "at": iso_time(time.time() - 300)}
    post(receiver, last)
    base = f"/databases/{source}"
    pages = crawl(receiver, base)
    [statement] = [page for path, page in pages.items() if "/queries/" in path and "AS planted" in page.text]
    for word in ("Mean time of a call", "Calls 8", "Before and after a mark", "v1.2", "Found in the cache"):
        assert word in statement.text, word
    [table] = [page for path, page in pages.items() if "/tables/" in path and "public.orders" in page.text]
    for word in ("Vacuum and analyze", "orders_customer_again", "Storage parameters", "autovacuum_enabled"):
        assert word in table.text, word


def test_two_times_and_two_databases_are_compared(receiver: Client, cli: Cli, planted: Database) -> None:
    before = next(documents(cli, planted, 600))
    source = post(receiver, before)
    planted.sql("CREATE INDEX made_later ON orders (note)")
    planted.sql(f'ALTER DATABASE {planted.name} SET work_mem = "7MB"')
    post(receiver, next(documents(cli, planted, 0)))
    other = next(documents(cli, planted, 0))
    other["database"] = {"name": "other", "interval_s": 60}
    other_source = post(receiver, other)
    text = visit(receiver, f"/databases/{source}/compare?then={time.time() - 300:.0f}").text
    for word in ("created index public.orders.made_later", "work_mem", "7168 kB"):
        assert word in text, word
    text = visit(receiver, f"/databases/{other_source}/compare?with={source}&then={time.time() - 300:.0f}").text
    assert "in other alone: index public.orders.made_later" in text
    for word in ("created", "dropped", "before", "Before", "after"):
        assert word not in text, word
    text = visit(receiver, f"/databases/{source}/settings?then={time.time() - 300:.0f}").text
    assert "What differs" in text and "work_mem 4096 kB 7168 kB" in text
    assert "The same on both sides" in visit(receiver, f"/databases/{source}/settings?with={other_source}").text
    text = visit(receiver, f"/databases/{source}/compare?then=1000000000").text
    assert "No snapshot is kept" in text
    assert "Each is kept whole for 24 h, then one an hour." in text


def test_hostile_text_is_inert_on_every_page(receiver: Client, cli: Cli, planted: Database) -> None:
    for document in documents(cli, planted, 600, 0):
        hostile = json.loads(
            re.sub(
                r'"(public|orders|active|idle|postgres|client backend)"',
                lambda _: json.dumps(HOSTILE),
                json.dumps(document),
            )
        )
        hostile["database"] = {
            "name": HOSTILE,
            "tags": {HOSTILE: HOSTILE},
            "interval_s": 60,
            "mark": {"label": HOSTILE},
        }
        hostile["meta"] = {"db_name": HOSTILE, "db_version": HOSTILE}
        hostile["errors"] = [{"collector": HOSTILE, "error": HOSTILE, "hint": HOSTILE}]
        evidence = {HOSTILE: HOSTILE, "query": HOSTILE, "rows": [{HOSTILE: HOSTILE}], "thing": {HOSTILE: HOSTILE}}
        texts = dict.fromkeys(("key", "summary", "subject", "threshold", "remedy", "caution", "category"), HOSTILE)
        hostile["findings"] = [
            {"check": "blocking-chain", "severity": "critical", "evidence": evidence, "days_left": 3, **texts},
            {
                "check": HOSTILE,
                "severity": "warning",
                "evidence": HOSTILE,
                "days_left": HOSTILE,
                "more": HOSTILE,
                **texts,
            },
            {"check": HOSTILE, "severity": HOSTILE, "evidence": None, **texts},
        ]
        source = post(receiver, hostile)
    pages = [visit(receiver, "/"), visit(receiver, f"/?q={'%3Cscript%3E'}&tag=%22%3E%3Cscript%3E")]
    found = crawl(receiver, f"/databases/{source}")
    assert {path.split("?")[0].rpartition("/")[2] for path in found} >= {
        "queries",
        "tables",
        "locks",
        "vacuum",
        "settings",
    }
    shown = [page for page in [*pages, *found.values()] if "<script>alert(1)</script>" in page.text]
    assert len(shown) > 10
    for view in ("", "/queries", "/tables", "/indexes", "/locks", "/settings", "/vacuum", "/compare"):
        fields = (
            "q=%22%3E%3Cscript%3Ealert(1)",
            "sort=%3Cb%3E",
            "page=%3C",
            "from=%3C",
            "to=9",
            "show=%22",
            "with=%3C",
        )
        query = "&".join((*fields, "then=%27", "at=%3C", "range=%3Cx"))
        visit(receiver, f"/databases/{source}{view}?{query}")


def test_sections_that_make_no_sense_cost_their_part_of_a_page(receiver: Client, cli: Cli, planted: Database) -> None:
    document = next(documents(cli, planted, 0))
    sections = document["sections"]
    for value in (7, "x", [], None, {"rows": 7}, {"rows": [7, None, {}]}, {"rows": [{"a": 1}], "total": 3}):
        document["sections"] = dict.fromkeys(sections, value)
        document["snapshot_id"] = new_id(time.time())
        source = post(receiver, document)
        for view in (
            "",
            "queries",
            "tables",
            "indexes",
            "locks",
            "replication",
            "vacuum",
            "settings",
            "compare",
            "snapshots",
        ):
            visit(receiver, f"/databases/{source}/{view}".rstrip("/"))
        visit(receiver, f"/databases/{source}/compare?then={time.time() - 300:.0f}")


def rows_of(page: Page) -> list[str]:
    return re.findall(r'<th scope="row">(?:<a [^>]*>)?([^<]+)', page.html)


def test_ten_thousand_tables_are_sorted_and_filtered(receiver: Client, cli: Cli, planted: Database) -> None:
    document = next(documents(cli, planted, 0))
    tables = document["sections"]["tables"]
    [row] = [row for row in tables["rows"] if row["relname"] == "orders"]
    tables["rows"] = [
        {**row, "relid": 100_000 + n, "relname": f"t{n:05}", "size_bytes": n * 8192} for n in range(10_000)
    ]
    for each in tables["rows"]:
        for key in ("reloptions", "most_dead_partition", "oldest_partition", "toast_reloptions"):
            each.pop(key, None)
    keep = ("relid", "schemaname", "relname", "size_bytes", "n_live_tup", "n_dead_tup", "seq_scan", "last_vacuum")
    tables["rows"] = [{key: each[key] for key in keep} for each in tables["rows"]]
    source = post(receiver, document)
    base = f"/databases/{source}/tables"
    first = visit(receiver, base)
    assert (len(rows_of(first)), rows_of(first)[0]) == (100, "public.t09999")
    assert "10 000 of 10 000 tables" in first.text.replace("\u202f", " ")
    assert rows_of(visit(receiver, f"{base}?sort=-size_bytes"))[0] == "public.t00000"
    assert rows_of(visit(receiver, f"{base}?sort=name&page=2"))[0] == "public.t00100"
    assert rows_of(visit(receiver, f"{base}?q=T0123"))[-1] == "public.t01230"
    assert len(first.html) < 80_000
    assert visit(receiver, f"{base}/100005").text.count("public.t00005")


def test_a_page_is_small(receiver: Client, cli: Cli, planted: Database) -> None:
    source = [post(receiver, document) for document in documents(cli, planted, 600, 0)][-1]
    for view in ("", "/queries", "/tables", "/vacuum", "/settings"):
        page = receiver.get(f"/databases/{source}{view}").text
        assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
        assert len(page) + sum(len(receiver.get(each).body) for each in set(assets)) < 150_000
