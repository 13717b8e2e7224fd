"""What is kept of earlier snapshots: of a database its own sections; of a server, among its databases, the server's.

Of what checks compare, an earlier reading is kept, from half an hour to an hour old as soon as the agent runs for as
long; and a late one of what a check reads beside its own section. They are kept compressed: a few kB a database.
"""

import contextlib
import zlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pgdoctor_lib.checks.document import Document, Part, epoch
from pgdoctor_lib.checks.registry import checks
from pgdoctor_lib.checks.state import State
from pgdoctor_lib.collectors.registry import every_s
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.snapshot import Snapshot, iso_time

WINDOW_S = 3600.0  # what is compared with is no older, if the interval allows
_APART_S = WINDOW_S / 2
_RENEWED_S = 300.0
_BRINGS = b'"server":{'  # a body without it is not worth parsing


@dataclass(frozen=True)
class Kept:
    """A section of an earlier snapshot, of the database that is configured as `name`."""

    name: str
    snapshot_id: str
    taken_at: float
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, snapshot: Snapshot, text: str) -> "Kept":
        """That section's text, compressed."""
        packed = zlib.compress(text.encode("utf-8", "replace"), 1)
        return cls(snapshot.name, snapshot.snapshot_id, moment(snapshot), packed)

    def part(self) -> Part:
        """For a document."""
        return Part(self.packed, self.taken_at)


@dataclass
class Readings:
    """By a section's name: `latest`, and `earlier`, the oldest first."""

    latest: dict[str, Kept] = field(default_factory=dict)
    earlier: dict[str, deque[Kept]] = field(default_factory=dict)
    _started: object = None

    def meet(self, started: object) -> None:
        """A server that started since, or another one after a failover, counts anew: nothing is to be compared with."""
        if started and self._started not in (None, started):
            self.earlier.clear()
        self._started = started or self._started

    def before(self, now: Document) -> dict[str, Kept]:
        """What it is compared with: of each section one that was read before its own."""
        taken_at = {name: now.taken_at(name) if now.has(name) else now.collected_at for name in self.earlier}
        found = {name: _before(kept, taken_at[name]) for name, kept in self.earlier.items()}
        return {name: kept for name, kept in found.items() if kept}

    def add_latest(self, name: str, snapshot: Snapshot, text: str) -> None:
        """The newest reading; of what each cycle brings, which is rarely missed, one that is not much older."""
        kept = self.latest.get(name)
        is_known = kept and kept.name == snapshot.name and snapshot.collected_at - kept.taken_at < _RENEWED_S
        if not is_known or every_s(name):
            self.latest[name] = Kept.of(snapshot, text)

    def add_earlier(self, name: str, snapshot: Snapshot, text: str) -> None:
        """The newest reading, half an hour apart from the one before; the oldest goes when the next is old enough."""
        kept = self.earlier.setdefault(name, deque())
        if not kept or snapshot.collected_at - kept[-1].taken_at >= _APART_S:
            kept.append(Kept.of(snapshot, text))
        while len(kept) > 2 and snapshot.collected_at - kept[0].taken_at > WINDOW_S:
            kept.popleft()


@dataclass
class Common(Readings):
    """A server's. `state`: what its checks last said, whichever database brought that along; `told`: of it, by id."""

    state: State | None = None
    told: Mapping[str, Finding] = field(default_factory=dict)

    def resume(self, bodies: Iterable[bytes]) -> None:
        """Go on from the latest snapshot of an earlier run that brought the server along: what was told is known."""
        latest, state = 0.0, None
        for body in bodies:
            if _BRINGS in body:
                with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    document = Document.parse(body)
                    if document.has("server") and document.collected_at > latest:
                        latest, state = document.collected_at, State.after(document)
        if state and self.state is None:  # while bodies were read, a cycle may have told of the server
            self.take(state)

    def take(self, state: State, told: Mapping[str, Finding] | None = None) -> None:
        """What is the server's of a database's. `told`: else what it shows."""
        self.state = state.of_checks(is_of_server)
        known = {each.id: each for each in state.shown} if told is None else told
        self.told = {key: each for key, each in known.items() if is_of_server(each.check)}


def is_of_server(check: str) -> bool:
    """Whether that check's findings are the server's, not one database's."""
    return check in checks() and checks()[check].scope == "server"


def moment(snapshot: Snapshot) -> float:
    """As whoever reads the snapshot takes it: to the millisecond."""
    return epoch(iso_time(snapshot.collected_at)) or 0.0


def _before(kept: Iterable[Kept], at: float) -> Kept | None:
    """Of those before `at` the oldest within an hour, else the newest."""
    older = [each for each in kept if each.taken_at < at]
    return next((each for each in older if at - each.taken_at <= WINDOW_S), older[-1] if older else None)
