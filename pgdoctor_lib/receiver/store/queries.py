"""Statements over a span of time, from the readings of their counters."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store import readings
from pgdoctor_lib.receiver.store.bodies import body_at, inflated
from pgdoctor_lib.receiver.store.db import Db, chunks, marks, one
from pgdoctor_lib.receiver.store.model import QuerySeries, QueryStat
from pgdoctor_lib.receiver.store.points import Buckets
from pgdoctor_lib.receiver.store.readings import Growth, Reading

_MOST_READINGS = 36  # of a list; counters grow, so that a few tell as much as all
_MOST_STEPS = 84  # of one statement: of a week one each 2 hours
_LIST_STEPS = 100  # less than a hundredth of a span more or less is not seen
_SPARK = 24
_FEW, _MARKS, _NEAR_S = 12, 5, 900.0  # fewer readings than that are eked out; so far from a mark it tells nothing of it
_PLANS = 24
_TIME = "total_exec_time_ms"


def stats(db: Db, source: str, since: float, until: float) -> list[QueryStat]:
    """All statements that took time, the most first."""
    found = _read(db, source, since, until, _MOST_READINGS)
    grouped = readings.by_query([each for each in readings.growths(found) if each.ended > since])
    texts = _texts(db, source, list(grouped))
    own_ms = readings.added((_of(each) for some in grouped.values() for each in some), since, until).get(_TIME, 0.0)
    all_ms = max(readings.time_spent_ms(found, since, until), own_ms) or 1.0
    told = [_stat(identity, some, texts, all_ms, (since, until)) for identity, some in grouped.items()]
    return sorted((each for each in told if each.calls), key=lambda each: (-each.total_time_ms, each.queryid))


def series(db: Db, source: str, queryid: str, since: float, until: float) -> QuerySeries | None:
    """One statement; None where nobody has told of it."""
    read_ = _read(db, source, since, until, _MOST_STEPS, ("queryid", queryid))
    found = sorted([*read_, *_between(db, source, queryid, read_, until)], key=lambda reading: reading.at)
    mine = readings.by_query(readings.growths(found)).get(queryid, [])
    texts = _texts(db, source, [queryid])
    if not mine and queryid not in texts:
        return None
    times = [reading.at for reading in found]
    steps = [_step([each for each in mine if each.begun < right and each.ended > left], left, right)
             for left, right in pairwise(times)]  # fmt: skip
    return QuerySeries(queryid, texts.get(queryid, ""), _roles(mine), times, steps, _plan(db, source, queryid))


def _read(
    db: Db, source: str, since: float, until: float, most: int, of: tuple[str, object] | None = None
) -> list[Reading]:
    """Readings, and as the last one the newest body: in the first minutes there is not more."""
    found = read(db, source, "queries", since, until, most, of)
    if found and until - found[-1].at < (until - since) / _LIST_STEPS:
        return found
    newest = body_at(db, source, until)
    if newest and newest[1] > max(since, found[-1].at if found else since):
        section = shapes.section(json.loads(newest[2]), "queries")
        if section is not None:
            found.append(readings.unpack(newest[1], readings.pack_queries(section), of))
    return found


def _between(db: Db, source: str, queryid: str, found: Sequence[Reading], until: float) -> list[Reading]:
    """From bodies what lies right before and after each mark; and in the first hour, where readings are few, more."""
    if not found:
        return []
    begun = found[0].at
    step = (until - begun) / _FEW
    grid = [begun + step * place for place in range(1, _FEW)] if len(found) < _FEW else []
    near = _near_marks(db, source, begun, until)
    known = {reading.at for reading in found}
    places = [place for at in grid if (place := _place(db, source, "<=", at))] + near
    chosen = {seq: at for seq, at in places if begun < at < until and at not in known}
    rows = db.rows(f"SELECT seq, data FROM body WHERE seq IN ({marks(list(chosen))})", list(chosen)) if chosen else []
    return [reading for seq, data in rows if (reading := _reading(chosen[seq], inflated(data), queryid))]


def _near_marks(db: Db, source: str, since: float, until: float) -> list[tuple[int, float]]:
    """The bodies next to the newest marks."""
    times = db.rows(
        "SELECT at FROM event WHERE source_id = ? AND kind = 'mark' AND at > ? AND at < ? ORDER BY at DESC LIMIT ?",
        (source, since, until, _MARKS),
    )
    both = [(at, place) for (at,) in times for side in ("<=", ">") if (place := _place(db, source, side, at))]
    return [place for at, place in both if abs(place[1] - at) <= _NEAR_S]


def _place(db: Db, source: str, side: str, at: float) -> tuple[int, float] | None:
    """Which body is the next one on that side of a moment, and when it was collected."""
    row = one(
        db,
        "SELECT s.seq, s.collected_at FROM snapshot s JOIN body b ON b.seq = s.seq WHERE s.source_id = ?"
        f" AND s.collected_at {side} ? ORDER BY s.collected_at {'DESC' if side == '<=' else 'ASC'} LIMIT 1",
        (source, at),
    )
    return (row[0], row[1]) if row else None


def _reading(at: float, body: bytes, queryid: str) -> Reading | None:
    section = shapes.section(json.loads(body), "queries")
    if section is None:
        return None
    rows = [row for row in shapes.objects(section.get("rows")) if readings.queryid(row.get("queryid")) == queryid]
    return readings.unpack(at, readings.pack_queries({**section, "rows": rows}))


def read(
    db: Db, source: str, kind: str, since: float, until: float, most: int, of: tuple[str, object] | None = None
) -> list[Reading]:
    """Readings of the span and the one before it; of very many the last in each of `most` steps. `of`: a column, and
    what it is to be: of each reading these rows only."""
    slot_s = readings.KINDS[kind]
    reach_s = max(7200.0, (until - since) / 4)
    slots = [slot for (slot,) in db.rows(
        "SELECT slot FROM reading WHERE source_id = ? AND kind = ? AND slot >= ? AND slot <= ? ORDER BY slot",
        (source, kind, int((since - reach_s) // slot_s), int(until // slot_s)),
    )]  # fmt: skip
    found = _of_slots(db, source, kind, _chosen(slots, int(since // slot_s), (until - since) / most / slot_s), of)
    within = [reading for reading in found if since < reading.at <= until]
    return [reading for reading in found if since - reach_s < reading.at <= since][-1:] + within


def _chosen(slots: Sequence[int], first: int, step: float) -> list[int]:
    """Of each step the last, and what may be the last before the span: in slot `first` it begins. Where in its slot
    the very last lies is not known: perhaps beyond the end, so the one before is taken, too."""
    before = [slot for slot in slots if slot < first][-1:]
    last_of = {int((slot - first) // max(step, 1e-9)): slot for slot in slots if slot > first}
    return sorted({*before, *last_of.values(), *slots[-2:], *(slot for slot in slots if slot == first)})


def _of_slots(db: Db, source: str, kind: str, slots: Sequence[int], of: tuple[str, object] | None) -> list[Reading]:
    found: list[tuple[float, bytes]] = []
    for some in chunks(slots):
        found += db.rows(
            f"SELECT at, data FROM reading WHERE source_id = ? AND kind = ? AND slot IN ({marks(some)}) ORDER BY slot",
            (source, kind, *some),
        )
    return readings.readable(found, of)


def _stat(
    queryid: str, grown: Sequence[Growth], texts: Mapping[str, str], all_ms: float, span: tuple[float, float]
) -> QueryStat:
    since, until = span
    step_s = (until - since) / _SPARK
    spark = Buckets(since, step_s, _SPARK)
    totals = [(each.begun, each.ended, each.counters.get(_TIME, 0.0)) for each in grown]
    width: dict[tuple[float, float], float] = {}
    for begun, ended, spent in totals:  # roles and levels are added up, not averaged
        width[begun, ended] = width.get((begun, ended), 0.0) + spent
    for (begun, ended), spent in width.items():
        rate = spent / max(ended - begun, 0.001)
        spark.add(begun, ended, rate, rate)
    counters = readings.added(map(_of, grown), since, until)
    took = counters.get(_TIME, 0.0)
    return QueryStat(
        queryid, texts.get(queryid, ""), _roles(grown), counters.get("calls", 0.0), took, took / all_ms, counters,
        spark.means(),
    )  # fmt: skip


def _step(grown: Sequence[Growth], left: float, right: float) -> dict[str, float] | None:
    """What lies between two readings, of what was told over a longer time its share."""
    return readings.added(map(_of, grown), left, right) or None


def _of(each: Growth) -> tuple[float, float, Mapping[str, float]]:
    return each.begun, each.ended, each.counters


def _roles(grown: Sequence[Growth]) -> list[str]:
    return sorted({each.role for each in grown if each.role})


def _texts(db: Db, source: str, queryids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in chunks(queryids):
        sql = f"SELECT queryid, text FROM query_text WHERE source_id = ? AND queryid IN ({marks(some)})"
        found.update(db.rows(sql, (source, *some)))
    return found


def _plan(db: Db, source: str, queryid: str) -> dict[str, Any] | None:
    """The newest one that was told, in the last day's readings."""
    found = db.rows(
        "SELECT at, data FROM reading WHERE source_id = ? AND kind = 'plans' ORDER BY slot DESC LIMIT ?",
        (source, _PLANS),
    )
    for reading in readings.readable((at, data) for at, data in found):
        for row in reading.rows:
            if readings.queryid(row.get("queryid")) == queryid and row.get("plan"):
                return {**row, "at": reading.at}
    return None
