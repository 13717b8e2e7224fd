"""The only door to a server: sessions that are bounded in time, read-only, and leave nothing behind.

libpq's own `connect_timeout`, host list and resolver do not cooperate with greenlets: names are looked
up first, then every address is tried alone, each under its own deadline, with `host` (for the
certificate and ~/.pgpass) and `hostaddr` (for the socket) both given.
"""

import _socket
import contextlib
import hashlib
import os
import random
import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import psycopg2
import psycopg2.extensions

from pgdoctor_lib.config.dsn import Dsn, Host
from pgdoctor_lib.config.passfile import remember_passwords
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.passwords import with_password
from pgdoctor_lib.postgres.resolve import addresses
from pgdoctor_lib.postgres.server import FACTS_COLUMNS, FACTS_SQL, Facts, parse_facts, require_supported
from pgdoctor_lib.secret import one_line

CONNECT_TIMEOUT_S = 5.0
CONNECT_TOTAL_S = 30.0  # for all hosts of a DSN together
MOST_BYTES = 64 * 1024**2  # of one answer: all of it lies in memory before the first row is seen
CANCEL_TIMEOUT_S = 2.0
LOCK_TIMEOUT_MS = 100
SHOW_S = 5.0  # for one answer of PgBouncer's console
MOST_SHOWN = 10_000  # rows of it: the rest is counted
_FACTS_S = 60.0  # at most, however long connecting may take
_LEAST_S = 0.1  # for one address, where there are very many
_GRACE_S = 2.0  # what the server gets to end a statement by itself before the client gives up on it
# A server on a platform that cannot do it (Windows) refuses any other value than 0.
_CHECK_CLIENT = (
    "CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~) 'linux'"
    " THEN pg_catalog.set_config('client_connection_check_interval', '1000', true) END"
)
_PLAIN_OIDS = (16, 20, 21, 23, 26, 114, 700, 701, 1700, 3802)
_PLAIN = psycopg2.extensions.new_type(_PLAIN_OIDS, "PLAIN", lambda value, cursor: value)

# Dsn.parse has looked the service up. libpq would do it again at each connection, and fill in what a DSN with a service
# of its own leaves out, the password too. unsetenv() takes the variable from libpq alone: os.environ, which the
# configuration reads and the background daemon inherits, keeps it. Done at import, while no thread reads variables.
os.unsetenv("PGSERVICE")

# What psycopg2 raises, beside its own, for bytes that make no sense to it.
_SENSELESS = (ValueError, TypeError, LookupError, OverflowError, SystemError)
_PROTOCOL_VIOLATION = "08P01"
_FROM_SERVER = re.compile(r"(?:^|failed: )\w+:  ", re.MULTILINE)  # the severity, in whatever language

_CONSOLE = re.compile(r"([0-9][\w.]{0,30})/bouncer", re.ASCII)  # what it says for a server's version
_NOT_ALLOWED = "not allowed"  # PgBouncer's word to who is no user of the console
_ALLOW = "name the user in stats_users in pgbouncer.ini, and RELOAD"
_NUMBERS = (20, 21, 23, 26, 1700)
_WHOLE = re.compile("-?[0-9]{1,20}")

Connection = psycopg2.extensions.connection
Row = tuple[str | None, ...]
Shown = dict[str, str | int | None]


class _Metered:
    """A connection as the wait for one answer sees it: with an end to what a server may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before = _bytes_received(connection)

    def fileno(self) -> int:
        return self._connection.fileno()

    def poll(self) -> int:
        if _bytes_received(self._connection) - self._before > MOST_BYTES:
            raise DatabaseError(f"the server sent more than {MOST_BYTES // 1024**2} MiB in answer to one statement")
        return self._connection.poll()


def _bytes_received(connection: Connection) -> int:
    """Since it was opened, as the kernel counts (Linux, TCP); else 0."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    try:
        view = _socket.socket(fileno=connection.fileno())  # of the plain kind: gevent's would change its mode
    except (psycopg2.Error, OSError):
        return 0
    try:
        return int(struct.unpack("Q", view.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)[128:])[0])
    except (OSError, struct.error):
        return 0
    finally:
        view.detach()


def _meter_waits() -> None:
    """Put the meter into how greenlets wait for libpq, where they do (pgdoctor.py has set that up)."""
    wait = psycopg2.extensions.get_wait_callback()
    if wait is not None:
        psycopg2.extensions.set_wait_callback(lambda connection: wait(_Metered(connection)))


_meter_waits()


class IsConsole(DatabaseError):
    """Somebody wanted a database, and it is PgBouncer's admin console."""


class _Refused(DatabaseError):
    """A server was reached, and did not let us in. libpq does not tell the SQLSTATE of that."""


