"""What happened at a server while it was crowded: each second of it, recorded between two snapshots.

The agent looks every ten seconds how many client sessions work, and how many wait for a lock. Where more do than is
usual there, or than the option `recorder` allows, it records each second for up to a minute. The section is in each
snapshot that the daemon takes, mostly without a row; a recording is told as far as it has come, and once more when it
has gone on, or ended, since. Usual is what the last hour or so was like: at 5 that wait, or at 10 that work, and at
twice the average and four deviations more than that, a recording begins. A crowd that the agent starts in is not to be
usual: of those that wait in its first minute 5 count. That many work then may well be usual, and is taken for it.

| key | what |
|---|---|
| `rows` | recordings, three at most: see below |
| `total` | `count`, the same; `waiting_usual` and `active_usual`: averages, `null` until they are known |
| `more` | 0 |

| of `rows` | what |
|---|---|
| `started_at`, `ended_at` | its first and its last second, by the server's clock |
| `before_s` | for how long they had waited by then, as their statements' age tells: at most since the look before |
| `is_over` | `false`: it goes on, and the next snapshot tells all of it |
| `waiting_line`, `active_line`, `is_set` | what was crossed; whether the option set it |
| `peak_waiting_count`, `peak_active_count` | at the worst moment |
| `samples` | a list each: seconds since it started, active, waiting |
| `gaps` | where nobody looked for more than 3 seconds: from and to, in seconds since it started |
| `sessions` | 40 at most, those in others' way first: as in `activity` when last seen; `first_s` and `last_s` since \
it started, `seen_count` samples; of `query` the first 300 characters; |
| `blocked` | 60 at most: `pid`, `blocking_pid` (0: a prepared transaction), `first_s`, `last_s`, `seen_count` |
| `roots` | ten at most, the worst first: `pid` of who waited for nobody, `peak_blocked_count` of those who waited for \
it, directly or not, and `seen_count` |
| `waits` | what active sessions waited for, by seconds of sessions: "Lock: tuple", "running" |
"""

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from pgdoctor_lib.collectors import texts
from pgdoctor_lib.collectors.registry import Asked, query, statement, took_ms
from pgdoctor_lib.collectors.rooms import Room
from pgdoctor_lib.collectors.usual import Usual
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.values import LEARNT, Lines
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.session import Session, senseless
from pgdoctor_lib.snapshot import Collected, CollectorError, Cost, Section, iso_time

NAME = "recorder"
SECTION = "recording"
LOOK_S = 10.0  # from one look to the next
SAMPLE_S = 1.0
ASK_S = 1.0  # for an answer
STEP_S = ASK_S + 0.3  # after which a step is given up
MOST_SAMPLES = 60
QUIET = 5  # samples under the line end it
LASTS_S = 150.0  # a cycle that comes in between takes time, too
MOST_AN_HOUR = 6
APART_S = 600.0  # where the crowd does not go away, from one beginning to the next
MOST_WAITING = 3  # recordings to be told
MOST_SESSIONS = 40
MOST_EDGES = 60
MOST_ROOTS = 10
_GAP_S = 3.0
_YEAR_5138 = 1e11
_MOST_CHARS = 100_000  # of one sample
_WAITING_FLOOR, _ACTIVE_FLOOR = 5, 10


