"""The background work: buckets summed up, what is over its time forgotten, the size held. In small batches."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from pgdoctor_lib.receiver.intake import receive
from pgdoctor_lib.receiver.store import findings, sections
from pgdoctor_lib.receiver.store.bodies import inflated
from pgdoctor_lib.receiver.store.db import Db, Row, one
from pgdoctor_lib.receiver.store.keep import DUE, KINDS, OBJECTS_S, QUERIES_S, keep_figures
from pgdoctor_lib.receiver.store.model import Retention, StoreError, Unreadable
from pgdoctor_lib.receiver.store.points import fill, reach_s, summed_up
from pgdoctor_lib.receiver.store.series import LATE_S, STEPS, points, rollups
from pgdoctor_lib.receiver.wire import Rejected

_BATCH, _SOME = 500, 100
_BUCKETS = 20  # summed up in one go
_HOUR_S, _DAY_S = 3600, 86_400
_FINE_S, _COARSE = 2 * _DAY_S, 3  # of statements' readings: after that time one of so many is enough for any page
_FARTHEST_S = 60 * 86_400  # back from now: a clock that stands in 1970 makes no work
_FULL = 0.9  # the rest is for pages that are free, and for the log
_LAST_OF_SIZE_S, _FIGURES_OF_SIZE_S = 3600.0, 600.0  # what goes last for the size, and which figures stay all the same
_UNREAD, _UNREAD_SECTIONS = "unread bodies", "unread sections"
_IN_USE = "SELECT snapshot_id FROM source UNION SELECT snapshot_id FROM section_at"
_DONE = "DELETE FROM due WHERE step_s = ? AND at = ? AND source_id = ?"
_THIN = (
    "DELETE FROM reading WHERE kind = ? AND at >= ? AND at < ? AND EXISTS (SELECT 1 FROM reading r WHERE"
    " r.source_id = reading.source_id AND r.kind = reading.kind AND r.slot < reading.slot"
    " AND r.slot >= reading.slot - reading.slot % ?)"
)
_ROLLUP = """
    INSERT INTO rollup (source_id, step_s, at, data) VALUES (?, ?, ?, ?)
    ON CONFLICT (source_id, step_s, at) DO UPDATE SET data = excluded.data"""


def roll_up(db: Db, now: float) -> bool:
    """Sum up a batch of buckets that are over. True where there are more."""
    for step in STEPS:
        found = db.rows(
            "SELECT at, source_id FROM due WHERE step_s = ? AND at <= ? ORDER BY at, source_id LIMIT ?",
            (step, now - step - LATE_S, _BUCKETS),
        )
        if found:
            _sum_up_all(db, step, found)
            return True
    return False


def _sum_up_all(db: Db, step: int, found: Sequence[Row]) -> None:
    """A bucket that cannot be summed up is set aside: it would stand before all others for ever."""
    at, source = found[0]
    try:
        with db.transaction():
            for at, source in found:
                _sum_up(db, source, step, at)
    except StoreError:
        raise
    except Exception:
        db.run(_DONE, (step, at, source))
        raise


def read_bodies(db: Db) -> bool:
    """Of a batch of snapshots that an older version kept, the figures, newest first. True where there are more."""

    def keep(data: bytes, _: str, source: str, at: float) -> None:
        with suppress(Rejected):  # by bounds that did not hold when it came
            keep_figures(db, receive(inflated(data), "", None), source, at)

    return _read_old(db, _UNREAD, keep)


def read_sections(db: Db) -> bool:
    """Of a batch of snapshots that an older version kept, where which section is. True where there are more."""

    def keep(data: bytes, snapshot_id: str, source: str, at: float) -> None:
        sections.keep(db, source, sections.brought_by(inflated(data)), snapshot_id, at)

    return _read_old(db, _UNREAD_SECTIONS, keep)


def _read_old(db: Db, name: str, keep: Callable[[bytes, str, str, float], None]) -> bool:
    """The next batch; how far it went is remembered in `progress`, by that name, until nothing is left."""
    last = _progress(db, name)
    if last is None:
        return False
    found = db.rows(
        "SELECT b.seq, b.data, s.id, s.source_id, s.collected_at FROM body b JOIN snapshot s ON s.seq = b.seq"
        f" WHERE b.seq <= ? ORDER BY b.seq DESC LIMIT {_BUCKETS}",
        (int(last),),
    )
    with db.transaction():
        for seq, data, snapshot_id, source, at in found:
            with suppress(Unreadable):
                keep(data, snapshot_id, source, at)
            _set_progress(db, name, seq - 1)
        if not found:
            db.run("DELETE FROM progress WHERE name = ?", (name,))
    return bool(found)


def prune(db: Db, keep: Retention, now: float) -> bool:
    """Forget a batch of what is over its time, or too much. True where there is more."""
    _forget_silent(db, now - keep.raw_s)
    with db.transaction():
        more = [
            _forget_snapshots(db, now - keep.raw_s),
            _thin_bodies(db, now - keep.bodies_s),
            _thin_late_bodies(db, now - keep.bodies_s, keep.bodies_s),
            _thin_readings(db, "queries", QUERIES_S, now - min(_FINE_S, keep.raw_s), _COARSE),
            _thin_readings(db, "queries", QUERIES_S, now - keep.raw_s, _HOUR_S // QUERIES_S),
            _thin_readings(db, "tables", OBJECTS_S, now - keep.five_minutes_s, _DAY_S // OBJECTS_S),
            _thin_readings(db, "indexes", OBJECTS_S, now - keep.five_minutes_s, _DAY_S // OBJECTS_S),
            _forget_rows(db, keep, now),
            findings.forget(db, now - keep.hour_s, _BATCH),
        ]
    dropped = [db.drop_before("point", 0, now - keep.raw_s)]
    dropped += [db.drop_before("rollup", STEPS[0], now - keep.five_minutes_s)]
    dropped += [db.drop_before("rollup", step, now - keep.hour_s) for step in STEPS[1:]]
    return any(more) or any(dropped) or _hold_size(db, keep, now) or db.shrink()


def _sum_up(db: Db, source: str, step: int, at: float) -> None:
    """One bucket anew, from the next finer step; the coarser one that it is in is due as well."""
    # First of all: a late snapshot that comes from now on waits, and has it done anew.
    db.run(_DONE, (step, at, source))
    finer = STEPS[STEPS.index(step) - 1] if step != STEPS[0] else 0
    if finer:
        read = rollups(db, [source], finer, at, at + step).get(source, [])
        data = summed_up(at, step, lambda bucket, name: fill(bucket, name, read, [], at))
    else:
        row = one(db, "SELECT interval_s FROM source WHERE id = ?", (source,))
        reach = reach_s(row[0] if row else 0.0)
        near = points(db, [source], at - reach, at + step + reach).get(source, [])
        data = summed_up(at, step, lambda bucket, name: fill(bucket, name, [], near, at))
    if data is not None:
        db.run(_ROLLUP, (source, step, at, data))
    if step != STEPS[-1]:
        coarser = STEPS[STEPS.index(step) + 1]
        db.run(DUE, (coarser, at // coarser * coarser, source))


def _forget_snapshots(db: Db, before: float) -> bool:
    """Those received before then."""
    sql = f"SELECT seq FROM snapshot WHERE received_at < ? ORDER BY received_at LIMIT {_BATCH}"
    old = [seq for (seq,) in db.rows(sql, (before,))]
    db.many("DELETE FROM body WHERE seq = ?", [(seq,) for seq in old])
    db.many("DELETE FROM snapshot WHERE seq = ?", [(seq,) for seq in old])
    db.run("DELETE FROM section_at WHERE at < ?", (before,))
    return len(old) == _BATCH


def _forget_silent(db: Db, before: float) -> None:
    """Databases that have sent nothing since; but for one that is just coming back."""
    for (identity,) in db.rows("SELECT id FROM source WHERE received_at < ?", (before,)):
        with db.transaction():
            db.lock(identity)  # as whoever keeps a snapshot of it does
            if db.run("DELETE FROM source WHERE id = ? AND received_at < ?", (identity, before)):
                findings.close_all(db, identity, before)


def _thin_bodies(db: Db, before: float) -> bool:
    """Of each hour that is over `before`, leave the largest body: it has what is told once an hour.

    And those that are the newest to have some section.
    """
    if _progress(db, _UNREAD_SECTIONS) is not None:  # which those are is not known yet
        return False
    until = before // _HOUR_S * _HOUR_S
    hour, gone = max(_hour_to_do(db, "bodies", "collected_at", until), until - _FARTHEST_S), False
    while hour < until and not gone:
        gone = _thin_hour(db, hour)
        hour += _HOUR_S
    _set_progress(db, "bodies", hour)
    return gone


def _thin_late_bodies(db: Db, before: float, bodies_s: float) -> bool:
    """The same of hours that had had their turn when bodies of theirs came: those are there as long as others."""
    if _progress(db, _UNREAD_SECTIONS) is not None:
        return False
    until = before // _HOUR_S * _HOUR_S
    hour, gone = _hour_to_do(db, "late bodies", "received_at", until), False
    while hour < until and not gone:
        late = db.rows(
            "SELECT s.source_id, s.collected_at FROM snapshot s JOIN body b ON b.seq = s.seq"
            " WHERE s.received_at >= ? AND s.received_at < ? AND s.collected_at < ?",
            (hour, hour + _HOUR_S, hour + _HOUR_S - bodies_s),
        )
        for source, at in sorted({(source, at // _HOUR_S * _HOUR_S) for source, at in late}):
            gone = _thin_hour(db, at, source) or gone
        hour += 0.0 if gone else _HOUR_S
    _set_progress(db, "late bodies", hour)
    return gone


def _hour_to_do(db: Db, name: str, column: str, until: float) -> float:
    """Where that work goes on; the first time, the hour of the oldest snapshot by this column."""
    done = _progress(db, name)
    if done is not None:
        return done
    row = one(db, f"SELECT min({column}) FROM snapshot")
    return float(row[0] // _HOUR_S * _HOUR_S) if row and row[0] is not None else until


def _thin_hour(db: Db, hour: float, only: str | None = None) -> bool:
    """`only`: of this source."""
    of, values = ("", ()) if only is None else (" WHERE o.id = ?", (only,))
    found = db.rows(
        "SELECT s.seq, s.source_id, s.body_bytes, s.id FROM source o"
        " JOIN snapshot s ON s.source_id = o.id AND s.collected_at >= ? AND s.collected_at < ?"
        f" JOIN body b ON b.seq = s.seq{of}",
        (hour, hour + _HOUR_S, *values),
    )
    largest: dict[str, tuple[int, int]] = {}
    for seq, source, size, _ in found:
        largest[source] = max(largest.get(source, (0, 0)), (size, seq))
    stays = {snapshot_id for (snapshot_id,) in db.rows(_IN_USE)} if found else set()
    gone = [(seq,) for seq, source, _, snapshot_id in found if snapshot_id not in stays and largest[source][1] != seq]
    db.many("DELETE FROM body WHERE seq = ?", gone)
    return bool(gone)


def _thin_readings(db: Db, kind: str, slot_s: int, before: float, slots: int) -> bool:
    """Of `slots` readings in a row leave the first one."""
    name = f"readings {kind} {slots}"
    until = int(before // slot_s) // slots * slots
    done = _progress(db, name)
    slot, gone = until - slots if done is None else max(int(done), until - int(_FARTHEST_S // slot_s)), 0
    while slot < until and not gone:
        gone = db.run(_THIN, (kind, slot * slot_s, (slot + slots) * slot_s, slots))
        slot += slots
    _set_progress(db, name, float(slot))
    return gone > 0


def _forget_rows(db: Db, keep: Retention, now: float) -> bool:
    """Readings, texts and events."""
    more = False
    for kind, before in (
        ("queries", now - keep.five_minutes_s),
        ("plans", now - keep.raw_s),
        ("tables", now - keep.hour_s),
        ("indexes", now - keep.hour_s),
    ):
        old = db.rows(
            f"SELECT source_id, kind, slot FROM reading WHERE kind = ? AND at < ? LIMIT {_BATCH}", (kind, before)
        )
        db.many("DELETE FROM reading WHERE source_id = ? AND kind = ? AND slot = ?", old)
        more = more or len(old) == _BATCH
    for table, age, key, before in (
        ("query_text", "last_seen", ("source_id", "queryid"), now - keep.five_minutes_s),
        ("event", "at", ("source_id", "at", "kind", "key"), now - keep.hour_s),
    ):
        old = db.rows(f"SELECT {', '.join(key)} FROM {table} WHERE {age} < ? LIMIT {_BATCH}", (before,))
        db.many(f"DELETE FROM {table} WHERE {' AND '.join(f'{column} = ?' for column in key)}", old)
        more = more or len(old) == _BATCH
    for step in STEPS:
        db.run("DELETE FROM due WHERE step_s = ? AND at < ?", (step, now - keep.hour_s))
    return more


def hold_size(db: Db, keep: Retention, now: float) -> bool:
    """The same where the store takes more than it may. True where there is more."""
    if not keep.max_bytes or db.size_bytes() <= keep.max_bytes:
        return False
    return _hold_size(db, keep, now) or db.shrink()


def _hold_size(db: Db, keep: Retention, now: float) -> bool:
    """Over its size: the oldest bodies go, then the oldest readings, then the oldest points. True while it is over.

    The last hour goes when nothing else is left, but for what is in use of the bodies, and the newest figures.
    """
    used = db.used_bytes() if keep.max_bytes else None
    if used is None or used <= keep.max_bytes * _FULL:
        return False
    hour, newest = now - _LAST_OF_SIZE_S, now - _FIGURES_OF_SIZE_S
    with db.transaction():
        return (
            _oldest_bodies(db, hour) or _oldest_readings(db, hour) or _oldest_points(db, hour)
            or _oldest_bodies(db, now) or _oldest_readings(db, newest) or _oldest_points(db, newest)
        )  # fmt: skip


def _oldest_bodies(db: Db, newest: float) -> bool:
    old = db.rows(
        "SELECT b.seq FROM body b JOIN snapshot s ON s.seq = b.seq WHERE s.received_at < ?"
        f" AND s.id NOT IN ({_IN_USE}) ORDER BY b.seq LIMIT {_SOME}",
        (newest,),
    )
    db.many("DELETE FROM body WHERE seq = ?", old)
    return bool(old)


def _oldest_readings(db: Db, newest: float) -> bool:
    old: list[Row] = []
    for kind in KINDS:  # in the order of its index
        sql = f"SELECT at, source_id, kind, slot FROM reading WHERE kind = ? AND at < ? ORDER BY at LIMIT {_SOME}"
        old += db.rows(sql, (kind, newest))
    some = [row[1:] for row in sorted(old)[:_SOME]]
    db.many("DELETE FROM reading WHERE source_id = ? AND kind = ? AND slot = ?", some)
    return bool(some)


def _oldest_points(db: Db, newest: float) -> bool:
    row = one(db, "SELECT min((SELECT min(at) FROM point WHERE source_id = source.id)) FROM source")
    oldest = row[0] if row and row[0] is not None else newest
    if oldest < newest:
        db.drop_before("point", 0, min(newest, oldest + _DAY_S / 4))
    return bool(oldest < newest)


def _progress(db: Db, name: str) -> float | None:
    row = one(db, "SELECT value FROM progress WHERE name = ?", (name,))
    return float(row[0]) if row else None


def _set_progress(db: Db, name: str, value: float) -> None:
    sql = "INSERT INTO progress (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    db.run(sql, (name, value))
