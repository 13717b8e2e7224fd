"""What is asked over an open connection: of a database, or of PgBouncer's console. Bounded in time, read-only."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType

import psycopg2
import psycopg2.extensions

from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.server import FACTS_COLUMNS, FACTS_SQL, Facts, parse_facts, require_supported
from pgdoctor_lib.secret import one_line

CANCEL_TIMEOUT_S = 2.0
LOCK_TIMEOUT_MS = 100
_MOST_PREPARED = 8
SHOW_S = 5.0  # for one answer of PgBouncer's console
MOST_SHOWN = 10_000  # rows of it: the rest is counted
_FACTS_S = 60.0  # at most, however long connecting may take
_GRACE_S = 2.0  # what the server gets to end a statement by itself before the client gives up on it
# A server on a platform that cannot do it (Windows) refuses any other value than 0.
_CHECK_CLIENT = (
    "CASE WHEN pg_catalog.version() OPERATOR(pg_catalog.~) 'linux'"
    " THEN pg_catalog.set_config('client_connection_check_interval', '1000', {local}) END"
)

# Whatever a role or a database sets for itself is not for PGDoctor. The level must be said as a transaction begins.
_BEGIN = "BEGIN /* pgdoctor:session */ ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE"
_COMMIT = "COMMIT /* pgdoctor:session */ WORK"
_OWN_SESSION = (  # since which version, name, value
    (0, "default_transaction_isolation", "read committed"),
    (0, "default_transaction_deferrable", "off"),
    (0, "statement_timeout", "0"),  # before 13 the one in force as a message comes holds for all of it
    (140000, "idle_session_timeout", "0"),
    (170000, "transaction_timeout", "0"),
)

# What psycopg2 raises, beside its own, for bytes that make no sense to it.
SENSELESS = (ValueError, TypeError, LookupError, OverflowError, SystemError)
_PROTOCOL_VIOLATION = "08P01"
_NUMBERS = (20, 21, 23, 26, 1700)
_VALUE = re.compile(r"\$([1-9])(?=::[a-z]+(?:\[\])? AS )")  # `$1::oid[] AS name`
_WHOLE = re.compile("-?[0-9]{1,20}")

Connection = psycopg2.extensions.connection
Row = tuple[str | None, ...]
Shown = dict[str, str | int | None]


class Session:
    """One connection to one database. Not shared between greenlets.

    `cancel(pid)` has the server end what that backend is doing; it may block, and is cut off after `CANCEL_TIMEOUT_S`.
    """

    def __init__(self, connection: Connection, cancel: Callable[[int], None], limit_s: float) -> None:
        self._connection = connection
        self._cancel = cancel
        self._statement_timeout_s = limit_s  # of the latest transaction
        self._backend_pid = 0  # of the transaction under way: behind a pooler, the next one may have another
        self._prepared: dict[str, str] = {}  # a name for each statement that is planned
        self._in_force = ""  # what has set the limits of the session itself
        self.largest_answer = 0  # characters of one row: libpq keeps a buffer as large as that
        self.is_direct = False  # no pooler is in between
        self.prepares = False  # it is to be used for long, so that planning once pays
        self.facts = self._read_facts(limit_s)
        parameters = connection.info.dsn_parameters
        self.address = tuple(parameters.get(key, "") for key in ("host", "hostaddr", "port"))

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

    @property
    def is_open(self) -> bool:
        """Whether it can still be used, as far as this side knows."""
        return not self._connection.closed

    def close(self) -> None:
        """End the session; whatever it was doing is rolled back."""
        self._connection.close()

    def ask(self, sql: str, width: int, timeout_s: float, *, again: bool = False) -> Row:
        """The one row of one statement, as `ask_all`."""
        return _only(self.ask_all(sql, width, timeout_s, again=again))

    def ask_all(
        self, sql: str, width: int, timeout_s: float, *, again: bool = False, values: Sequence[str] = ()
    ) -> list[Row]:
        """The rows, of `width` columns, of one statement, in a read-only transaction of its own, with its limits.

        Where no pooler is in between it is one message to the server, which begins the transaction and ends it by
        itself: one round trip, and no moment in which it stands open and idle. `again`: it will be asked for often,
        so that planning it once pays in a session that `prepares`, and setting its limits, which are the session's.
        `values`: SQL, for `$1::oid[] AS …` and so on.
        """
        if not self.is_direct:
            with self.transaction(timeout_s):
                return self._rows(_filled(sql, values), width)
        self._statement_timeout_s, self._backend_pid = timeout_s, self.greeter_pid
        if self.prepares and again:
            self._keep_within(timeout_s)
            return self._rows(f"{self._prepared_as(sql)}{_arguments(values)}", width)
        limits = self._limits(timeout_s, transaction_read_only="on")
        return self._rows(f"{limits}; {_filled(sql, values)}", width)

    def _keep_within(self, timeout_s: float) -> None:
        """From now on these are the limits of whatever brings none of its own."""
        more = {"default_transaction_read_only": "on", "plan_cache_mode": "force_generic_plan"}
        limits = self._limits(timeout_s, is_local=False, **more)
        if limits != self._in_force:
            self.query(limits)
            self._in_force = limits

    def _prepared_as(self, sql: str) -> str:
        """What executes it. A plan takes the server's memory: those of yesterday's questions are given up."""
        if sql not in self._prepared:
            if len(self._prepared) >= _MOST_PREPARED:
                self.query("DEALLOCATE /* pgdoctor:session */ ALL")
                self._prepared.clear()
            name = f"pgdoctor_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
            self.query(f"PREPARE {name} AS {sql}")
            self._prepared[sql] = name
        return f"EXECUTE {self._prepared[sql]}"

    @contextlib.contextmanager
    def transaction(self, statement_timeout_s: float = 5.0) -> Iterator[None]:
        """A read-only transaction with session limits that end with it, so that a pooler's next client sees none.

        BEGIN, then every limit as `set_config(…, is_local => true)`: one round trip.
        """
        self._statement_timeout_s = statement_timeout_s
        try:
            self._backend_pid = _whole(self.query(f"{_BEGIN}; {self._limits(statement_timeout_s)}"))
            yield
        except BaseException:
            self._backend_pid = 0
            if not self._connection.closed:
                with contextlib.suppress(DatabaseError, DeadlineExceeded):
                    self.query("ROLLBACK /* pgdoctor:session */ WORK")
            raise
        self._backend_pid = 0  # before the COMMIT: while we wait for its answer, the backend may serve another
        self.query(_COMMIT)

    def query(self, sql: str, params: Sequence[object] | None = None) -> list[Row]:
        """All rows of one statement, every value as PostgreSQL's text (None for NULL).

        `DatabaseError` carries the SQLSTATE. When the wait is cut short, the server is told to cancel.
        """
        limit_s = self._statement_timeout_s + _GRACE_S
        with _asking("the query", limit_s, self._abandon), self._connection.cursor() as cursor:
            cursor.execute(sql, params)
            return [tuple(map(_text, row)) for row in cursor.fetchall()] if cursor.description else []

    def row(self, sql: str, width: int) -> Row:
        """The one row of `width` columns that a statement must bring, else `DatabaseError`."""
        return _only(self._rows(sql, width))

    def _rows(self, sql: str, width: int) -> list[Row]:
        rows = self.query(sql)
        self.largest_answer = max(self.largest_answer, *(sum(len(text or "") for text in row) for row in rows), 0)
        if any(len(row) != width for row in rows):
            raise senseless()
        return rows

    def _read_facts(self, limit_s: float) -> Facts:
        require_supported(self._connection.server_version)
        with self.transaction(min(limit_s, _FACTS_S)):
            self.is_direct = self._backend_pid == self.greeter_pid
            row = self.row(FACTS_SQL, FACTS_COLUMNS)
            if self.is_direct:
                self._settle()
        try:
            return parse_facts(row)
        except (*SENSELESS, AttributeError, RecursionError):
            raise senseless() from None

    def _settle(self) -> None:
        """Between two transactions, too, the session goes by nobody's settings but ours."""
        version = self._connection.server_version
        settings = [(name, value) for since, name, value in _OWN_SESSION if version >= since]
        columns = [f"pg_catalog.set_config('{name}', '{value}', false)" for name, value in settings]
        self.query(f"SELECT /* pgdoctor:session */ {', '.join(columns)}")

    def _limits(self, statement_timeout_s: float, *, is_local: bool = True, **more: str) -> str:
        """The statement that sets the limits of the transaction under way; its last column is the backend's pid.

        With `is_local` false: of the session.
        """
        timeout_ms = max(1, int(statement_timeout_s * 1000))
        limits = {
            "search_path": "pg_catalog",
            "statement_timeout": str(timeout_ms),
            "lock_timeout": str(LOCK_TIMEOUT_MS),
            "idle_in_transaction_session_timeout": str(timeout_ms + 10_000),
            "jit": "off",
            "extra_float_digits": "1",
            "max_parallel_workers_per_gather": "0",
            **more,
        }
        if self._connection.server_version >= 170000:
            limits["transaction_timeout"] = "0"
        if self._connection.get_parameter_status("server_encoding") == "SQL_ASCII":
            limits["client_encoding"] = "SQL_ASCII"
        local = str(is_local).lower()
        columns = [f"pg_catalog.set_config('{name}', '{value}', {local})" for name, value in limits.items()]
        if self._connection.server_version >= 140000:
            columns.append(_CHECK_CLIENT.format(local=local))
        return f"SELECT /* pgdoctor:session */ {', '.join(columns)}, pg_catalog.pg_backend_pid()"

    def _abandon(self) -> None:
        """The wait was cut short: close the connection, and have the server end what it was doing."""
        self._connection.close()
        if self._backend_pid:
            with contextlib.suppress(DatabaseError, DeadlineExceeded), deadline(CANCEL_TIMEOUT_S, "the cancel"):
                self._cancel(self._backend_pid)


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
        with _asking(f"SHOW {what}", limit_s, self.close), self._connection.cursor() as cursor:
            cursor.execute(f"SHOW {what}")
            columns = [(column.name, column.type_code in _NUMBERS) for column in cursor.description or ()]
            return [_shown(columns, row) for row in cursor.fetchmany(MOST_SHOWN)], cursor.rowcount


