"""Statements of two snapshots: how often each ran and what that took, up to the first and from there to the second.

Pure. A statement is its rows of all roles together; what functions ran within themselves is left out, since the caller
has that time too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.statements import read_at

LEAST_CALLS, LEAST_MS, FACTOR = 10, 1.0, 1.5  # less than that is noise
_LEAST_NEW_MS = 100.0  # in all: a statement that ran but once is told from here on


@dataclass(frozen=True)
class Counts:
    """Calls, and what they took in all, milliseconds."""

    calls: float = 0.0
    total_ms: float = 0.0

    @property
    def mean_ms(self) -> float:
        """What a call took."""
        return self.total_ms / self.calls if self.calls else 0.0


@dataclass(frozen=True)
class Statement:
    """One in two periods. `text`: "" where nothing tells it."""

    queryid: str
    text: str
    before: Counts
    after: Counts

    @property
    def factor(self) -> float:
        """How many times longer a call takes."""
        return self.after.mean_ms / self.before.mean_ms if self.before.mean_ms else 0.0

    @property
    def extra_ms(self) -> float:
        """What its calls took more in the second period than they would have before."""
        return (self.after.mean_ms - self.before.mean_ms) * self.after.calls

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        counts = {
            key: {**asdict(each), "mean_ms": each.mean_ms}
            for key, each in (("before", self.before), ("after", self.after))
        }
        factor = float(f"{self.factor:.3g}") if self.before.mean_ms else None
        return {"queryid": self.queryid, "query": self.text or None, **counts, "factor": factor}


@dataclass(frozen=True)
class Statements:
    """What became of them, those that matter most first.

    `comparable`: how many ran often enough in both periods. `before_s`: how long counters had run at the first
    snapshot, None where the server does not tell; `after_s`: from there to the second, or since counters were reset in
    between, as `was_reset` says.
    """

    slower: Sequence[Statement] = ()
    faster: Sequence[Statement] = ()
    new: Sequence[Statement] = ()
    gone: Sequence[Statement] = ()
    comparable: int = 0
    before_s: float | None = None
    after_s: float = 0.0
    was_reset: bool = False


def statements(first: Document, second: Document, *, counters_go_on: bool) -> Statements:
    """Raises `NotExamined` where one of them has no statements. `counters_go_on`: it is the same server's database."""
    old, new = _by_id(first), _by_id(second)
    read, was_read = read_at(second), read_at(first)
    began, reset = (epoch(each.total("queries").get("stats_reset")) for each in (first, second))
    was_reset = not counters_go_on or bool(reset and reset > was_read) or _fell(old, new)
    before_s = max(0.0, was_read - began) if began else None
    after_s = read - (reset if was_reset and reset else was_read)
    found = [_statement(key, old.get(key, Counts()), new.get(key, Counts()), was_reset) for key in {**old, **new}]
    named = [_named(each, first, second) for each in found]
    compared = [each for each in named if min(each.before.calls, each.after.calls) >= LEAST_CALLS]
    changed = [each for each in compared if max(each.before.mean_ms, each.after.mean_ms) >= LEAST_MS]
    slower = [each for each in changed if each.factor >= FACTOR]
    faster = [each for each in changed if each.factor * FACTOR <= 1]
    fresh = [each for each in named if each.queryid not in old and _is_new(each, first, second)]
    gone = [each for each in named if _is_gone(each, new, second, before_s, after_s)]
    return Statements(
        sorted(slower, key=lambda each: -each.extra_ms),
        sorted(faster, key=lambda each: each.extra_ms),
        sorted(fresh, key=lambda each: -each.after.total_ms),
        sorted(gone, key=lambda each: -each.before.total_ms),
        len(compared), before_s, max(0.0, after_s), was_reset,
    )  # fmt: skip


def _by_id(document: Document) -> dict[str, Counts]:
    rows: dict[str, list[Row]] = {}
    for row in document.rows("queries"):
        if row.get("toplevel") is not False and row.get("queryid") is not None:
            rows.setdefault(str(row["queryid"]), []).append(row)
    return {key: Counts(_sum(found, "calls"), _sum(found, "total_exec_time_ms")) for key, found in rows.items()}


def _sum(rows: Iterable[Row], counter: str) -> float:
    return sum(float(row.get(counter) or 0) for row in rows)


def _fell(old: Mapping[str, Counts], new: Mapping[str, Counts]) -> bool:
    """Most counters fell: all were reset. One alone is a statement that was thrown out, and came again."""
    both = old.keys() & new.keys()
    fallen = sum(new[key].calls < old[key].calls for key in both)
    return bool(both) and fallen * 2 > len(both)


def _statement(key: str, was: Counts, now: Counts, was_reset: bool) -> Statement:
    if was_reset or now.calls < was.calls or now.total_ms < was.total_ms:
        return Statement(key, "", was, now)
    return Statement(key, "", was, Counts(now.calls - was.calls, now.total_ms - was.total_ms))


def _named(one: Statement, first: Document, second: Document) -> Statement:
    text = second.query_text(one.queryid) or first.query_text(one.queryid) or ""
    return Statement(one.queryid, text, one.before, one.after)


def _is_new(one: Statement, first: Document, second: Document) -> bool:
    """Not one that only was not told then: the server says since when it counts, or all were told."""
    if one.after.calls < LEAST_CALLS and one.after.total_ms < _LEAST_NEW_MS:
        return False
    since = [epoch(row.get("stats_since")) for row in second.rows("queries") if str(row.get("queryid")) == one.queryid]
    known = [each for each in since if each]
    return min(known) > read_at(first) if known else _told_all(first)


def _is_gone(
    one: Statement, new: Mapping[str, Counts], second: Document, before_s: float | None, after_s: float
) -> bool:
    """At its pace before it should have run meanwhile, and did not. Where nothing tells the pace: it is not there."""
    if one.before.calls < LEAST_CALLS or (one.after.calls and one.queryid in new):
        return False
    if one.queryid not in new and not _told_all(second):
        return False
    if before_s:
        return one.before.calls / before_s * after_s >= LEAST_CALLS
    return one.queryid not in new


def _told_all(document: Document) -> bool:
    """Whether it has all statements: the rest of the calls are PGDoctor's own."""
    total = document.total("queries")
    told = _sum(document.rows("queries"), "calls") + float(total.get("own_calls") or 0)
    return total.get("calls") is not None and told >= float(total["calls"])
