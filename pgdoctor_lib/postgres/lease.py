"""A lease: an advisory lock of a session that the server ends when its holder is no longer heard of.

The lock is the server's own, lasts as long as the session, and writes nothing. Three things end a session whose daemon
is gone: the connection's end (a killed process), the server's timer for silent sessions (a frozen one, a cut network),
and TCP's own (a dead host).

A session of PostgreSQL 14 and later is idle between two signs of life, and `idle_session_timeout` is the timer. Before
that there is one for idle transactions only, so each sign of life ends a transaction and begins the next; it holds no
snapshot, and so holds up no VACUUM.
"""

import hashlib
import json

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.connect import IsConsole, connect
from pgdoctor_lib.postgres.session import Session

_COMMIT = "COMMIT /* pgdoctor:lease */ WORK; "
_NEXT_TRANSACTION = f"{_COMMIT}BEGIN /* pgdoctor:lease */ ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE; "
_TIMER_SINCE = "pg >= 14"  # idle_session_timeout


class Pooled(DatabaseError):
    """Behind a pooler a lock would be left in a session that is somebody else's a moment later."""


class Lease:
    """One session, and the lock that it has or would like to have. Not shared between greenlets."""

    def __init__(self, session: Session, key: int, lasts_s: float) -> None:
        self.held = False
        self._session = session
        self._key = key
        self._is_timed = session.facts.has(_TIMER_SINCE)
        self._lasts_s = lasts_s

    @classmethod
    def open(cls, dsn: Dsn, key: int, lasts_s: float, limit_s: float) -> "Lease":
        """A session with the server that ends `lasts_s` seconds after the last sign of life.

        `limit_s` bounds each host. Raises `Pooled` where no lock can be had, `DatabaseError` where there is no session.
        """
        try:
            session = connect(dsn, connect_timeout_s=limit_s, total_s=limit_s * len(dsn.hosts) * len(dsn.passes))
        except IsConsole as error:
            raise Pooled(error.message) from None
        try:
            return cls(session, key, lasts_s)._begun(limit_s)
        except BaseException:
            session.close()
            raise

    def renew(self, limit_s: float) -> bool:
        """Give a sign of life, and try to get the lock where it is not held. Whether it is held now.

        Raises `DatabaseError` or `DeadlineExceeded`: the lease is lost.
        """
        self.held = self._ask("true" if self.held else f"pg_catalog.pg_try_advisory_lock({self._key})", limit_s)
        return self.held

    def is_free(self, limit_s: float) -> bool:
        """Give a sign of life. Whether nobody holds the lock, which is not taken. Raises as `renew` does."""
        shared = f"pg_catalog.pg_try_advisory_lock_shared({self._key})"
        release = f"pg_catalog.pg_advisory_unlock_shared({self._key})"
        return self._ask(f"CASE WHEN {shared} THEN {release} END", limit_s)

    def close(self) -> None:
        """End the session; that frees the lock at once."""
        self.held = False
        self._session.close()

    def _begun(self, limit_s: float) -> "Lease":
        """Find out about poolers before anything is set: settings, too, would be left to others there."""
        with deadline(limit_s, "the lease's session"):
            [pid] = self._session.row("SELECT /* pgdoctor:lease */ pg_catalog.pg_backend_pid()", 1)
            self._expect_own(pid)
            self._session.query(_settings(self._lasts_s, is_timed=self._is_timed))
            if not self._is_timed:
                self._session.query(_NEXT_TRANSACTION.removeprefix(_COMMIT))
        return self

    def _ask(self, what: str, limit_s: float) -> bool:
        """`what` is asked of our own backend only, should a pooler have slipped through."""
        own = f"pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {self._session.greeter_pid}"
        begin = "" if self._is_timed else _NEXT_TRANSACTION
        with deadline(limit_s, "the lease's sign of life"):
            pid, answer = self._session.row(
                f"{begin}SELECT /* pgdoctor:lease */ pg_catalog.pg_backend_pid(), CASE WHEN {own} THEN {what} END", 2
            )
        self._expect_own(pid)
        return answer == "t"

    def _expect_own(self, pid: str | None) -> None:
        if pid != str(self._session.greeter_pid):
            raise Pooled("a pooler is in between, behind which no lock can be held")


def _settings(lasts_s: float, *, is_timed: bool) -> str:
    """One statement that sets the session's limits for its whole life: it is nobody else's."""
    lasts_ms, third_s = str(int(lasts_s * 1000)), str(max(1, int(lasts_s / 3)))
    settings = {
        "search_path": "pg_catalog",
        "default_transaction_read_only": "on",
        "statement_timeout": "5000",
        "lock_timeout": "100",
        "idle_session_timeout" if is_timed else "idle_in_transaction_session_timeout": lasts_ms,
        "tcp_keepalives_idle": third_s,
        "tcp_keepalives_interval": third_s,
        "tcp_keepalives_count": "3",
    }
    columns = [f"pg_catalog.set_config('{name}', '{value}', false)" for name, value in settings.items()]
    # A server on a platform that cannot do it would say so in its log.
    user_timeout = f"pg_catalog.set_config('tcp_user_timeout', '{lasts_ms}', false)"
    columns.append(f"CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~) 'linux' THEN {user_timeout} END")
    return f"SELECT /* pgdoctor:lease */ {', '.join(columns)}"


def key_of(*identity: object) -> int:
    """The lock's number: the same wherever the same things identify it, 64 bits with a sign."""
    text = json.dumps(["pgdoctor lease 1", *identity])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
