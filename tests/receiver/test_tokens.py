"""Tokens of projects: made, used, revoked; each project sees its own databases."""

import json
import sqlite3

from tests.fix_daemon import Cli
from tests.receiver.client import TOKEN, Client, snapshot


def _add(cli: Cli, name: str) -> str:
    ended = cli.run("serve", "token", "add", name)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def _names(receiver: Client, bearer: str) -> list[tuple[str, str]]:
    found = receiver.get("/api/databases", Authorization=f"Bearer {bearer}").json["databases"]
    return [(each["name"], each["id"]) for each in found]


def test_each_project_writes_to_and_reads_its_own(cli: Cli) -> None:
    receiver = Client(cli, "--host", "0.0.0.0")
    red, blue = _add(cli, "red"), _add(cli, "blue")
    taken = {}
    for bearer in (red, blue, TOKEN):
        answer = receiver.post(snapshot("production").body(), Authorization=f"Bearer {bearer}")
        assert answer.status == 201
        taken[bearer] = answer.json
    assert len({each["source_id"] for each in taken.values()}) == 3
    assert _names(receiver, red) == [("production", taken[red]["source_id"])]
    assert len(_names(receiver, TOKEN)) == 3
    for path in (
        f"/api/snapshots/{taken[blue]['id']}",
        f"/api/databases/{taken[blue]['source_id']}/snapshots",
        f"/databases/{taken[blue]['source_id']}",
    ):
        assert receiver.get(path, Authorization=f"Bearer {blue}").status == 200
        assert receiver.get(path, Authorization=f"Bearer {TOKEN}").status == 200
        assert receiver.get(path, Authorization=f"Bearer {red}").status == 404


def test_a_cookie_reads_what_its_token_reads_until_that_is_revoked(cli: Cli) -> None:
    receiver = Client(cli, "--host", "0.0.0.0")
    red = _add(cli, "red")
    receiver.post(snapshot("theirs").body())
    receiver.post(snapshot("mine").body(), Authorization=f"Bearer {red}")
    cookie = receiver.ask("POST", "/login", f"token={red}".encode()).headers["set-cookie"].partition(";")[0]
    assert red not in cookie
    page = receiver.get("/", Cookie=cookie)
    assert page.status == 200
    assert "mine" in page.text
    assert "theirs" not in page.text
    mine = cookie.partition(".")[0] + "."
    for forged in (cookie[:-1] + "x", mine, cookie.replace(mine, "pgdoctor=.")):
        assert receiver.get("/", Cookie=forged).status == 401
    assert cli.run("serve", "token", "revoke", "red").stdout == "The token of the project red is revoked.\n"
    assert receiver.get("/", Cookie=cookie).status == 401
    assert receiver.get("/api/databases", Authorization=f"Bearer {red}").status == 401
    assert receiver.post(snapshot("mine").body(), Authorization=f"Bearer {red}").status == 401
    again = _add(cli, "red")
    assert [name for name, _ in _names(receiver, again)] == ["mine"]


def test_a_token_is_kept_as_its_digest_and_shown_once(cli: Cli) -> None:
    red = _add(cli, "red")
    assert cli.run("serve", "token", "add", "red").returncode == 2
    receiver = Client(cli)
    receiver.post(snapshot().body(), Authorization=f"Bearer {red}")
    listed = cli.run("serve", "token", "list").stdout
    assert listed.startswith("red: made 2")
    assert "last used 2" in listed
    (told,) = json.loads(cli.run("serve", "token", "list", "--json").stdout)
    assert (told["name"], told["revoked_at"]) == ("red", None)
    with sqlite3.connect(cli.state / "pgdoctor" / "serve.db") as db:
        assert red not in "".join(db.iterdump())
    assert red not in listed + json.dumps(told)


def test_what_makes_no_sense_is_one_line(cli: Cli) -> None:
    for args, status in (
        (("token", "add"), 2),
        (("token", "list", "x"), 2),
        (("token", "add", "a b"), 2),
        (("token", "add", "x" * 64), 2),
        (("token", "revoke", "nobody"), 1),
        (("nonsense",), 2),
    ):
        ended = cli.run("serve", *args)
        assert (ended.returncode, ended.stderr.count("\n")) == (status, 1), (args, ended.stderr)