@dataclass
class Recording:
    """One. `lines`: waiting and active, what was crossed; times in epoch seconds, by the server.

    `unseen_s`: for how long nobody had looked before it; `told`: of how many samples, and whether it was over then.
    """

    lines: tuple[float, float]
    is_set: bool
    unseen_s: float = 0.0
    before_s: float = 0.0
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    sessions: dict[Any, dict[str, Any]] = field(default_factory=dict)
    blocked: dict[tuple[Any, Any], dict[str, Any]] = field(default_factory=dict)
    roots: dict[Any, dict[str, Any]] = field(default_factory=dict)
    waits: Counter[str] = field(default_factory=Counter)
    quiet: int = 0
    is_over: bool = False
    told: tuple[int, bool] = (0, False)

    def add(self, found: Mapping[str, Any]) -> None:
        """One second more: the row of recorder.sample.sql."""
        now, active, waiting = _number(found, "now", _YEAR_5138), _whole(found, "active"), _whole(found, "waiting")
        lasted = now - self.samples[0][0] if self.samples else 0.0
        if not 0 <= lasted < LASTS_S:  # nobody looked for long, or the clock was set: that is another moment
            self.is_over, self.quiet = True, QUIET
            return
        if not self.samples:
            self.before_s = min(self.unseen_s, _waited_s(found, waiting, self.lines[0]))
        at = round(lasted, 1)
        self.samples.append((now, active, waiting))
        above = waiting >= self.lines[0] or active >= self.lines[1]
        self.quiet = 0 if above else self.quiet + 1
        self.waits.update({event: _whole(found["waits"], event) for event in found["waits"]})
        self._see(found, at)
        self.is_over = self.quiet >= QUIET or len(self.samples) >= MOST_SAMPLES

    @property
    def state(self) -> tuple[int, bool]:
        """As far as it has come: samples, and whether it is over."""
        return len(self.samples), self.is_over

    def _see(self, found: Mapping[str, Any], at: float) -> None:
        """Who was there. What was seen in most samples stays, of sessions those in others' way before all."""
        edges = _edges(_rows(found, "edges"))
        for session in _rows(found, "sessions"):
            _see(self.sessions, session["pid"], session, at)
        for pid, blocking_pid in edges:
            _see(self.blocked, (pid, blocking_pid), {"pid": pid, "blocking_pid": blocking_pid}, at)
        for root, count in _roots(edges).items():
            known = _see(self.roots, root, {"pid": root}, at)
            known["peak_blocked_count"] = max(count, known.get("peak_blocked_count", 0))
        self.roots = _most(self.roots, MOST_ROOTS, lambda pid: 1000 * self.roots[pid]["peak_blocked_count"])
        self.sessions = _most(self.sessions, MOST_SESSIONS, lambda pid: 1000 * (pid in self.roots))
        self.blocked = _most(self.blocked, MOST_EDGES, lambda edge: 1000 * (edge[1] in self.roots))

    def as_json(self) -> dict[str, Any]:
        """A row of the section."""
        start = self.samples[0][0]
        times = [round(now - start, 1) for now, _, _ in self.samples]
        waiting_line, active_line = (None if math.isinf(line) else round(line, 1) for line in self.lines)
        return {
            "started_at": iso_time(start),
            "ended_at": iso_time(self.samples[-1][0]),
            "before_s": round(self.before_s, 1),
            "is_over": self.is_over,
            "waiting_line": waiting_line,
            "active_line": active_line,
            "is_set": self.is_set,
            "peak_waiting_count": max(waiting for _, _, waiting in self.samples),
            "peak_active_count": max(active for _, active, _ in self.samples),
            "samples": [[at, active, waiting] for at, (_, active, waiting) in zip(times, self.samples, strict=True)],
            "gaps": [[at, until] for at, until in pairwise(times) if until - at > _GAP_S],
            "sessions": list(self.sessions.values()),
            "blocked": list(self.blocked.values()),
            "roots": sorted(self.roots.values(), key=lambda root: -root["peak_blocked_count"]),
            "waits": dict(self.waits.most_common(10)),
        }


