"""`check` and `explain`: what a person types, what comes of it, and the exit status."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg2.errors import UniqueViolation

from pgdoctor_lib.agent.checkup import saved
from pgdoctor_lib.errors import UsageError
from tests.checks.planting import WAITS, running, session
from tests.fix_daemon import Cli
from tests.postgres.server import Database, Server

Multi = Callable[..., Path]
FAST = "durability-off"  # tests' servers do without
NOBODY = "postgres://u@127.0.0.1:1/app"


@pytest.fixture
def db(newest_server: Server) -> Iterator[Database]:
    made = newest_server.new_database()
    yield made
    made.drop()


@pytest.mark.long
def test_a_sick_server_in_every_form(cli: Cli, sick: Server, tmp_path: Path) -> None:
    dsn = sick.dsn()
    done = cli.run("check", dsn)
    assert (done.returncode, done.stderr) == (1, "")
    assert "CRITICAL slot-lost" in done.stdout
    assert "SELECT pg_drop_replication_slot('gone');" in done.stdout
    assert "\x1b" not in done.stdout
    done = cli.run("check", dsn, "--format", "nagios", "--only", "slot-lost")
    assert done.returncode == 2
    assert done.stdout.startswith("PGDOCTOR CRITICAL - 1 critical finding; postgres: replication slot gone")
    assert done.stdout.endswith(" | critical=1;;;0 warning=0;;;0 info=0;;;0 databases=1;;;0 unknown=0;;;0\n")
    done = cli.run("check", dsn, "--format", "markdown", "--only", "slot-lost")
    assert "### critical: slot-lost" in done.stdout
    done = cli.run("check", dsn, "--json", "--skip", "slot-lost")
    assert "slot-lost" not in done.stdout
    snapshot = cli.run("snapshot", dsn).stdout
    (tmp_path / "snapshot.json").write_text(snapshot)
    done = cli.run("check", "--from", str(tmp_path / "snapshot.json"), "--json")
    [told] = json.loads(done.stdout)
    assert told["findings"] == json.loads(snapshot)["findings"]
    assert "slot-lost" in [finding["check"] for finding in told["findings"]]


def test_without_a_configuration_libpqs_own_variables_will_do(cli: Cli, db: Database) -> None:
    server = db.server
    given = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGDATABASE": db.name}
    done = cli.run("check", "--skip", FAST, env=given)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{db.name}: ")


def test_every_configured_database_worst_first(cli: Cli, multi: Multi, db: Database) -> None:
    multi({"production": {"dsn": db.dsn}, "staging": {"dsn": NOBODY}})
    done = cli.run("check", "--skip", FAST)
    assert done.returncode == 3
    assert done.stdout.startswith("staging: could not be examined\n    connection refused (127.0.0.1:1)\n")
    assert f"(PostgreSQL {db.server.major}." in done.stdout
    assert cli.run("check", "production", "--skip", FAST).returncode == 0
    done = cli.run("check", "--format", "nagios", "--skip", FAST)
    assert done.returncode == 3
    assert done.stdout.startswith("PGDOCTOR UNKNOWN - ")


def test_what_one_database_brings_of_the_server_is_compared_for_the_other_too(
    cli: Cli, multi: Multi, newest_server: Server
) -> None:
    databases = [newest_server.new_database() for _ in range(2)]
    try:
        multi({each.name: {"dsn": each.dsn} for each in databases})
        told = json.loads(cli.run("check", "--json").stdout)
    finally:
        for each in databases:
            each.drop()
    assert len(told) == 2
    for each in told:
        assert not {"autovacuum-cancelled", "autovacuum-behind"} & each["not_examined"].keys()


def test_what_is_muted_does_not_count_and_is_named(cli: Cli, multi: Multi, db: Database) -> None:
    db.sql("CREATE TABLE t (x int); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    multi({"app": {"dsn": db.dsn}}, mute=[{"key": "row-security:public.t"}])
    done = cli.run("check", "--only", "row-security", "--fail-on", "info")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n  muted\n    row-security:public.t\n" in done.stdout
    multi({"app": {"dsn": db.dsn}}, mute=[{"key": "row-security:public.other"}])
    assert cli.run("check", "--only", "row-security", "--fail-on", "info").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["check", "--only", "slot-losst"], "no check is called slot-losst; did you mean slot-lost?"),
        (["check", "--only", "slot-lost", "--skip", "slot-lost"], "no check is left to run; see --help"),
        (["check", "--previous", "x"], "--previous goes with --from; see --help"),
        (["check", "--from", "missing.json"], "missing.json: No such file or directory"),
        (["check", "app", "--from", "missing.json"], "a saved snapshot, or a database: not both"),
        (["check", "--json", "--format", "nagios"], "--json and --format nagios contradict each other"),
        (["explain", "nothing-like-it-at-all"], 'no check is called nothing-like-it-at-all; "pgdoctor explain" lists'),
    ],
)
def test_what_makes_no_sense(cli: Cli, arguments: list[str], error: str) -> None:
    done = cli.run(*arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_is_no_snapshot(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    done = cli.run("check", "--from", str(tmp_path / "list.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pgdoctor: not a snapshot: it has no sections")


@pytest.mark.parametrize(
    "diagnosis",
    [
        {"thresholds": [1]},
        {"thresholds": {"long-query": 5}},
        {"thresholds": {"long-query": {"warning_s": "x"}}},
        {"thresholds": {"long-query": {"warning_s": 10**400}}},
        {"muted": 7},
        {"muted": [{}]},
        [1],
        7,
    ],
)
def test_a_snapshot_whose_diagnosis_makes_no_sense(diagnosis: Any) -> None:
    if isinstance(diagnosis, dict):
        diagnosis |= {"watched": {}, "trends": {}, "not_examined": {}}
    body = json.dumps({"sections": {"database": {"server_version_num": 180000}}, "diagnosis": diagnosis}).encode()
    for previous in (None, b'{"sections": {}}'):
        with pytest.raises(UsageError, match="^not a snapshot: "):
            saved(body, previous)


def test_a_snapshot_whose_numbers_are_beyond_all_measure() -> None:
    with pytest.raises(UsageError, match="^not a snapshot: "):
        saved(json.dumps({"sections": {}, "database": {"interval_s": 10**400}}).encode())


def test_explain(cli: Cli) -> None:
    done = cli.run("explain", "slot-lost")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# slot-lost\n")
    listed = cli.run("explain").stdout
    assert "replication and WAL:\n" in listed
    assert "  slot-lost " in listed


def test_a_saved_snapshot_is_judged_as_it_was(cli: Cli, tmp_path: Path) -> None:
    """By the thresholds and mutes that were in force; what is none is no healthy database."""
    settings = {"rows": [{"name": "fsync", "setting": "off"}, {"name": "full_page_writes", "setting": "off"}]}
    settings |= {"total": {}, "more": 0}
    database = {"server_version_num": 180000, "in_recovery": False}
    snapshot = {
        "collected_at": "2026-01-01T00:00:00Z",
        "database": {"name": "app"},
        "sections": {"settings": settings, "database": database, "server": {}},
        "findings": [],
        "diagnosis": {"watched": {}, "trends": {}, "not_examined": {}, "muted": ["durability-off:fsync"]},
    }
    file = tmp_path / "saved.json"

    def check(document: object) -> Any:
        file.write_text(json.dumps(document))
        return cli.run("check", "--from", str(file), "--only", "durability-off", "--json")

    [told] = json.loads(check(snapshot).stdout)
    assert ([each["key"] for each in told["findings"]], told["muted"]) == (
        ["full_page_writes"],
        ["durability-off:fsync"],
    )
    assert check({**snapshot, "sections": {}}).returncode == 3
    broken = check({**snapshot, "findings": [{"check": "x"}]})
    assert (broken.returncode, "its findings make no sense" in broken.stderr) == (2, True)


def test_what_has_to_last_is_named_and_not_told(cli: Cli, make_server: Callable[..., Server]) -> None:
    server = make_server(18)
    server.sql("ALTER SYSTEM SET max_connections = 77")
    server.sql("SELECT pg_reload_conf()")
    [told] = json.loads(cli.run("check", server.dsn("postgres"), "--only", "pending-restart", "--json").stdout)
    assert told["findings"] == []
    assert told["not_examined"]["pending-restart"].startswith("it is there now, and told once")


def test_what_takes_two_snapshots_is_named_in_one(cli: Cli, db: Database, tmp_path: Path) -> None:
    db.sql("CREATE TABLE d AS SELECT 1 AS i UNION ALL SELECT 1")
    with pytest.raises(UniqueViolation):
        db.sql("CREATE UNIQUE INDEX CONCURRENTLY di ON d (i)")
    files = [tmp_path / "before.json", tmp_path / "now.json"]
    for file in files:
        file.write_text(cli.run("snapshot", db.dsn).stdout)
    why = "public.di is there now, and told once it was there in 2 snapshots in a row: "
    why += "name the one before with --previous"
    assert json.loads(files[0].read_text())["diagnosis"]["not_examined"]["index-invalid"] == why
    alone = ("check", "--only", "index-invalid", "--from", str(files[1]))
    [told] = json.loads(cli.run(*alone, "--json").stdout)
    assert (told["findings"], told["not_examined"]) == ([], {"index-invalid": why})
    [told] = json.loads(cli.run(*alone, "--previous", str(files[0]), "--json").stdout)
    assert ([each["key"] for each in told["findings"]], told["not_examined"]) == (["public.di"], {})


def test_the_transaction_in_the_way_of_others_is_told_before_the_wait(cli: Cli, multi: Multi, db: Database) -> None:
    limits = {"idle-in-transaction": {"warning_s": 1}, "blocking-chain": {"warning_s": 1, "critical_s": 1}}
    multi({"app": {"dsn": db.dsn}}, thresholds=[{"check": name, **each} for name, each in limits.items()])
    db.sql("CREATE TABLE t ()")
    asked = ("check", "--only", "idle-in-transaction,blocking-chain", "--format")
    with session(db, "BEGIN", "LOCK TABLE t") as pid, running(db, "TABLE t", WAITS):
        [told] = json.loads(cli.run(*asked, "json").stdout)
        line = cli.run(*asked, "nagios").stdout
    assert [(each["check"], each["severity"], each["because_of"]) for each in told["findings"]] == [
        ("idle-in-transaction", "warning", ""),
        ("blocking-chain", "critical", f"idle-in-transaction:{pid}"),
    ]
    assert told["findings"][1]["threshold"] == "critical: a wait of 1 s; critical_s, warning_s set by thresholds"
    assert line.startswith(f"PGDOCTOR CRITICAL - 1 critical finding, 1 warning; app: session {pid} ")
    assert "; from this follows: 1 session waits, for up to " in line
