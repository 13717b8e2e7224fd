"""From a file into PostgreSQL: the same data, and the same answers."""

from pathlib import Path

from pgdoctor_lib.receiver.store import Retention, Store, open_store
from tests.fix_daemon import Cli
from tests.postgres.server import Database
from tests.receiver.client import TOKEN, Client
from tests.receiver.client import snapshot as wire_snapshot
from tests.receiver.store.documents import T0, counters, finding, many, query, snapshot

COMMITS = "database.xact_commit"


def _fill(store: Store) -> None:
    for minute in range(600):
        at = T0 + 60 * minute
        sections = {"queries": many([query("1", minute, minute)])} if minute % 5 == 0 else {}
        findings = [finding()] if minute < 300 else [finding(key="b")]
        if minute == 7:
            sections["bloat"] = many([])
        store.keep(snapshot(at, database=counters(600 * minute), findings=findings, **sections), at)
    store.keep(snapshot(T0, name="other", database=counters(1)), T0, "red")
    store.add_token("red", "ab" * 32, T0)
    while store.roll_up(T0 + 36_000):
        pass


def _told(store: Store) -> list[object]:
    store.retention = Retention(raw_s=1e10)
    told: list[object] = [store.sources(), store.findings(open_only=False), store.tokens(), store.stats().snapshots]
    for source in store.sources():
        lines = store.snapshots(source.id, 1000)
        told += [lines, [store.body(line.id) for line in lines[::50]], store.events(source.id, 0, T0 + 1e6)]
        told += [store.series(source.id, [COMMITS], T0, T0 + 36_000, points) for points in (1000, 100, 5)]
        told += [store.queries(source.id, T0, T0 + 36_000), store.query(source.id, "1", T0, T0 + 3600)]
        told += [store.sections(source.id, ["bloat", "database", "queries"])]
    return told


def test_all_is_there_however_often_it_is_run(cli: Cli, tmp_path: Path, store_dsn: str) -> None:
    path = tmp_path / "serve.db"
    before = open_store(str(path))
    before._db.run("PRAGMA synchronous = OFF")
    _fill(before)
    expected = _told(before)
    before.close()
    for told in ("601 snapshots", "0 snapshots, 601 were there"):
        ended = cli.run("serve", "migrate", "--from", str(path), "--to", store_dsn)
        assert ended.returncode == 0, ended.stderr
        assert f"copied: {told}\n" in ended.stdout
        assert f"copied: {told.replace('601', '2').replace('snapshots', 'databases')}\n" in ended.stdout
        assert ended.stdout.endswith("All is there. Serve it with --store, and the same token.\n")
        after = open_store(store_dsn)
        assert _told(after) == expected
        after.close()


def test_both_go_on_alike(cli: Cli, tmp_path: Path, store_dsn: str) -> None:
    path = str(tmp_path / "serve.db")
    before = open_store(path)
    before._db.run("PRAGMA synchronous = OFF")
    keys = ("b", "B", "a_1", "a-1", "é", "a1", "A")
    for minute in range(20):
        at = T0 + 60 * minute
        found = [finding(key=key) for key in keys[minute % 3 :]]
        for name in ("one", "two"):
            before.keep(snapshot(at, name=name, database=counters(minute), findings=found), at)
    before.close()
    assert cli.run("serve", "migrate", "--from", path, "--to", store_dsn).returncode == 0
    stores = [open_store(path), open_store(store_dsn)]
    for minute in (20, 21, 22):
        at = T0 + 60 * minute
        for name in ("one", "two"):
            found = [finding(key=key, severity="critical") for key in keys[: minute - 18]]
            made = snapshot(at, name=name, database=counters(minute), findings=found)
            for store in stores:
                store.keep(made, at)
    told = [
        (store.findings(), store.findings(open_only=False), store.sources(), store.events(store.sources()[0].id, 0, at))
        for store in stores
    ]
    for store in stores:
        store.close()
    assert told[0] == told[1]


def test_a_receiver_that_is_still_at_work_is_told(cli: Cli, store_dsn: str) -> None:
    receiver = Client(cli)
    receiver.post(wire_snapshot().body())
    ended = cli.run("serve", "migrate", "--to", store_dsn)
    assert (ended.returncode, ended.stderr.count("a receiver is at work on it")) == (0, 1)
    assert "run this again" in ended.stdout
    assert receiver.post(wire_snapshot().body()).status == 201
    receiver.running.send()
    receiver.running.finish()
    ended = cli.run("serve", "migrate", "--to", store_dsn)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "copied: 1 snapshots, 1 were there\n" in ended.stdout


def test_what_is_served_goes_on_in_postgresql(cli: Cli, store_database: Database, store_dsn: str) -> None:
    receiver = Client(cli)
    first = wire_snapshot()
    assert receiver.post(first.body()).status == 201
    receiver.running.send()
    receiver.running.finish()
    assert cli.run("serve", "migrate", f"--to={store_dsn}").returncode == 0
    again = Client(cli, "--store", store_dsn)
    assert again.post(first.body()).status == 409
    assert again.post(wire_snapshot().body()).status == 201
    assert len(again.get("/api/databases", Authorization=f"Bearer {TOKEN}").json["databases"]) == 1


def test_what_makes_no_sense_is_one_line(cli: Cli, tmp_path: Path, store_dsn: str) -> None:
    for args, status in (
        ((), 2),
        (("--to", "/a/path"), 2),
        (("--from", str(tmp_path / "none.db"), "--to", store_dsn), 2),
        (("--from", str(tmp_path), "--to", store_dsn), 2),
    ):
        ended = cli.run("serve", "migrate", *args)
        assert (ended.returncode, ended.stderr.count("\n")) == (status, 1), ended.stderr
    assert not (tmp_path / "none.db").exists()