class Recorder:
    """A server's. `lines`: what the configuration sets; None: nothing is looked at, nor recorded."""

    def __init__(self, lines: Lines | None = None) -> None:
        self.lines = lines
        self._waiting, self._active = Usual(_WAITING_FLOOR, at_first=_WAITING_FLOOR), Usual(_ACTIVE_FLOOR)
        self._recordings: list[Recording] = []
        self._begun: deque[float] = deque(maxlen=MOST_AN_HOUR)
        self._goes_on = False  # the last one ended with its minute, not with the crowd
        self._looked: float | None = None
        self._spent = Cost(0.0, 0, 0)
        self._error: CollectorError | None = None

    @property
    def wait_s(self) -> float:
        """From one step to the next: short while a recording goes on."""
        return LOOK_S if self._recording is None else SAMPLE_S

    def look(self, room: Room, query_text: QueryText) -> float:
        """A step in the session that is kept in the room, without waiting for it: seconds until the next.

        Infinite where there is none before the next cycle. What goes wrong is told with the next snapshot.
        """
        if self.lines is None:
            return math.inf

        def step() -> float:
            with room.lent(now := time.monotonic()) as session:
                return self.step(session, query_text, now) if session else self.wait_s

        return self._tried(step)

    def look_along(self, session: Session, query_text: QueryText) -> None:
        """In a cycle, by its session: a second more of a recording that goes on, for in between nobody looks."""
        if self.lines is not None and self._recording:
            self._tried(lambda: self.step(session, query_text, time.monotonic()))

    def _tried(self, step: Callable[[], float]) -> float:
        """What the step says; infinite where something goes wrong."""
        try:
            return step()
        except DeadlineExceeded:
            pass  # the server hangs: the next cycle tells
        except DatabaseError as error:
            if error.sqlstate and not error.sqlstate.startswith(("08", "57P")):
                self._error = CollectorError(NAME, error.message)
        except Exception as error:  # noqa: BLE001 (a border: a server may send anything)
            self._error = _internal(error)
        return math.inf

    def step(self, session: Session, query_text: QueryText, now: float) -> float:
        """Look, or record a second, in a session that is nobody else's meanwhile: seconds until the next step.

        `now`: monotonic. Raises `DatabaseError`, or `DeadlineExceeded`, after which the session is closed.
        """
        with deadline(STEP_S, "the recorder's look"):
            unseen_s = LOOK_S if self._looked is None else now - self._looked
            lines = self._crossed()
            if self._recording is None and not self._is_crowded(session, now, lines):
                return LOOK_S
            found = self._ask(session, query(f"{NAME}.sample").sql(session.facts.has, **texts.variables(query_text)))
        recording = self._recording or self._begun_now(now, unseen_s, lines)
        recording.add(found)
        self._looked = now
        self._goes_on = recording.is_over and recording.quiet == 0
        return self.wait_s

    def with_section(self, collected: Collected, *, is_servers: bool) -> Collected:
        """With the section; `is_servers`: of the database that tells of its server, else it has no row."""
        if self.lines is None:
            return collected
        rows, costs, errors = self._news() if is_servers else [], dict(collected.costs), collected.errors
        if is_servers:
            costs[NAME], self._spent = self._spent, Cost(0.0, 0, 0)
            errors, self._error = ((*errors, self._error) if self._error else errors), None
        usual = {f"{name}_usual": _rounded(of) for name, of in (("waiting", self._waiting), ("active", self._active))}
        total = _json({"count": len(rows), **usual})
        section = Section(SECTION, f'{{"rows":[{",".join(rows)}],"total":{total},"more":0}}')
        return replace(collected, sections=(*collected.sections, section), costs=costs, errors=errors)

    @property
    def _recording(self) -> Recording | None:
        """That which goes on."""
        return next((each for each in self._recordings if not each.is_over), None)

    def _news(self) -> list[str]:
        """Rows. What cannot be told is forgotten, or the next cycle would fail of it, too."""
        try:
            rows = [_json(each.as_json()) for each in self._recordings if each.state != each.told]
        except Exception as error:  # noqa: BLE001 (a border: a server may have sent anything)
            rows, self._error = [], _internal(error)
            self._recordings.clear()
        self._forget()
        return rows

    def _forget(self) -> None:
        """What was told, and is over."""
        for each in self._recordings:
            each.told = each.state
        self._recordings = [each for each in self._recordings if not each.is_over]

    def _crossed(self) -> tuple[float, float]:
        """How many that wait, and that work, are a crowd."""
        lines = self.lines or LEARNT
        return (
            self._waiting.line if lines.waiters is None else lines.waiters,
            self._active.line if lines.active is None else lines.active,
        )

    def _is_crowded(self, session: Session, now: float, lines: tuple[float, float]) -> bool:
        """Whether a recording is to begin."""
        found = self._ask(session, query(f"{NAME}.look").sql(session.facts.has))
        active, waiting = _whole(found, "active"), _whole(found, "waiting")
        self._learn(active, waiting)
        self._looked = now
        if waiting < lines[0] and active < lines[1]:
            self._goes_on = False
            return False
        full = len(self._begun) == MOST_AN_HOUR and now - self._begun[0] < 3600
        early = self._goes_on and now - self._begun[-1] < APART_S
        return not full and not early and len(self._recordings) < MOST_WAITING

    def _learn(self, active: int, waiting: int) -> None:
        """Those that wait beyond what is usual do not count among those that work either."""
        crowd = waiting - self._waiting.learn(waiting)
        self._active.learn(max(0, active - crowd))

    def _begun_now(self, now: float, unseen_s: float, lines: tuple[float, float]) -> Recording:
        self._begun.append(now)
        self._recordings.append(Recording(lines, self.lines != LEARNT, unseen_s))
        return self._recordings[-1]

    def _ask(self, session: Session, sql: str) -> dict[str, Any]:
        """The one row, by its columns."""
        part = Asked(NAME, (f"SELECT row_to_json(t)::text FROM (\n{sql}\n) t",))
        before, text, after, _ = session.ask(statement((part,)), 4, ASK_S)
        spent = self._spent
        ms = round(spent.ms + took_ms(before, after), 3)
        self._spent = Cost(ms, spent.rows + 1, spent.bytes + len(text or ""))
        try:
            found = json.loads((text or "")[:_MOST_CHARS])
        except (ValueError, RecursionError):
            raise senseless() from None
        if not isinstance(found, dict):
            raise senseless()
        return found


