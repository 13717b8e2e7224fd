"""Which databases of a server there are for this role."""

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.session import Row
from pgdoctor_lib.quoting import quote_identifier

LOOK_S = 30.0
_STATEMENT_S = 10.0
_MOST_ROWS = 10_000
# Oldest first: where there are too many, a new one takes no other's place. -2: a DROP DATABASE did not come to its end.
_DATABASES = f"""
SELECT /* pgdoctor:discover */ d.datname, pg_catalog.has_database_privilege(d.oid, 'CONNECT'), CURRENT_USER
FROM pg_catalog.pg_database AS d
WHERE d.datallowconn AND NOT d.datistemplate AND d.datconnlimit OPERATOR(pg_catalog.<>) -2
ORDER BY d.oid
LIMIT {_MOST_ROWS}
"""


def databases(dsn: Dsn) -> tuple[str, ...]:
    """Those that allow connections and in which the role has CONNECT, templates left out, by age.

    One short session with `dsn`'s own database. Raises `DatabaseError` or `DeadlineExceeded`.
    """
    return tuple(str(name) for name, may_connect, _ in _rows(dsn) if may_connect == "t")


def closed(dsn: Dsn) -> dict[str, str]:
    """Those that would be among them, but do not let the role in: by name, what would. Raises as `databases`."""
    grant = "GRANT CONNECT ON DATABASE {} TO {};"
    return {
        str(name): grant.format(quote_identifier(str(name)), quote_identifier(str(role)))
        for name, may_connect, role in _rows(dsn)
        if may_connect != "t"
    }


def _rows(dsn: Dsn) -> list[Row]:
    with deadline(LOOK_S, "looking for databases"), connect(dsn) as session:
        rows = session.ask_all(_DATABASES, 3, _STATEMENT_S)
    return [row for row in rows if row[0] and "\ufffd" not in row[0]]  # else: a name that is not UTF-8
