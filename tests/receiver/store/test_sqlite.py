"""The file: what a failure leaves of it, and many at once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pgdoctor_lib.receiver.store import Store, db, open_store
from pgdoctor_lib.receiver.store.sqlite import SqliteDb
from pgdoctor_lib.receiver.web import latest
from pgdoctor_lib.receiver.web.state import state
from tests.receiver.store.documents import T0, counters, document, many, received, snapshot


def test_the_body_is_as_it_came(store: Store) -> None:
    told = snapshot(T0, database=counters(1))
    store.keep(told, T0)
    assert store.body(told.snapshot_id) == told.body
    assert store.body(told.snapshot_id, "elsewhere") is None
    assert store.body_at(store.sources()[0].id, T0 - 1) is None
    assert store.body_at(store.sources()[0].id) == (told.snapshot_id, T0, told.body)


def test_an_id_that_another_project_has_is_no_duplicate(store: Store) -> None:
    made = document(T0, database=counters(1), bloat=many([{"relname": "a"}]), indexes=many([{"indexrelid": 1}]))
    mine = received(made)
    theirs = received({**made, "meta": {"db_name": "theirs"}, "sections": {"bloat": {}, "indexes": many([])}})
    first = store.keep(theirs, T0, "theirs")
    kept = store.keep(mine, T0 + 1, "mine")
    assert (kept.new, kept.source_id != first.source_id, kept.received_at) == (True, True, T0 + 1)
    again = store.keep(mine, T0 + 2, "mine")
    assert (again.new, again.source_id, again.received_at) == (False, kept.source_id, T0 + 1)
    assert (store.body(mine.snapshot_id, "mine"), store.body(mine.snapshot_id, "theirs")) == (mine.body, theirs.body)
    for at in (60, 120):
        store.keep(snapshot(T0 + at, database=counters(1)), T0 + at, "mine")
    (source,) = store.sources("mine")
    found = latest.document(store, source, ("bloat",))
    assert found is not None
    assert found.rows("bloat")[0]["relname"] == "a"
    assert set(store.sections(source.id, ("bloat",), T0 + 90)) == {"bloat"}
    read = store.objects(source.id, "indexes")
    assert read is not None
    assert [row["indexrelid"] for row in read.rows] == [1]


def test_a_failure_within_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    told = snapshot(T0, database=counters(1))
    object.__setattr__(told, "db_version", object())  # cannot be written, and comes last
    with pytest.raises(Exception, match="db"):
        store.keep(told, T0)
    assert (store.stats().snapshots, store.stats().bodies, store.sources()) == (0, 0, [])
    assert store.keep(snapshot(T0, database=counters(1)), T0).new


def test_another_process_that_closes_the_file_leaves_the_log(tmp_path: Path) -> None:
    """With two connections here, as a receiver has, and one elsewhere that comes and goes."""
    path = str(tmp_path / "serve.db")
    writer, reader = open_store(path), open_store(path)
    writer.keep(snapshot(T0, database=counters(1)), T0)
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('DELETE FROM body'); db.execute('DELETE FROM snapshot'); db.commit()"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, path], check=True)
        assert reader.stats().snapshots == 0
        assert writer.keep(snapshot(T0 + 60, database=counters(1)), T0).new
        assert reader.stats().snapshots == 1
    writer.close()
    reader.close()


def test_a_slow_clock_is_told_from_data_that_come_late(store: Store) -> None:
    def told(name: str, *times: tuple[float, float]) -> tuple[str, str]:
        """Minutes since T0, by the agent's clock, and when it came."""
        for minute, came in times:
            at = T0 + 60 * minute
            store.keep(snapshot(at, name=name, database=counters(1)), T0 + 60 * came)
        source = next(each for each in store.sources() if each.name == name)
        return state(source, T0 + 60 * times[-1][1] + 30)

    assert told("in time", (0, 0.1), (1, 1.1)) == ("ok", "ok")
    assert told("slow", (0, 10), (1, 11), (2, 12.2)) == ("errors", "its clock is 10 min slow")
    assert told("waiting", (0, 60), (1, 60.01), (2, 60.02)) == ("stale", "no data for 58 min")
    assert told("once", (0, 60)) == ("stale", "no data for 60 min")
    assert told("corrected", (0, 10), (1, 11), (12, 12)) == ("ok", "ok")
    slow = next(each for each in store.sources() if each.name == "slow")
    assert state(slow, T0 + 20 * 60)[0] == "stale"  # and came no more


@pytest.mark.skipif(not hasattr(sqlite3.Connection, "setlimit"), reason="Python 3.11 can set limits")
def test_what_older_versions_take_at_once_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SqliteDb(str(tmp_path / "serve.db"))
    store = Store(made)
    for number in range(20):
        store.keep(snapshot(T0 + number, database=counters(1)), T0)
    monkeypatch.setattr(db, "_CHUNK", 5)
    made._db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 9)
    lines = store.snapshots(store.sources()[0].id, 20, None)
    assert (len(lines), all(line.has_body for line in lines)) == (20, True)
    store.close()