def _see(seen: dict[Any, dict[str, Any]], key: Any, row: Mapping[str, Any], at: float) -> dict[str, Any]:
    """It is there, as `row` says, `at` seconds after the start."""
    known = seen.setdefault(key, {"first_s": at, "seen_count": 0})
    known.update(row)
    known.update(last_s=at, seen_count=known["seen_count"] + 1)
    return known


def _most(seen: dict[Any, dict[str, Any]], most: int, weight: Callable[[Any], int]) -> dict[Any, dict[str, Any]]:
    """Those that weigh most, and were seen in most samples."""
    if len(seen) <= most:
        return seen
    ordered = sorted(seen.items(), key=lambda item: -(weight(item[0]) + int(item[1]["seen_count"])))
    return dict(ordered[:most])


def _waited_s(found: Mapping[str, Any], waiting: int, line: float) -> float:
    """For how long as many as the line have waited, or been at their statement; 0 where it is not known."""
    ages = [row.get("query_age_s") for row in _rows(found, "sessions") if row.get("wait_event_type") == "Lock"]
    known = sorted((float(age) for age in ages if isinstance(age, int | float)), reverse=True)
    return max(0.0, known[math.ceil(line) - 1]) if line <= min(waiting, len(known)) else 0.0


def _edges(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    """Who waits, and who is in the way; of many in the way the first ten."""
    return [(row["pid"], each) for row in rows for each in list(dict.fromkeys(row.get("blocking_pids") or ()))[:10]]


def _roots(edges: Iterable[tuple[Any, Any]]) -> dict[Any, int]:
    """Who waits for nobody, and how many wait for it, directly or behind others."""
    above: dict[Any, list[Any]] = {}
    for pid, blocking_pid in edges:
        above.setdefault(pid, []).append(blocking_pid)
    found: Counter[Any] = Counter()
    for pid, blocking_pids in above.items():
        seen, coming = {pid}, [*blocking_pids]
        while coming:
            one = coming.pop()
            if one not in seen:
                seen.add(one)
                coming += above.get(one, ())
                found[one] += one not in above
    return +found


def _rounded(usual: Usual) -> float | None:
    return round(usual.mean, 1) if usual.is_known else None


def _number(found: Mapping[str, Any], key: str, most: float = 1e9) -> float:
    """A server that is none may say anything."""
    value = found.get(key)
    if not (isinstance(value, int | float) and 0 <= value < most):
        raise senseless()
    return value


def _whole(found: Mapping[str, Any], key: str) -> int:
    return int(_number(found, key))


def _rows(found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Rows that have a pid."""
    rows = found.get(key)
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("pid"), int)] if rows else []


def _json(told: object) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _internal(error: Exception) -> CollectorError:
    return CollectorError(NAME, f"internal error: {type(error).__name__}: {error}")
