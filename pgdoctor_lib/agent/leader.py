"""Who collects, where several daemons have the same configuration: the one that holds the server's lease.

Where no lease can be had, every daemon collects: their snapshots of a slot have one id (`slots.py`), and the endpoint
keeps the first. So the lease saves the server work; that a snapshot is there once does not depend on it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.lease import Lease, Pooled, key_of
from pgdoctor_lib.secret import one_line

Role = Literal["leading", "standing by", "alone"]
_SHORTEST_S, _LONGEST_S = 0.25, 15.0  # from one sign of life to the next
_ANSWER_S = 2.0  # to a sign of life, at most
_SHORTEST_CONNECT_S, _LONGEST_CONNECT_S = 2.0, 5.0  # for one address
_AGAIN_S = 1.0  # until the next attempt to get in, at least
_DOORS = 3  # databases to try where the first one lets nobody in
_SECOND_BEST_S = 300.0  # until a pooler, or another database than the first, is looked at again
_MODEST_LOOKS = 2  # at a free lease, before one that is not ready takes it
_NEVER = -math.inf


class Leader:
    """The lease on the server that all of `targets` live on. `run` is the body of a greenlet.

    `note(text, level=…)` is called at each change of `role`. `realm`: what else two daemons must have in common to
    share the work, such as the endpoint. `is_busy()`: whether a cycle at this server is under way. If one is when this
    daemon does not lead, it hangs since it last did, and others are let go first.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        clock: Clock,
        note: Callable[..., None],
        realm: str = "",
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._doors = _doors(targets)
        self._clock = clock
        self._note = note
        self._is_busy = is_busy
        self._key = key_of(realm, *sorted(_identity(target) for target in targets))
        self._where = one_line(", ".join(map(str, targets[0].dsn.hosts)), 100)
        self._beat_s = _between(_SHORTEST_S, min(target.interval_s for target in targets) / 4, _LONGEST_S)
        self._lasts_s = 2 * self._beat_s
        self._lease: Lease | None = None
        self._look_again_at = math.inf
        self._seen_free = 0
        self._valid_until = _NEVER, _NEVER
        self._role: Role | None = None

    @property
    def identity(self) -> tuple[int, list[str]]:
        """The lock, and where it may be: two leaders with the same one want the same lease."""
        return self._key, [dsn.dbname for dsn in self._doors]

    def enter_by(self, other: "Leader") -> None:
        """From the next time that it must get in, do it as `other`, which has the same identity, would."""
        self._doors = other._doors

    @property
    def role(self) -> Role:
        """For people. "alone": no lease can be had, so this daemon collects whatever others do."""
        return self._role or "standing by"

    @property
    def is_undecided(self) -> bool:
        """Whether nothing is known of the lease yet."""
        return self._role is None

    def leads(self) -> bool:
        """Whether a cycle may begin now. Before anything is known of the lease: no.

        A lease that the server may have given to another by now, since this process or machine stood still, does not
        count: the monotonic clock tells, and the wall clock where the monotonic one stood still with the machine.
        """
        if self._role == "leading":
            return self._clock.monotonic() < self._valid_until[0] and self._clock.wall() < self._valid_until[1]
        return self._role == "alone"

    def run(self) -> None:
        """Get the lease, or wait for it, and keep it, for ever. When it is killed, the lease is free at once."""
        try:
            while True:
                began = self._clock.monotonic()
                next_look = began + self._look(began)
                self._clock.sleep(max(0.0, next_look - self._clock.monotonic()))
        finally:
            self._drop()

    def _look(self, now: float) -> float:
        """Give a sign of life, or try to get in. Seconds from `now` until the next look."""
        if self._lease:
            try:
                self._renew(self._lease)
                if now >= self._look_again_at:
                    self._try_first_door(now)
                return self._beat_s
            except (DatabaseError, DeadlineExceeded):
                pass  # why does not matter: what counts is whether we get in again
        self._drop()
        limit_s = _between(_SHORTEST_CONNECT_S, self._beat_s, _LONGEST_CONNECT_S)
        try:
            with deadline(limit_s * len(self._doors[0].hosts) * len(self._doors[0].passes) + 1, "the lease"):
                return self._enter(limit_s, now)
        except Pooled as error:
            return self._alone(error, _SECOND_BEST_S)
        except (DatabaseError, DeadlineExceeded) as error:
            return self._alone(error, max(self._beat_s, _AGAIN_S))

    def _try_first_door(self, now: float) -> None:
        """Where the first database lets us in by now, within a beat, the lease moves there."""
        self._look_again_at = now + _SECOND_BEST_S
        try:
            with deadline(self._beat_s, "the lease"):
                first = Lease.open(self._doors[0], self._key, self._lasts_s, self._beat_s)
        except (DatabaseError, DeadlineExceeded):
            return
        if self._lease:
            self._lease.close()
        self._lease, self._look_again_at = first, math.inf
        self._renew(first)

    def _enter(self, limit_s: float, now: float) -> float:
        """A session with the first database that lets us in; the first one's error where none does."""
        failure: DatabaseError | DeadlineExceeded | None = None
        for number, dsn in enumerate(self._doors):
            try:
                self._lease = Lease.open(dsn, self._key, self._lasts_s, limit_s)
                self._renew(self._lease)
            except Pooled:
                raise
            except (DatabaseError, DeadlineExceeded) as error:
                self._drop()
                failure = failure or error
            else:
                self._look_again_at = now + _SECOND_BEST_S if number else math.inf
                return self._beat_s
        assert failure
        raise failure

    def _renew(self, lease: Lease) -> None:
        limit_s = min(self._lasts_s, _ANSWER_S)
        if (
            not lease.held
            and not self.leads()
            and self._is_busy()
            and self._seen_free < _MODEST_LOOKS
            and lease.is_free(limit_s)
        ):
            self._seen_free += 1
            return
        self._seen_free = 0
        # The server hears of us later than this: it frees the lock `lasts_s` after that, never before our own limit.
        monotonic, wall = self._clock.monotonic(), self._clock.wall()
        if lease.renew(limit_s):
            valid_s = self._lasts_s * 7 / 8
            self._valid_until = monotonic + valid_s, wall + valid_s
            self._become("leading", "took over" if self._role == "standing by" else "this daemon collects")
        else:
            self._become("standing by", "another daemon collects; standing by")

    def _alone(self, error: DatabaseError | DeadlineExceeded, wait_s: float) -> float:
        self._drop()
        self._become("alone", f"collecting whatever other daemons do, for there is no lease: {error}", level="warning")
        return wait_s

    def _become(self, role: Role, text: str, level: str = "info") -> None:
        if role != self._role:
            self._role = role
            self._note(f"{self._where}: {text}", level=level)

    def _drop(self) -> None:
        self._valid_until = _NEVER, _NEVER
        if self._lease:
            self._lease.close()
            self._lease = None


def _doors(targets: Sequence[Target]) -> list[Dsn]:
    """Where the session may be: as a lock counts within a database only, the same order on every host."""
    doors = {(target.dsn.dbname, target.dsn.params.get("user")): target.dsn for target in reversed(targets)}
    return list(reversed(doors.values()))[:_DOORS]


def _identity(target: Target) -> tuple[object, ...]:
    """What makes two daemons' targets the same one. Which databases are discovered changes, and is no part of it."""
    hosts = [(host.host, host.hostaddr, host.port) for host in target.dsn.hosts]
    rule = (target.discover.include, target.discover.exclude) if target.discover else ()
    return target.name, hosts, target.dsn.dbname, float(target.interval_s), *rule


def _between(least: float, value: float, most: float) -> float:
    return min(max(least, value), most)
