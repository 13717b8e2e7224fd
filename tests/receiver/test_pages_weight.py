"""What each view weighs with a database in it that is as busy as they come, among a hundred."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.fix_daemon import Cli
from tests.fix_postgres import newest
from tests.postgres.server import Server
from tests.receiver import busy
from tests.receiver.client import Client
from tests.receiver.pages import Page, visit

MOST_BYTES = 150_000  # a page with its style and its scripts, as they are before they are packed


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Client]:
    cli = Cli(tmp_path_factory.mktemp("busy"))
    client = Client(cli)
    server = Server.create(*newest(pytestconfig))
    made = server.new_database()
    made.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    for _ in range(3):
        made.sql("SELECT count(*) FROM orders")

    def post(body: bytes) -> None:
        assert client.post(body).status == 201

    try:
        busy.fill(json.loads(cli.run("snapshot", made.dsn).stdout), post, time.time())
        yield client
    finally:
        cli.end()
        server.destroy()


@pytest.fixture(scope="module")
def base(receiver: Client) -> str:
    [identity] = [each["id"] for each in receiver.get("/api/databases").json["databases"] if each["name"] == "busy"]
    return f"/databases/{identity}"


def weigh(receiver: Client, page: Page) -> int:
    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.html))
    return len(page.html.encode()) + sum(len(receiver.get(each).body) for each in assets)


def test_no_view_is_heavy(receiver: Client, base: str) -> None:
    views = ("queries", "tables", "indexes", "locks", "replication", "vacuum", "settings", "compare", "snapshots")
    paths = ["/", "/?page=2", base, f"{base}?page=4", *(f"{base}/{view}" for view in views)]
    paths += [f"{base}/compare?then={time.time() - 1900:.0f}", f"{base}/tables?sort=-name", f"{base}/vacuum?show=due"]
    for view in ("", "/queries", "/tables"):
        links = visit(receiver, f"{base}{view}").links
        paths.append(next(each for each in links if re.match(f"{base}/(findings|queries|tables)/", each)))
    weights = {path: weigh(receiver, visit(receiver, path)) for path in paths}
    assert {path: weight for path, weight in weights.items() if weight > MOST_BYTES} == {}


def test_all_findings_are_reached_page_by_page(receiver: Client, base: str) -> None:
    seen: list[str] = []
    path = base
    while path:
        page = visit(receiver, path)
        seen += re.findall(r'<details class="finding \w+" id="([^"]+)"', page.html)
        path = next((each.replace("&amp;", "&") for each in re.findall('href="([^"]+)" rel="next"', page.html)), "")
    assert len(seen) == len(set(seen)) == busy.FINDINGS


def test_a_finding_too_heavy_for_the_list_has_its_page(receiver: Client, base: str) -> None:
    found = visit(receiver, base)
    link = next(each for each in found.links if "/findings/" in each)
    text = visit(receiver, link).text
    assert "To mend it" in text
    assert "VACUUM (VERBOSE, ANALYZE)" in text
    assert receiver.get(f"{base}/findings/1").status == 404


def test_a_hundred_databases_are_on_the_first_page(receiver: Client, base: str) -> None:
    page = visit(receiver, "/")
    assert {link for link in page.links if link.startswith("/databases/")} >= {base}
    assert len({link for link in page.links if link.startswith("/databases/")}) == busy.DATABASES


def test_rows_beyond_the_page_are_sorted_and_filtered(receiver: Client, base: str) -> None:
    assert busy.NAME.format(0) in visit(receiver, f"{base}/tables?sort=-size_bytes").text
    found = visit(receiver, f"{base}/tables?q=once_09876").text
    assert busy.NAME.format(9876) in found
    assert "1 of 10 000 tables" in found.replace("\u202f", " ")


def test_who_waits_is_counted_beyond_what_is_drawn(receiver: Client, base: str) -> None:
    text = visit(receiver, f"{base}/locks").text
    assert "100 sessions waiting, 20 roots" in text
    assert "and 15 roots more" in text
