"""`diff` and `mark`: what changed between two moments of a real database."""

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pgdoctor_lib.deliver import seldom
from tests.fix_daemon import Cli
from tests.fix_endpoint import Endpoint
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

Multi = Callable[..., Path]
SLOW = "SELECT count(*) FROM big WHERE k = 7"


def plant(database: Database) -> None:
    database.sql("CREATE TABLE big AS SELECT g AS id, g % 1000000 AS k FROM generate_series(1, 200000) g")
    database.sql("CREATE INDEX big_k ON big (k)")
    database.sql("CREATE TABLE doomed (id int)")
    database.sql("ANALYZE big")
    repeat(database)


def repeat(database: Database, times: int = 20, statement: str = SLOW) -> None:
    for _ in range(times):
        database.sql(statement)


@pytest.mark.long
def test_the_verdict_since_a_mark(cli: Cli, multi: Multi, database: Database) -> None:
    multi({"app": {"dsn": database.dsn}})
    assert "there is no mark" in cli.run("diff", "--since-mark").stderr
    plant(database)
    done = cli.run("mark", "v1.2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "marked app: v1.2\n", "")
    database.sql("DROP INDEX big_k")
    repeat(database)
    done = cli.run("diff", "--since-mark")
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.replace("\n    ", " ").splitlines()[0]
    assert first.startswith("app: 1 of ")
    assert " got slower since v1.2 (" in first
    assert "FROM big WHERE k =" in first
    assert "dropped index public.big.big_k" in done.stdout
    told = json.loads(cli.run("diff", "app", "--mark", "v1.2", "--json").stdout)
    [slower] = told["queries"]["slower"]
    assert (slower["before"]["calls"], slower["after"]["calls"]) == (20, 20)
    assert slower["after"]["total_ms"] > 1.5 * slower["before"]["total_ms"]
    assert told["mark"] == "v1.2"
    assert "app: v1.2" in cli.run("mark").stdout
    kept = [each for each in (cli.state / "pgdoctor/spool/marks").rglob("*.json*") if each.is_file()]
    assert {stat.S_IMODE(each.stat().st_mode) for each in kept} == {0o600}
    assert len(kept) == 2


def test_two_files(cli: Cli, newest_database: Database, tmp_path: Path) -> None:
    plant(newest_database)
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(cli.run("snapshot", newest_database.dsn).stdout)
    newest_database.sql("CREATE TABLE added AS SELECT g FROM generate_series(1, 100000) g")
    newest_database.sql("DROP TABLE doomed; ALTER TABLE big ADD note text; INSERT INTO big SELECT g, g FROM added")
    newest_database.sql(f"ALTER DATABASE {newest_database.name} SET work_mem = '7MB'")
    second.write_text(cli.run("snapshot", newest_database.dsn).stdout)
    done = cli.run("diff", str(first), str(second))
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("created table public.added", "dropped table public.doomed", "altered table public.big"):
        assert f"  {line}\n" in done.stdout
    assert "work_mem: 4096 kB -> 7168 kB" in done.stdout
    assert "table public.big: " in done.stdout
    assert f"database {newest_database.name}: " in done.stdout
    assert "slower" not in done.stdout
    assert "nothing changed" in cli.run("diff", str(first), str(first)).stdout
    done = cli.run("diff", str(second), str(first))
    assert (done.returncode, done.stdout) == (2, "")
    assert "the first snapshot is the later one; exchange them" in done.stderr


def test_two_databases(cli: Cli, newest_server: Server, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        database = newest_server.new_database()
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(cli.run("snapshot", database.dsn).stdout)
        database.drop()
    assert "note: these are two databases: " in cli.run("diff", *map(str, files)).stdout


def test_what_makes_no_sense(cli: Cli, multi: Multi, tmp_path: Path) -> None:
    multi({"app": {"dsn": "postgres://u@127.0.0.1:1/app"}})
    (tmp_path / "x").write_text("[]")
    for arguments, error in (
        (["diff"], "there is no last snapshot of app: the daemon has not delivered one"),
        (["diff", "nobody"], "no database is called nobody"),
        (["diff", str(tmp_path / "x")], "one snapshot alone"),
        (["diff", str(tmp_path / "x"), str(tmp_path / "x")], f"pgdoctor: {tmp_path / 'x'}: not a snapshot: it has no"),
        (["diff", "/nofile1", "/nofile2"], "/nofile1: No such file or directory"),
        (["diff", str(tmp_path), str(tmp_path)], "Is a directory"),
        (["diff", "a", "b", "--since-mark"], "with a mark, name one database or none"),
        (["mark", " "], "a label is 1 to 100 characters"),
        (["mark", "a\nb"], "a label is 1 to 100 characters"),
    ):
        done = cli.run(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), arguments
        assert error in done.stderr
    done = cli.run("mark", "v1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "connection refused" in done.stderr
    assert "no mark was set" in cli.run("mark").stdout


def test_the_daemon_stamps_its_snapshots_and_is_what_now_is_compared_with(
    cli: Cli, multi: Multi, endpoint: Endpoint, newest_server: Server
) -> None:
    database = newest_server.new_database()
    multi({"app": {"dsn": database.dsn, "interval": 1}})
    assert "has not delivered one" in cli.run("diff", "app").stderr
    daemon = cli.start("daemon")
    daemon.wait_for_line("✓")
    assert "mark" not in endpoint.wait_for_snapshots(1)[-1]["database"]
    assert cli.run("mark", "v1.3").returncode == 0
    stamped = wait_for(lambda: [each for each in endpoint.snapshots if "mark" in each["database"]], "no mark")
    assert stamped[0]["database"]["mark"]["label"] == "v1.3"
    wait_for(lambda: any("schema" in each["sections"] for each in endpoint.snapshots), "no schema was delivered")
    wait_for(lambda: "schema" not in endpoint.snapshots[-1]["sections"], "the last one has all")
    database.sql("CREATE TABLE added (id int)")
    done = cli.run("diff", "app")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("app: ")
    assert "not compared" not in done.stdout
    assert "  created table public.added\n" in done.stdout
    assert re.search("note: .*schema.*: compared with what was there at ", done.stdout.replace("\n    ", " "))
    assert set(json.loads(cli.run("diff", "app", "--json").stdout)["older"]) >= {"schema", "extensions"}
    daemon.send()
    assert daemon.finish().returncode == 0
    database.drop()


@pytest.mark.long
@pytest.mark.pg(">= 14")  # before, nothing tells how long counters ran, and so whether a statement is overdue
def test_statements_that_are_new_faster_and_gone(cli: Cli, database: Database, tmp_path: Path) -> None:
    plant(database)
    database.sql("DROP INDEX big_k")
    database.sql("SELECT pg_stat_statements_reset()")
    repeat(database)
    repeat(database, 300, "SELECT 'gone', count(*) FROM doomed")
    files = [saved(cli, database, tmp_path / "first.json")]
    database.sql("CREATE INDEX big_k ON big (k)")
    repeat(database)
    repeat(database, 12, "SELECT 'new', max(id) FROM big")
    files.append(saved(cli, database, tmp_path / "second.json"))
    told = json.loads(cli.run("diff", *files, "--json").stdout)["queries"]
    [faster] = [each for each in told["faster"] if "FROM big WHERE k =" in each["query"]]
    assert faster["factor"] < 1 and (faster["before"]["calls"], faster["after"]["calls"]) == (20, 20)
    assert [each["after"]["calls"] for each in told["new"] if "max(id)" in each["query"]] == [12]
    assert [each["before"]["calls"] for each in told["gone"] if "FROM doomed" in each["query"]] == [300]
    assert told["slower"] == []
    assert not told["was_reset"]
    lines = cli.run("diff", *files).stdout.replace("\n    ", " ")
    for title in ("statements that got faster: ", "new statements: ", "statements that ran no more: "):
        assert title in lines
    assert re.search(r"FROM big WHERE k = .* times faster\)", lines)


def test_statistics_that_were_reset_between(cli: Cli, database: Database, tmp_path: Path) -> None:
    plant(database)
    files = [saved(cli, database, tmp_path / "first.json")]
    database.sql("SELECT pg_stat_statements_reset()")
    repeat(database, 15)
    files.append(saved(cli, database, tmp_path / "second.json"))
    told = json.loads(cli.run("diff", *files, "--json").stdout)["queries"]
    assert told["was_reset"] and told["slower"] == []
    assert "note: counters of statements were reset since the first snapshot" in cli.run("diff", *files).stdout


def test_no_name_reaches_the_terminal_as_a_command(cli: Cli, newest_database: Database, tmp_path: Path) -> None:
    hostile = 'a\x1b[31m\n\u202e"; --<b>'
    quoted = hostile.replace('"', '""')
    files = [saved(cli, newest_database, tmp_path / "first.json")]
    newest_database.sql(f'CREATE SCHEMA "{quoted}"')
    newest_database.sql(
        f'CREATE TABLE "{quoted}"."{quoted}" AS SELECT g AS "{quoted}" FROM generate_series(1, 30000) g'
    )
    repeat(newest_database, 12, f'SELECT count(*) FROM "{quoted}"."{quoted}"')
    files.append(saved(cli, newest_database, tmp_path / "second.json"))
    done = cli.run("diff", *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout)
    assert "created table a\\x1b[31m\\x0a\\u202e" in done.stdout
    names = [each["name"] for each in json.loads(cli.run("diff", *files, "--json").stdout)["schema"]]
    assert f"table {hostile}.{hostile}" in names


def test_what_could_not_be_compared_is_said_once_with_its_reason(
    cli: Cli, newest_database: Database, tmp_path: Path
) -> None:
    files = [saved(cli, newest_database, tmp_path / name) for name in ("first.json", "second.json")]
    first = json.loads(Path(files[0]).read_text())
    for section in seldom.SECTIONS:
        del first["sections"][section]
    first["errors"].append({"collector": "extensions", "error": "permission denied"})
    Path(files[0]).write_text(json.dumps(first))
    told = cli.run("diff", *files).stdout.split("not compared:\n")[1]
    assert told == (
        "  settings: not in the first snapshot: asked every five minutes, of one database a server\n"
        "  extensions: permission denied\n"
        "  schema, sizes of tables: not in the first snapshot: asked once an hour\n"
        "  size of the database: not in the first snapshot: asked once an hour, of one database a server\n"
        '  "pgdoctor mark LABEL" and "pgdoctor snapshot" take everything: compare with these\n'
    )
    assert "nothing changed in what could be compared" in cli.run("diff", *files).stdout


def saved(cli: Cli, database: Database, path: Path) -> str:
    path.write_text(cli.run("snapshot", database.dsn).stdout)
    return str(path)