@contextlib.contextmanager
def _asking(what: str, limit_s: float, give_up: Callable[[], None]) -> Iterator[None]:
    """The wait for an answer, and all that can become of it as an error of ours.

    `give_up()` where the connection is no longer to be trusted: what came makes no sense, or the wait was cut short.
    """
    try:
        with deadline(limit_s, what):
            yield
    except psycopg2.Error as error:
        raise told(error) from None
    except SENSELESS:
        give_up()
        raise senseless() from None
    except BaseException:
        give_up()
        raise


def _filled(sql: str, values: Sequence[str]) -> str:
    return _VALUE.sub(lambda match: values[int(match[1]) - 1], sql) if values else sql


def _arguments(values: Sequence[str]) -> str:
    return f"({', '.join(values)})" if values else ""


def senseless() -> DatabaseError:
    """What came is no answer to what was asked: somebody in between, or no PostgreSQL."""
    return DatabaseError("the server's answer makes no sense", sqlstate=_PROTOCOL_VIOLATION)


def _only(rows: list[Row]) -> Row:
    if len(rows) != 1:
        raise senseless()
    return rows[0]


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


def told(error: psycopg2.Error) -> DatabaseError:
    """libpq's and the server's words, shortened to the cause: no address, no severity, no second line."""
    text = str(error).replace("\x00", "").strip().partition("\n")[0].strip() or type(error).__name__
    for prefix in ("connection to server", "could not connect to server"):
        if text.startswith(prefix):
            text = text.partition(" failed: ")[2] or text
    text = text.removeprefix("FATAL:").removeprefix("ERROR:").strip()
    if text.startswith(("Connection ", "No ", "Network ", "Operation ", "Host ", "Permission ")):
        text = text[0].lower() + text[1:]
    return DatabaseError(one_line(text, 300), sqlstate=error.pgcode or "")
