"""Ways to a page and back from where there is none; pages that stand still when they are asked to."""

import re
import sqlite3

import pytest

from tests.fix_daemon import Cli
from tests.receiver.client import Client, snapshot
from tests.receiver.pages import Page, visit

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
NOTHING = "0" * 12


@pytest.fixture
def base(shared: Client) -> str:
    return f"/databases/{shared.post(snapshot('ways').body()).json['source_id']}"


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/nothing", ["/"]),
        ("/databases/x", ["/"]),
        (f"/databases/{NOTHING}", ["/"]),
        (f"/databases/{NOTHING}/nothing", ["/", f"/databases/{NOTHING}"]),
        ("/%3Cscript%3Ealert(1)%3C/script%3E", ["/"]),
    ],
)
def test_a_page_that_is_not_there_leads_back(shared: Client, path: str, back: list[str]) -> None:
    answer = shared.get(path, **BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    page = Page(path, answer.text)
    assert [link for link in page.links if link.startswith("/")][-len(back) :] == back
    assert shared.get(path, Accept="*/*").headers["content-type"].startswith("text/plain")


def test_under_a_foreign_name_there_is_no_page(shared: Client) -> None:
    answer = shared.get("/", Host="evil.example", **BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (421, "text/plain; charset=utf-8")


def test_a_slash_at_the_end_does_no_harm(shared: Client, base: str) -> None:
    for path, target in (
        (f"{base}/", base),
        (f"{base}/queries/?range=1h", f"{base}/queries?range=1h"),
        (f"{base}/queries/42/", f"{base}/queries/42"),
        ("/databases/", "/"),
        ("/databases", "/"),
    ):
        answer = shared.get(path, **BROWSER)
        assert (answer.status, answer.headers["location"]) == (308, target)
    assert shared.get("//").status == 404


def test_a_pause_is_remembered_and_ends(shared: Client, base: str) -> None:
    page = visit(shared, base)
    assert 'data-refresh="60"' in page.html
    assert 'http-equiv="refresh"' in page.html
    form = "to=%2Fdatabases%2F{}%3Frange%3D1h&paused={}".format(base[11:], "{}")
    paused = shared.ask("POST", "/pause", form.format("1").encode())
    assert (paused.status, paused.headers["location"]) == (303, f"{base}?range=1h")
    cookie = paused.headers["set-cookie"].partition(";")[0]
    for path in (base, f"{base}/queries", "/"):
        still = shared.get(path, Cookie=f"other=1; {cookie}").text
        assert 'data-refresh="0"' in still
        assert 'http-equiv="refresh"' not in still
        assert "Go on" in still
    on = shared.ask("POST", "/pause", form.format("").encode(), Cookie=cookie).headers["set-cookie"]
    assert re.search("pgdoctor_paused=;.*Max-Age=0", on)


def test_a_pause_leads_to_none_but_own_pages(shared: Client) -> None:
    for to in ("https://evil.example/", "//evil.example", "/%0d%0aX: y", ""):
        assert shared.ask("POST", "/pause", f"to={to}&paused=1".encode()).headers["location"] == "/"


def test_a_span_that_is_over_has_nothing_to_pause(shared: Client, base: str) -> None:
    assert 'id="pause"' not in visit(shared, f"{base}?from=1000&to=2000").html


def test_without_the_store_there_is_a_page_that_tries_again(receiver: Client, cli: Cli) -> None:
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db", isolation_level=None) as other:
        other.execute("ALTER TABLE source RENAME TO elsewhere")
        answer = receiver.get("/", **BROWSER)
        other.execute("ALTER TABLE elsewhere RENAME TO source")
    assert answer.status == 503
    page = Page("/", answer.text)
    assert "The store cannot be read just now" in page.text
    assert 'data-refresh="30"' in page.html
    assert "No data yet" in visit(receiver, "/").text
