"""What PgBouncer tells of itself: the only section of a snapshot whose DSN leads to its admin console.

Columns are PgBouncer's own, those that its version has (1.12 to 1.24 and later); times in microseconds end in `_us`.
Of `pools`, `databases` and `stats` 200 rows each; the console itself, database `pgbouncer`, is left out.

| key | what |
|---|---|
| `version` | "PgBouncer 1.18.0" |
| `pools` | SHOW POOLS: of each database and user how many clients are served (`cl_active`) and wait for a server \
(`cl_waiting`), what the connections to the server do (`sv_active`, `sv_idle`, `sv_used`, `sv_login`, …), and for how \
long the first client has waited: `maxwait` seconds and, beyond those, `maxwait_us`. The longest waits first |
| `databases` | SHOW DATABASES: where each leads, its `pool_size`, `reserve_pool`, `max_connections` (0: no limit) and \
`current_connections`, and whether it is `paused` or `disabled`. Those with the most connections first |
| `stats` | SHOW STATS: totals of each database since PgBouncer started, and averages of the last `stats_period`; \
`…_wait_time_us` is what clients spent waiting for a server. The most query time first |
| `config` | SHOW CONFIG: the pool mode, and the limits on connections and on time (seconds; 0: none); nothing of \
users or passwords |
| `lists` | SHOW LISTS: how many `databases`, `users`, `pools`, clients (`used_clients`, …) and servers there are |
| `total` | over all pools: the sums of `cl_active`, `cl_waiting`, `sv_active`, `sv_idle`, `sv_used` and `sv_login`, \
how many of them have clients that wait (`waiting_count`), and the longest wait (`maxwait_s`) |
| `more` | of `pools`, `databases` and `stats`: how many are not shown |

What one SHOW does not bring is missing, and `errors` says why.
"""

import json
import re
import time
from collections.abc import Callable
from itertools import islice

from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.session import SHOW_S, Console, Shown
from pgdoctor_lib.snapshot import Collected, CollectorError, Cost, Section

NAME = "pgbouncer"  # of the section, and of the console's database
MOST = 200
_MOST_CHARS = 1000  # of one value
_MOST_COLUMNS = 100  # PgBouncer has about 20; who pretends to be one may have any number
_SUMS = ("cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_used", "sv_login")
_SECRET = re.compile("passw|secret|auth_|query$")  # columns that would hold one, or a statement, if a version had them
_LIMITS = frozenset(
    (
        "auth_type",
        "cancel_wait_timeout",
        "client_idle_timeout",
        "client_login_timeout",
        "client_tls_sslmode",
        "default_pool_size",
        "idle_transaction_timeout",
        "max_client_conn",
        "max_db_client_connections",
        "max_db_connections",
        "max_prepared_statements",
        "max_user_client_connections",
        "max_user_connections",
        "min_pool_size",
        "pool_mode",
        "query_timeout",
        "query_wait_timeout",
        "reserve_pool_size",
        "reserve_pool_timeout",
        "server_connect_timeout",
        "server_idle_timeout",
        "server_lifetime",
        "server_login_retry",
        "server_reset_query_always",
        "server_round_robin",
        "server_tls_sslmode",
        "stats_period",
        "transaction_timeout",
    )
)


def _of(row: Shown, column: str) -> int:
    value = row.get(column)
    return value if isinstance(value, int) else 0


# What is asked for row by row: the column with the database's name, and what comes first.
_TABLES: dict[str, tuple[str, Callable[[Shown], tuple[int, ...]]]] = {
    "pools": ("database", lambda row: (_waited_us(row), _of(row, "cl_waiting"), _of(row, "cl_active"))),
    "databases": ("name", lambda row: (_of(row, "current_connections"),)),
    "stats": ("database", lambda row: (_of(row, "total_query_time"),)),
}
_PAIRS = ("config", "lists")


def collect(console: Console, budget_s: float) -> Collected:
    """The section, within about `budget_s`; the console is closed. `DatabaseError`: it does not answer."""
    began, limit_s = time.monotonic(), min(SHOW_S, budget_s / (len(_TABLES) + len(_PAIRS)))
    version = f"PgBouncer {console.version}"
    told: dict[str, object] = {"version": version}
    errors, came = [], 0
    try:
        for name in (*_TABLES, *_PAIRS):
            try:
                rows, count = console.rows(name.upper(), limit_s)
            except DatabaseError as error:
                if not error.sqlstate:  # the connection broke
                    raise
                errors.append(CollectorError(NAME, f"SHOW {name.upper()}: {error.message}"))
                continue
            came += len(rows)
            told |= _table(name, rows, count) if name in _TABLES else {name: _pairs(name, rows)}
    except DeadlineExceeded as error:
        raise DatabaseError(f"no answer: {error.message}") from None
    finally:
        console.close()
    more = {name: told.pop(f"{name}.more") for name in _TABLES if name in told}
    text = json.dumps({**told, "more": more}, ensure_ascii=False)
    cost = Cost(round((time.monotonic() - began) * 1000, 3), came, len(text))
    return Collected(NAME, version, (Section(NAME, text),), None, tuple(errors), {NAME: cost})


def _table(name: str, rows: list[Shown], count: int) -> dict[str, object]:
    key, first = _TABLES[name]
    theirs = sorted((row for row in rows if row.get(key) != NAME), key=first, reverse=True)
    shown = [_named(row) for row in theirs[:MOST]]
    found: dict[str, object] = {name: shown, f"{name}.more": count - (len(rows) - len(theirs)) - len(shown)}
    return {**found, "total": _total(theirs)} if name == "pools" else found


def _total(pools: list[Shown]) -> dict[str, object]:
    sums: dict[str, object] = {column: sum(_of(pool, column) for pool in pools) for column in _SUMS}
    waiting = sum(_of(pool, "cl_waiting") > 0 for pool in pools)
    return {**sums, "waiting_count": waiting, "maxwait_s": max(map(_waited_us, pools), default=0) / 1e6}


def _waited_us(pool: Shown) -> int:
    return _of(pool, "maxwait") * 1_000_000 + _of(pool, "maxwait_us")


def _named(row: Shown) -> Shown:
    return {
        f"{column[:63]}_us" if column.endswith("_time") else column[:63]: _cut(value)
        for column, value in islice(row.items(), _MOST_COLUMNS)
        if not _SECRET.search(column)
    }


def _pairs(name: str, rows: list[Shown]) -> dict[str, object]:
    if name == "lists":
        return {str(_cut(row.get("list"))): _cut(row.get("items")) for row in rows[:MOST]}
    return {str(key): _number(row.get("value")) for row in rows if (key := row.get("key")) in _LIMITS}


def _cut(value: str | int | None) -> str | int | None:
    return value[:_MOST_CHARS] if isinstance(value, str) else value


def _number(value: str | int | None) -> str | int | float | None:
    """A setting's value: all are texts."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,9})?", value):
        return _cut(value)
    return float(value) if "." in value else int(value)
