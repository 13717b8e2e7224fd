"""Which databases of a server there are for this role."""

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.postgres.connect import connect

LOOK_S = 30.0
_STATEMENT_S = 10.0
_MOST_ROWS = 10_000
# Oldest first: where there are too many, a new one takes no other's place. -2: a DROP DATABASE did not come to its end.
_DATABASES = f"""
SELECT /* pgdoctor:discover */ d.datname
FROM pg_catalog.pg_database AS d
WHERE d.datallowconn AND NOT d.datistemplate AND d.datconnlimit OPERATOR(pg_catalog.<>) -2
  AND pg_catalog.has_database_privilege(d.oid, 'CONNECT')
ORDER BY d.oid
LIMIT {_MOST_ROWS}
"""


def databases(dsn: Dsn) -> tuple[str, ...]:
    """Those that allow connections and in which the role has CONNECT, templates left out, by age.

    One short session with `dsn`'s own database. Raises `DatabaseError` or `DeadlineExceeded`.
    """
    with deadline(LOOK_S, "looking for databases"), connect(dsn) as session, session.transaction(_STATEMENT_S):
        rows = session.query(_DATABASES)
    return tuple(row[0] for row in rows if row[0] and "\ufffd" not in row[0])  # else: a name that is not UTF-8
