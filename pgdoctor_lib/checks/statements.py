"""Statements between two snapshots: how often each ran meanwhile, what that took, and how it is named."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, NotExamined, Row, epoch
from pgdoctor_lib.checks.sessions import told

_KEYS = ("queryid", "userid", "toplevel")
_COUNTERS = ("calls", "rows", "total_exec_time_ms", "shared_blks_hit", "shared_blks_read", "temp_blks_written")
_EXPLAINED = re.compile(r"\W*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Ran:
    """A statement, added up over roles. `before` and `now`: its counters; `seconds` between; `text`: "" if unknown."""

    queryid: str
    text: str
    roles: Sequence[str]
    before: Mapping[str, float]
    now: Mapping[str, float]
    seconds: float

    def by(self, counter: str) -> float:
        """What a counter grew by."""
        return self.now[counter] - self.before[counter]

    @property
    def calls(self) -> float:
        """How often it ran."""
        return self.by("calls")

    @property
    def time_ms(self) -> float:
        """What that took."""
        return self.by("total_exec_time_ms")

    @property
    def mean_ms(self) -> float:
        """What a call took."""
        return self.time_ms / self.calls if self.calls else 0.0

    @property
    def name(self) -> str:
        """For people: how it begins, or its queryid alone."""
        return f"{told(self.text)} (queryid {self.queryid})" if self.text else f"queryid {self.queryid}"

    @property
    def evidence(self) -> dict[str, object]:
        """Its counters before and after."""
        counters = {key: {"before": self.before[key], "now": self.now[key]} for key in _COUNTERS}
        words = {"queryid": self.queryid, "query": told(self.text, 500) or None, "roles": list(self.roles[:10])}
        return {**words, "seconds": round(self.seconds), "mean_ms": round(self.mean_ms, 3), **counters}

    @property
    def remedy(self) -> str:
        """How to see where its time goes. It runs nothing: values are missing, and it may write."""
        words = "-- see where its time goes, with values in place of $1, …; ANALYZE executes it: if it writes, within\n"
        words += "-- BEGIN and ROLLBACK\n"
        if self.text:
            return f"{words}-- EXPLAIN (ANALYZE, BUFFERS) {told(self.text, 500)}\n"
        where = f"-- its text: SELECT query FROM pg_stat_statements WHERE queryid = {told(self.queryid)} LIMIT 1;\n"
        return f"{where}{words}-- EXPLAIN (ANALYZE, BUFFERS) …\n"


def ran(now: Document, before: Document) -> list[Ran]:
    """What was sent by clients and has a plan, the most time first.

    Raises `NotExamined` where there is nothing to compare with, statements are hidden, or none is recorded.
    """
    _examine(now)
    seconds = _seconds(now, before)
    return now.once(("ran", before), lambda: _all(now, before, seconds))


def _all(now: Document, before: Document, seconds: float) -> list[Ran]:
    found: dict[str, list[tuple[Row, Row]]] = {}
    for row, was in _pairs(now, before):
        found.setdefault(str(row.get("queryid")), []).append((row, was))
    statements = [_ran(queryid, pairs, seconds, now, before) for queryid, pairs in found.items()]
    explained = (one for one in statements if not one.text or _EXPLAINED.match(one.text))
    return sorted(explained, key=lambda one: one.time_ms, reverse=True)


def time_ms(now: Document, before: Document) -> float:
    """What all of this database's statements took between the two, PGDoctor's own left out."""
    by = delta.total(now, before, "queries", ("total_exec_time_ms", "own_exec_time_ms")).by
    return max(0.0, by["total_exec_time_ms"] - by["own_exec_time_ms"])


def read_at(document: Document) -> float:
    """When its statements were read: by the server's clock, where that is told, as all that they say of themselves."""
    return epoch(document.total("queries").get("read_at")) or document.taken_at("queries")


def _examine(now: Document) -> None:
    total = now.total("queries")
    if total.get("hidden_count") or total.get("recording") is False:
        raise NotExamined(now.errors.get("queries") or "statements are hidden, or none is recorded")


def _seconds(now: Document, before: Document) -> float:
    elapsed = delta.total(now, before, "queries", ("calls",)).seconds
    read, was_read = (epoch(each.total("queries").get("read_at")) for each in (now, before))
    return max(1.0, read - was_read) if read and was_read else elapsed


def _pairs(now: Document, before: Document) -> Iterable[tuple[Row, Row]]:
    """Rows of now and before. One that is new counts from zero, where the server tells since when it counts."""
    old, was_read = {_key(row): row for row in before.rows("queries")}, read_at(before)
    for row in now.rows("queries"):
        since = row.get("stats_since")
        was = old.get(_key(row))
        if was is None and (epoch(since) or 0) > was_read:
            was = {"stats_since": since}
        if row.get("toplevel") is False or was is None or was.get("stats_since") != since:
            continue
        if (row.get("calls") or 0) > (was.get("calls") or 0) and delta.grown(row, was, _COUNTERS):
            yield row, was


def _key(row: Row) -> tuple[object, ...]:
    return tuple(row.get(key) for key in _KEYS)


def _ran(queryid: str, pairs: Sequence[tuple[Row, Row]], seconds: float, now: Document, before: Document) -> Ran:
    def added(rows: Iterable[Row]) -> Mapping[str, float]:
        counts = list(rows)
        return {counter: sum(row.get(counter) or 0 for row in counts) for counter in _COUNTERS}

    text = now.query_text(queryid) or before.query_text(queryid) or ""
    roles = sorted({str(row["rolname"]) for row, _ in pairs if row.get("rolname")})
    return Ran(queryid, text, roles, added(was for _, was in pairs), added(row for row, _ in pairs), seconds)
