"""The only door to a server: how a session (session.py) comes about, in bounded time, whatever the hosts do.

libpq's own `connect_timeout`, host list and resolver do not cooperate with greenlets: names are looked
up first, then every address is tried alone, each under its own deadline, with `host` (for the
certificate and ~/.pgpass) and `hostaddr` (for the socket) both given.
"""

import _socket
import contextlib
import os
import random
import re
import socket
import struct
import time
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg2
import psycopg2.extensions

from pgdoctor_lib.config.dsn import Dsn, Host
from pgdoctor_lib.config.passfile import remember_passwords
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.passwords import with_password
from pgdoctor_lib.postgres.refusals import remedy
from pgdoctor_lib.postgres.resolve import addresses
from pgdoctor_lib.postgres.session import SENSELESS, Connection, Console, Session, senseless, told
from pgdoctor_lib.secret import one_line

CONNECT_TIMEOUT_S = 5.0
CONNECT_TOTAL_S = 30.0  # for all hosts of a DSN together
MOST_BYTES = 64 * 1024**2  # of one answer: all of it lies in memory before the first row is seen
_LEAST_S = 0.1  # for one address, where there are very many
_PLAIN_OIDS = (16, 20, 21, 23, 26, 114, 700, 701, 1700, 3802)
_PLAIN = psycopg2.extensions.new_type(_PLAIN_OIDS, "PLAIN", lambda value, cursor: value)

# Dsn.parse has looked the service up. libpq would do it again at each connection, and fill in what a DSN with a service
# of its own leaves out, the password too. unsetenv() takes the variable from libpq alone: os.environ, which the
# configuration reads and the background daemon inherits, keeps it. Done at import, while no thread reads variables.
os.unsetenv("PGSERVICE")

_FROM_SERVER = re.compile(r"(?:^|failed: )\w+:  ", re.MULTILINE)  # the severity, in whatever language

_CONSOLE = re.compile(r"([0-9][\w.]{0,30})/bouncer", re.ASCII)  # what it says for a server's version


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


_Failures = dict[tuple[str, Host], DatabaseError]  # by what was wanted, and of whom


class IsConsole(DatabaseError):
    """Somebody wanted a database, and it is PgBouncer's admin console."""


class _Refused(DatabaseError):
    """A server was reached, and did not let us in. libpq does not tell the SQLSTATE of that."""


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
    failures: _Failures = {}
    session = _connect_any(known, limits, failures)
    if session is None and dsn.password_from and any(isinstance(each, _Refused) for each in failures.values()):
        renewed = with_password(dsn, since=began)
        if renewed != known:
            failures.clear()
            session = _connect_any(renewed, limits, failures)
    if session is None:
        raise _summary(failures)
    return session


def _connect_any(dsn: Dsn, limits: tuple[float, float], failures: _Failures) -> Session | Console | None:
    """The first host that answers, or None; `failures`: why each did not. `limits`: for an address, for all."""
    limit_s, total_s = limits
    until = time.monotonic() + max(total_s, limit_s)
    attempts = [(wanted, host) for wanted in dsn.passes for host in _in_order(dsn)]
    for number, (wanted, host) in enumerate(attempts):
        now = time.monotonic()
        try:
            return _connect_host(dsn, host, wanted, limit_s, now + (until - now) / (len(attempts) - number))
        except DatabaseError as error:
            failures[wanted, host] = error
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
            failure = told(error)
            if _FROM_SERVER.search(str(error)):
                failure = _Refused(failure.message, hint=remedy(failure.message, dsn), sqlstate=failure.sqlstate)
        except SENSELESS:
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
            return Session(connection, partial(_cancel, dsn, host), limit_s)
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
    except (psycopg2.Error, *SENSELESS):
        return
    quiet = contextlib.suppress(psycopg2.Error, *SENSELESS)
    with contextlib.closing(connection), quiet, connection.cursor() as cursor:
        cursor.execute("SELECT /* pgdoctor:cancel */ pg_catalog.pg_cancel_backend(%s)", (backend_pid,))


def _summary(failures: _Failures) -> DatabaseError:
    """One error for all hosts, each one's last: the cause alone where it is the same everywhere."""
    by_host = {host: error for (_, host), error in failures.items()}
    if len({error.message for error in by_host.values()}) == 1:
        return next(iter(by_host.values()))
    return DatabaseError(", ".join(f"{one_line(str(host), 100)}: {each.message}" for host, each in by_host.items()))