class Session:
    """One connection to one database. Not shared between greenlets."""

    def __init__(self, connection: Connection, dsn: Dsn, host: Host, limit_s: float) -> None:
        self._connection = connection
        self._dsn = dsn
        self._host = host
        self._statement_timeout_s = limit_s  # of the latest transaction
        self._backend_pid = 0  # of the transaction under way: behind a pooler, the next one may have another
        self._opening = ""  # of a transaction that nothing has been asked in yet
        self._prepared: set[str] = set()
        self.is_direct = False  # no pooler is in between
        self.prepares = False  # it is to be used for long, so that planning once pays
        self.facts = self._read_facts(limit_s)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def greeter_pid(self) -> int:
        """The backend that the connection was told of when it began. A pooler tells of one that does not exist."""
        return int(self._connection.info.backend_pid)

    def close(self) -> None:
        """End the session; whatever it was doing is rolled back."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self, statement_timeout_s: float = 5.0) -> Iterator[None]:
        """A read-only transaction with session limits that end with it, so that a pooler's next client sees none.

        BEGIN READ ONLY, then every limit as `set_config(…, is_local => true)`: one round trip, and where no pooler is
        in between, in which the backend may be any, none but that of the first query.
        """
        self._statement_timeout_s = statement_timeout_s
        try:
            if self.is_direct:
                self._opening, self._backend_pid = f"{self._limits(statement_timeout_s)}; ", self.greeter_pid
            else:
                self._backend_pid = _whole(self.query(self._limits(statement_timeout_s)))
            yield
        except BaseException:
            self._opening, self._backend_pid = "", 0
            if not self._connection.closed:
                with contextlib.suppress(DatabaseError):
                    self.query("ROLLBACK")
            raise
        self._backend_pid = 0  # before the COMMIT: while we wait for its answer, the backend may serve another
        if self._opening:
            self._opening = ""
        else:
            self.query("COMMIT")

    def query(self, sql: str, params: Sequence[object] | None = None) -> list[Row]:
        """All rows of one statement, every value as PostgreSQL's text (None for NULL).

        `DatabaseError` carries the SQLSTATE. When the wait is cut short, the server is told to cancel.
        """
        limit_s = self._statement_timeout_s + _GRACE_S
        sql, self._opening = self._opening + sql, ""
        try:
            with deadline(limit_s, "the query"), self._connection.cursor() as cursor:
                cursor.execute(sql, params)
                return [tuple(map(_text, row)) for row in cursor.fetchall()] if cursor.description else []
        except psycopg2.Error as error:
            raise _failed(error) from None
        except _SENSELESS:
            self._abandon()
            raise senseless() from None
        except BaseException:
            self._abandon()
            raise

    def row(self, sql: str, width: int) -> Row:
        """The one row of `width` columns that a statement must bring, else `DatabaseError`."""
        rows = self.query(sql)
        if [len(row) for row in rows] != [width]:
            raise senseless()
        return rows[0]

    def prepared(self, sql: str) -> str:
        """What runs `sql` in the transaction under way: planned once a session, where that pays; else `sql` itself."""
        if not (self.is_direct and self.prepares):
            return sql
        name = f"pgdoctor_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        if name not in self._prepared:
            self.query(f"PREPARE {name} AS {sql}")
            self._prepared.add(name)
        return f"EXECUTE {name}"

    def _read_facts(self, limit_s: float) -> Facts:
        require_supported(self._connection.server_version)
        with self.transaction(min(limit_s, _FACTS_S)):
            self.is_direct = self._backend_pid == self.greeter_pid
            row = self.row(FACTS_SQL, FACTS_COLUMNS)
        try:
            return parse_facts(row)
        except (*_SENSELESS, AttributeError, RecursionError):
            raise senseless() from None

    def _limits(self, statement_timeout_s: float) -> str:
        timeout_ms = max(1, int(statement_timeout_s * 1000))
        limits = {
            "search_path": "pg_catalog",
            "statement_timeout": str(timeout_ms),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(timeout_ms + 10_000),
            "jit": "off",
        }
        if self._connection.get_parameter_status("server_encoding") == "SQL_ASCII":
            limits["client_encoding"] = "SQL_ASCII"
        columns = [f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in limits.items()]
        if self._connection.server_version >= 140000:
            columns.append(_CHECK_CLIENT)
        return f"BEGIN READ ONLY; SELECT /* pgdoctor */ {', '.join(columns)}, pg_catalog.pg_backend_pid()"

    def _abandon(self) -> None:
        """The wait was cut short: close the connection, and have the server end what it was doing."""
        self._connection.close()
        if self._backend_pid:
            with contextlib.suppress(DatabaseError, DeadlineExceeded), deadline(CANCEL_TIMEOUT_S, "the cancel"):
                _cancel(self._dsn, self._host, self._backend_pid)


class Console:
    """One connection to PgBouncer's admin console (its database `pgbouncer`), for a stats user. `version`: "1.18.0".

    It takes SHOW and nothing of what a session with a server begins with.
    """

    def __init__(self, connection: Connection, version: str) -> None:
        self._connection = connection
        self.version = version

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def rows(self, what: str, limit_s: float = SHOW_S) -> tuple[list[Shown], int]:
        """The first `MOST_SHOWN` rows of SHOW `what`, with whole numbers as such, and how many there are.

        Raises `DatabaseError`, or `DeadlineExceeded`, after which the connection is closed.
        """
        try:
            with deadline(limit_s, f"SHOW {what}"), self._connection.cursor() as cursor:
                cursor.execute(f"SHOW {what}")
                columns = [(column.name, column.type_code in _NUMBERS) for column in cursor.description or ()]
                return [_shown(columns, row) for row in cursor.fetchmany(MOST_SHOWN)], cursor.rowcount
        except psycopg2.Error as error:
            raise _failed(error) from None
        except _SENSELESS:
            self.close()
            raise senseless() from None
        except BaseException:
            self.close()
            raise


def connect(
    dsn: Dsn,
    *,
    dbname: str | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    total_s: float = CONNECT_TOTAL_S,
) -> Session:
    """A session: `reach`, where a console will not do. That raises `IsConsole`."""
    if dbname is not None:
        dsn = replace(dsn, params={**dsn.params, "dbname": dbname})
    reached = reach(dsn, connect_timeout_s=connect_timeout_s, total_s=total_s)
    if isinstance(reached, Console):
        reached.close()
        raise IsConsole("this is the admin console of PgBouncer, no database")
    return reached


def reach(
    dsn: Dsn, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, total_s: float = CONNECT_TOTAL_S
) -> Session | Console:
    """A session with the first host that answers (and is what `target_session_attrs` asks for), or its console.

    `connect_timeout_s` bounds each address, `connect_timeout` in the DSN wins over it; `total_s` (or one host's
    time, where that is longer) bounds all: where it is short, each host gets its share. Raises
    `DatabaseError` with the shortest true cause, `UnsupportedServer` before PostgreSQL 12. A password that a command
    or a file gave is asked for anew where a server does not let us in with it.
    """
    began = time.monotonic()
    known = with_password(dsn)
    limits = dsn.connect_timeout_s or connect_timeout_s, total_s
    failures: dict[str, DatabaseError] = {}
    session = _connect_any(known, limits, failures)
    if session is None and dsn.password_from and any(isinstance(each, _Refused) for each in failures.values()):
        renewed = with_password(dsn, since=began)
        if renewed != known:
            failures.clear()
            session = _connect_any(renewed, limits, failures)
    if session is None:
        raise _summary(failures)
    return session


def _connect_any(dsn: Dsn, limits: tuple[float, float], failures: dict[str, DatabaseError]) -> Session | Console | None:
    """The first host that answers, or None; `failures`: why each did not. `limits`: for an address, for all."""
    limit_s, total_s = limits
    until = time.monotonic() + max(total_s, limit_s)
    attempts = [(wanted, host) for wanted in dsn.passes for host in _in_order(dsn)]
    for number, (wanted, host) in enumerate(attempts):
        now = time.monotonic()
        try:
            return _connect_host(dsn, host, wanted, limit_s, now + (until - now) / (len(attempts) - number))
        except DatabaseError as error:
            failures[str(host)] = error
    return None


def _in_order(dsn: Dsn) -> list[Host]:
    hosts = list(dsn.hosts)
    if dsn.params.get("load_balance_hosts") == "random":
        random.shuffle(hosts)
    return hosts


def _connect_host(dsn: Dsn, host: Host, wanted: str, limit_s: float, until: float) -> Session | Console:
    failure = DatabaseError("no address")
    found = _addresses(host, _within(limit_s, until))
    for number, address in enumerate(found):
        place = replace(host, hostaddr=address)
        share_s = _within(limit_s, until, len(found) - number)
        try:
            with deadline(share_s, "the connection"):
                connection = _open(dsn, place, wanted)
            return _session(connection, dsn, place, _within(limit_s, until, len(found) - number))
        except DatabaseError as error:
            failure = error
        except psycopg2.Error as error:
            failure = _failed(error)
            if _FROM_SERVER.search(str(error)):
                hint = _ALLOW if failure.message == _NOT_ALLOWED else ""
                failure = _Refused(failure.message, hint=hint, sqlstate=failure.sqlstate)
        except _SENSELESS:
            failure = senseless()
        except DeadlineExceeded:
            failure = DatabaseError(f"no answer within {share_s:g} s")
    raise failure


def _within(limit_s: float, until: float, among: int = 1) -> float:
    """Seconds for one of `among` attempts that are to be over by `until`."""
    return round(max(_LEAST_S, min(limit_s, (until - time.monotonic()) / among)), 2)


def _session(connection: Connection, dsn: Dsn, host: Host, limit_s: float) -> Session | Console:
    """The session, once a query has been answered, too: a pooler lets in without having a server."""
    if console := _CONSOLE.fullmatch(connection.get_parameter_status("server_version") or ""):
        return Console(connection, console[1])
    try:
        with deadline(limit_s, "the first query"):
            return Session(connection, dsn, host, limit_s)
    except DeadlineExceeded as error:
        connection.close()
        raise DatabaseError(f"no answer: {error.message}") from None
    except BaseException:
        connection.close()
        raise


def _open(dsn: Dsn, host: Host, wanted: str) -> Connection:
    ours: dict[str, str] = {"target_session_attrs": wanted, "application_name": "pgdoctor", "client_encoding": "UTF8"}
    if "gssencmode" not in dsn.params and "PGGSSENCMODE" not in os.environ:
        ours["gssencmode"] = "disable"  # libpq's own default asks for a Kerberos ticket, and greenlets wait with it
    # connect_timeout goes for nothing here: psycogreen's wait does not know it, the deadline does.
    remember_passwords(dsn.params.get("passfile", ""))
    keywords: dict[str, Any] = {**dsn.reveal_keywords(host, **ours, connect_timeout="0")}
    connection: Connection = psycopg2.connect(**keywords)
    connection.autocommit = True
    psycopg2.extensions.register_type(psycopg2.extensions.BYTES, connection)
    psycopg2.extensions.register_type(_PLAIN, connection)
    return connection


def _addresses(host: Host, limit_s: float) -> list[str]:
    """The addresses behind a host; "" for a socket's folder."""
    return [host.hostaddr] if host.hostaddr or host.is_socket else addresses(host.host, limit_s)


