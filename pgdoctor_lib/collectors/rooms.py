"""The databases of a server: whoever works in one is alone in it, and few sessions are kept when nobody works.

A kept session saves planning, and takes a connection that others may need: so a server gives no more than a third of
its connections for them, and none once two thirds are taken.
"""

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.session import Session

KEPT_S = 600.0  # at most: what is learnt at its beginning grows old, and its memory on the server grows
SCARCE_S = 600.0  # after nobody was let in for want of connections, none is kept
_SHARE = 3  # one of so many connections
_FREE = 20  # of those that PGDoctor's role may have: for cycles at work, and to cancel
_LEAST = 3  # that a database takes


class Room:
    """One database, for one role and whoever collects from it. `session`: kept since the last time, or None.

    `database`: which, and for which role, whatever tells them apart; `is_left`: nobody collects from it any more.
    """

    def __init__(self, database: Hashable) -> None:
        self.database = database
        self._lock = threading.Lock()
        self.session: Session | None = None
        self.opened_at = 0.0
        self.is_left = False

    @contextmanager
    def alone(self, limit_s: float) -> Iterator[None]:
        """Nobody else is in it meanwhile. `DatabaseError` where somebody stays for longer than `limit_s`."""
        if not self._lock.acquire(timeout=limit_s):
            raise DatabaseError("another session of PGDoctor is still at work in this database")
        try:
            yield
        finally:
            self._lock.release()

    def take(self, now: float) -> Session | None:
        """The session that is kept, which is then the taker's; one that is too old is closed."""
        session, self.session = self.session, None
        if session and now - self.opened_at >= KEPT_S:
            session.close()
            return None
        return session

    @contextmanager
    def lent(self, now: float) -> Iterator[Session | None]:
        """The session that is kept, for a moment; None where there is none, or somebody is at work here."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            session = self.take(now)
            try:
                yield session
            except BaseException:
                if session:
                    session.close()
                raise
            if session and session.is_open:
                self.keep(session)
        finally:
            self._lock.release()

    def keep(self, session: Session) -> None:
        """For the next time; where there will be none, it ends."""
        if self.is_left:
            session.close()
        else:
            self.session = session

    def leave(self) -> None:
        """End the session that is kept, now or once it is given back."""
        self.is_left = True
        if self.session:
            self.session.close()
            self.session = None


class Rooms:
    """All of a server's that somebody collects from, or is in."""

    def __init__(self) -> None:
        self._rooms: WeakSet[Room] = WeakSet()
        self._scarce_until = 0.0

    def room(self, database: Hashable) -> Room:
        """One for somebody who collects from this database: nobody waits for another's that hangs."""
        room = Room(database)
        self._rooms.add(room)
        return room

    def any_room(self, database: Hashable) -> Room:
        """One of those who collect from it, rather with a session that is kept; else one for those who come by."""
        here = (room for room in self._rooms if room.database == database and not room.is_left)
        return max(here, key=lambda room: room.session is not None, default=None) or self.room(database)

    def refused(self, now: float) -> None:
        """The server had no connection left: those that are kept are given up, each when its turn comes."""
        self._scarce_until = now + SCARCE_S

    def may_keep(self, session: Session, now: float) -> bool:
        """Whether this session may be kept, too. What counts is what the server said when it began."""
        limits = session.facts.connections
        if now < self._scarce_until or limits.taken * _SHARE > limits.usable * (_SHARE - 1):
            return False
        most = max(1, limits.usable // _SHARE)
        if limits.of_role >= 0:
            most = min(most, limits.of_role - _FREE)
        if 0 <= limits.of_database < _LEAST:
            most = 0
        return sum(room.session is not None for room in self._rooms) < most
