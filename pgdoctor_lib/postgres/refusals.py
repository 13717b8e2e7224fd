"""What a server says that does not let us in, and the SQL that makes it. libpq tells no SQLSTATE of that: only words.

A server that speaks another language (lc_messages) is understood by people alone.
"""

import os
import re

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.quoting import quote_identifier
from pgdoctor_lib.secret import one_line

_TAKEN = "all connections that this role may use are taken"
_RAISE = "raise max_connections (a restart), or have idle sessions end"
_RESERVE = "ALTER SYSTEM SET reserved_connections = 3; and restart the server"
_FULL = 6  # the first of these: all connections are taken
# The words as they begin or end, and what to do: {role} and {database} are written as SQL wants them.
_REMEDIES = (
    (r"remaining connection slots are reserved for roles with privileges of the .pg_use_reserved_connections. role",
     f"{_TAKEN}: GRANT pg_use_reserved_connections TO {{role}};"),
    (r"remaining connection slots are reserved for roles with .*SUPERUSER",
     f"{_TAKEN}: to keep some for monitoring, GRANT pg_use_reserved_connections TO {{role}}; {_RESERVE}"),
    (r"remaining connection slots are reserved for non-replication superuser",
     f"{_TAKEN}: {_RAISE} (PostgreSQL 16 and later can keep some for monitoring)"),
    (r"sorry, too many clients already", f"all connections are taken, reserved ones too: {_RAISE}"),
    (r"too many connections for role ", "ALTER ROLE {role} CONNECTION LIMIT -1;"),
    (r"too many connections for database ", "ALTER DATABASE {database} CONNECTION LIMIT -1;"),
    (r"permission denied for database ", "GRANT CONNECT ON DATABASE {database} TO {role};"),
    (r"role .* is not permitted to log in$", "ALTER ROLE {role} LOGIN;"),
    (r"not allowed$", "name the user in stats_users in pgbouncer.ini, and RELOAD"),  # PgBouncer's console
)  # fmt: skip


def is_full(message: str) -> bool:
    """Whether there is no connection left, for this role or this database at least."""
    return any(re.match(pattern, message) for pattern, _ in _REMEDIES[:_FULL])


def remedy(message: str, dsn: Dsn) -> str:
    """What to do about it, or ""."""
    role = dsn.params.get("user") or os.environ.get("USER", "")
    names = {"role": quote_identifier(role), "database": quote_identifier(dsn.dbname or role)}
    for pattern, what in _REMEDIES:
        if re.match(pattern, message):
            return one_line(what.format(**names))
    return ""
