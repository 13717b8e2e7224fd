"""`report`: a page of a real server in trouble, whatever the names in it."""

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checks.planting import WAITS, running, session
from tests.fix_daemon import Cli
from tests.postgres.server import Database, Server
from tests.report.html_reader import Reader

Multi = Callable[..., Path]
HOSTILE = "<script>alert('1')</script>\"><b>\u202e\x07&amp;"
LONG = "n" * 63
NOBODY = "postgres://u:canary-pw@127.0.0.1:1/app"


def test_a_chain_of_three_and_hostile_names(cli: Cli, newest_server: Server) -> None:
    database = newest_server.new_database()
    for name in (HOSTILE, LONG):
        quoted = name.replace('"', '""')
        database.sql(f'CREATE TABLE "{quoted}" AS SELECT g AS x FROM generate_series(1, 20000) g')
    database.sql("CREATE TABLE t (x int PRIMARY KEY, y int)")
    database.sql("INSERT INTO t VALUES (1, 0), (2, 0)")
    database.sql("ANALYZE")
    with (
        session(database, f"SET application_name = '{HOSTILE.replace(chr(39), chr(39) * 2)}'", "BEGIN",
                "UPDATE t SET y = 1 WHERE x = 1") as root,
        running(database, "BEGIN; UPDATE t SET y = 1 WHERE x = 2; UPDATE t SET y = 2 WHERE x = 1", WAITS) as first,
        running(database, "UPDATE t SET y = 3 WHERE x = 2", WAITS) as second,
    ):  # fmt: skip
        done = cli.run("report", database.dsn)
    assert (done.returncode, done.stderr) == (0, "")
    reader = Reader(done.stdout)
    [bold] = [[each for each in reader.texts["tspan"] if each.startswith("pid ")]]
    assert [re.match(r"pid \d+: \w+", each)[0] for each in bold] == [  # type: ignore[index]
        f"pid {root}: idle",
        f"pid {first}: waits",
        f"pid {second}: waits",
    ]
    assert any("UPDATE t SET y = *** WHERE x = ***" in each for each in reader.texts["text"])
    assert "public." + LONG in "".join(reader.texts["td"])
    assert "<script>alert('1')</script>\"><b>\\u202e\\x07&amp;" in "".join(reader.texts["td"])
    assert f"PostgreSQL {newest_server.major}." in "".join(reader.texts["dd"])
    assert "compared with" in reader.texts["dt"]
    database.drop()


@pytest.mark.long
def test_where_it_is_written(cli: Cli, newest_database: Database) -> None:
    snapshot = cli.cwd / "snapshot.json"
    snapshot.write_text(cli.run("snapshot", newest_database.dsn).stdout)
    first, second = (cli.run("report", "--from", "snapshot.json").stdout for _ in range(2))
    assert first == second
    done = cli.run("report", "--from", "snapshot.json", "-o", "out.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.html\n", "")
    assert (cli.cwd / "out.html").read_text() == first
    assert stat.S_IMODE((cli.cwd / "out.html").stat().st_mode) == 0o600
    (cli.cwd / "out.html").write_text("mine")
    done = cli.run("report", "--from", "snapshot.json", "-o", "out.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "pgdoctor: out.html: exists already; name another file with -o, or say --force\n"
    assert (cli.cwd / "out.html").read_text() == "mine"
    assert cli.run("report", "--from", "snapshot.json", "-o", "out.html", "--force").returncode == 0
    assert (cli.cwd / "out.html").read_text() == first
    assert "cannot be written: No such file" in cli.run("report", newest_database.dsn, "-o", "no/out.html").stderr
    running = cli.start("report", "--from", "snapshot.json", tty=True)
    path = running.wait_for_line(r"^pgdoctor-report-[\w.-]+\.html")[0]
    assert running.finish().returncode == 0
    assert (cli.cwd / path).read_text() == first
    assert sorted(each.name for each in cli.cwd.iterdir()) == sorted(["out.html", "snapshot.json", path])


def test_every_configured_database(cli: Cli, multi: Multi, newest_database: Database) -> None:
    multi({"production": {"dsn": newest_database.dsn}, "staging": {"dsn": NOBODY}})
    done = cli.run("report", "--severity", "critical", "--only", "slot-lost")
    assert (done.returncode, done.stderr) == (0, "")
    reader = Reader(done.stdout)
    assert reader.texts["h2"] == ["staging", "production"]
    assert "connection refused (127.0.0.1:1)" in reader.texts["p"]
    assert "canary-pw" not in done.stdout
    done = cli.run("report", "staging")
    assert done.returncode == 3
    assert "could not be examined" in Reader(done.stdout).texts["span"]


def test_what_makes_no_sense(cli: Cli) -> None:
    for arguments, error in (
        (["--only", "slot-lots"], "did you mean slot-lost?"),
        (["--previous", "x"], "--previous goes with --from"),
        (["--from", "/dev/null"], "not a snapshot"),
        (["nobody"], "no configuration"),
    ):
        done = cli.run("report", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), arguments
        assert error in done.stderr
