"""`Store`: the one door. What it does is in the modules beside it; which database is behind it, it does not know."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pgdoctor_lib.receiver.intake import Received
from pgdoctor_lib.receiver.store import (
    bodies,
    events,
    findings,
    objects,
    queries,
    sections,
    series,
    sources,
    tokens,
    upkeep,
)
from pgdoctor_lib.receiver.store import keep as keeping
from pgdoctor_lib.receiver.store.db import Db
from pgdoctor_lib.receiver.store.model import (
    Event,
    Extension,
    FindingRow,
    Kept,
    Line,
    Objects,
    ObjectSeries,
    QuerySeries,
    QueryStat,
    Retention,
    Series,
    Source,
    StoreStats,
    TokenRow,
)
from pgdoctor_lib.receiver.store.sections import Places
from pgdoctor_lib.receiver.store.series import Span


class Store:
    """An open store. It is one connection, and may be used from any thread, by one at a time: the caller sees to that.

    What `keep` has returned survives a crash. Times in epoch seconds. `project`: None for all of them.
    """

    def __init__(self, db: Db, retention: Retention | None = None) -> None:
        self._db = db
        self.retention = retention or Retention()

    def close(self) -> None:
        """Let go of it."""
        self._db.close()

    def ping(self) -> None:
        """StoreError where it cannot be reached."""
        self._db.rows("SELECT 1")

    def check(self, now: float) -> None:
        """StoreError where it cannot be written: something is, and is on disk."""
        self._db.run(
            "INSERT INTO progress (name, value) VALUES ('checked', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (now,),
        )

    def keep(self, snapshot: Received, received_at: float, project: str = "") -> Kept:
        """Store once: a database's first body under an id stays. A clock that is ahead is set back to the receipt."""
        return keeping.keep(self._db, snapshot, received_at, project)

    def sources(self, project: str | None = None) -> list[Source]:
        """All databases, by name."""
        return sources.all_of(self._db, project)

    def source(self, identity: str) -> Source | None:
        """One database."""
        return sources.one_of(self._db, identity)

    def snapshots(self, source: str, limit: int, before: float | None = None) -> list[Line]:
        """The newest snapshots of a database, or the newest before then; newest first."""
        return sources.snapshots(self._db, source, limit, before)

    def oldest(self) -> float | None:
        """When the oldest snapshot that is kept was received."""
        return sources.oldest(self._db)

    def begun(self, source: str, since: float) -> float | None:
        """When the first snapshot of a database was collected that is kept, of those from then on."""
        return sources.begun(self._db, source, since)

    def body(self, snapshot_id: str, project: str | None = None) -> bytes | None:
        """A snapshot's JSON, as it came; None where there is none, or no more."""
        return bodies.body(self._db, snapshot_id, project)

    def body_at(self, source: str, at: float | None = None) -> tuple[str, float, bytes] | None:
        """Id, time and JSON of the newest snapshot that is still there as it came, at that time or before."""
        return bodies.body_at(self._db, source, at)

    def sections(self, source: str, wanted: Collection[str], at: float | None = None) -> Places:
        """By section, when it was collected and in which snapshot: the newest at that time or before, of those that
        there are. In the past it is looked for among the nearest, and the largest of each hour of a day before."""
        return sections.find(self._db, source, wanted, at)

    def series(self, source: str, names: Sequence[str], since: float, until: float, points: int) -> Series | None:
        """Figures over time, in some `points` steps. None where there is no such database."""
        return series.with_siblings(self._db, [source], self._span(names, since, until, points)).get(source)

    def sparklines(
        self, source_ids: Sequence[str], names: Sequence[str], since: float, until: float, points: int
    ) -> Mapping[str, Series]:
        """The same of many databases at once."""
        return series.with_siblings(self._db, source_ids, self._span(names, since, until, points))

    def latest(
        self, names: Sequence[str], sources: Sequence[Source], rates: Sequence[str] = ()
    ) -> Mapping[str, Mapping[str, float]]:
        """Of each of these the newest figures, by metric, as the snapshots have them; those that are there.

        `rates`: counters of which what they grew by, per second, is told instead.
        """
        return series.latest(self._db, names, sources, rates)

    def findings(
        self,
        source: str | None = None,
        since: float | None = None,
        open_only: bool = True,
        project: str | None = None,
    ) -> list[FindingRow]:
        """Worst first, MOST_FINDINGS at most. `since`: with `open_only` False, those that were there from then on."""
        return findings.rows(self._db, source, since, open_only, project)

    def worst_findings(self, source_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """By database what is wrong in the first place, as the snapshot has it."""
        return findings.worst(self._db, source_ids)

    def events(self, source: str, since: float, until: float) -> list[Event]:
        """What happened, in the order of time; with it what findings opened and were resolved."""
        return events.rows(self._db, source, since, until)

    def queries(self, source: str, since: float, until: float) -> list[QueryStat]:
        """All statements that ran, those that took most time first."""
        return queries.stats(self._db, source, since, until)

    def query(self, source: str, queryid: str, since: float, until: float) -> QuerySeries | None:
        """One statement. None where nobody has told of it."""
        return queries.series(self._db, source, queryid, since, until)

    def objects(self, source: str, kind: str, at: float | None = None) -> Objects | None:
        """Section `kind`, "tables" or "indexes", the newest or as it was at that time. None where nobody told of it."""
        return objects.read(self._db, source, kind, at)

    def objects_before(self, source: str, kind: str, since: float) -> Objects | None:
        """Section `tables` or `indexes` as it was at that time, or else as it was told first."""
        return objects.before(self._db, source, kind, since)

    def table_series(self, source: str, relid: int, since: float, until: float) -> ObjectSeries | None:
        """A table or an index over time, an hour apart."""
        return objects.series(self._db, source, relid, since, until)

    def extension(self) -> Extension | None:
        """What the store's database has for tables like its own, used or not."""
        return self._db.extension

    def size_bytes(self) -> int:
        """All that the store takes on disk."""
        return self._db.size_bytes()

    def used_bytes(self) -> int | None:
        """That part of it which holds something; None where that cannot be told."""
        return self._db.used_bytes()

    def stats(self) -> StoreStats:
        """How much is kept."""
        return sources.stats(self._db)

    def roll_up(self, now: float) -> bool:
        """Sum up a batch of what is over, and see to the size. True where there is more."""
        db = self._db
        with db.alone() as is_mine:
            return is_mine and (
                upkeep.roll_up(db, now)
                or upkeep.read_sections(db)
                or upkeep.read_bodies(db)
                or upkeep.hold_size(db, self.retention, now)
            )

    @property
    def is_over_size(self) -> bool:
        """Whether it takes more than it may."""
        most = self.retention.max_bytes
        return most > 0 and self.size_bytes() > most

    def prune(self, now: float) -> bool:
        """Forget a batch of what is over its time, or too much. True where there is more."""
        with self._db.alone() as is_mine:
            if not is_mine:
                return False
            self._db.prepare(now)
            return upkeep.prune(self._db, self.retention, now)

    def add_token(self, name: str, digest: str, now: float) -> None:
        """Keep a project's token by its digest. UsageError where it has one."""
        tokens.add(self._db, name, digest, now)

    def revoke_token(self, name: str, now: float) -> bool:
        """False where there is none."""
        return tokens.revoke(self._db, name, now)

    def tokens(self) -> list[TokenRow]:
        """All that there are and were, by name."""
        return tokens.rows(self._db)

    def project_of(self, digest: str) -> str | None:
        """Whose token it is; None: nobody's, or it was revoked."""
        return tokens.project_of(self._db, digest)

    def _span(self, names: Sequence[str], since: float, until: float, points: int) -> Span:
        until = max(until, since + 1)
        return Span(names, since, until, max(1, points), self.retention, time.time())