def _cancel(dsn: Dsn, host: Host, backend_pid: int) -> None:
    # Not connection.cancel(): it holds the interpreter's lock while it waits for the postmaster.
    try:
        connection = _open(with_password(dsn), host, "any")
    except (psycopg2.Error, *_SENSELESS):
        return
    quiet = contextlib.suppress(psycopg2.Error, *_SENSELESS)
    with contextlib.closing(connection), quiet, connection.cursor() as cursor:
        cursor.execute("SELECT /* pgdoctor:cancel */ pg_catalog.pg_cancel_backend(%s)", (backend_pid,))


def senseless() -> DatabaseError:
    """What came is no answer to what was asked: somebody in between, or no PostgreSQL."""
    return DatabaseError("the server's answer makes no sense", sqlstate=_PROTOCOL_VIOLATION)


def _whole(rows: list[Row]) -> int:
    """The number that is the last column of the last row."""
    text = rows[-1][-1] if rows and rows[-1] else None
    if not re.fullmatch("[0-9]{1,10}", text or ""):
        raise senseless()
    return int(text or 0)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None else str(value)


def _shown(columns: list[tuple[str, bool]], row: Sequence[object]) -> Shown:
    texts = map(_text, row)
    pairs = zip(columns, texts, strict=True)
    return {
        name: int(text) if text and is_number and _WHOLE.fullmatch(text) else text for (name, is_number), text in pairs
    }


def _failed(error: psycopg2.Error) -> DatabaseError:
    """libpq's and the server's words, shortened to the cause: no address, no severity, no second line."""
    lines = [line.strip() for line in str(error).replace("\x00", "").splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    for prefix in ("connection to server", "could not connect to server"):
        if text.startswith(prefix):
            text = text.partition(" failed: ")[2] or text
    text = text.removeprefix("FATAL:").removeprefix("ERROR:").strip()
    if text.startswith(("Connection ", "No ", "Network ", "Operation ", "Host ", "Permission ")):
        text = text[0].lower() + text[1:]
    return DatabaseError(one_line(text, 300), sqlstate=error.pgcode or "")


def _summary(failures: dict[str, DatabaseError]) -> DatabaseError:
    """One error for all hosts: the cause alone where it is the same everywhere."""
    errors = list(failures.values())
    if len({error.message for error in errors}) == 1:
        return errors[0]
    return DatabaseError(", ".join(f"{one_line(where, 100)}: {error.message}" for where, error in failures.items()))
