"""What mends a collector that failed: a remedy for each SQLSTATE that is met in the field."""

from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.query import quote_identifier
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import CollectorError

PRELOAD = "add pg_stat_statements to shared_preload_libraries and restart the server"
CREATE = "CREATE EXTENSION pg_stat_statements;"
_HINTS = {
    "0A000": "this server does not offer it",
    "55000": PRELOAD,
    "55P03": "something holds a lock on the catalogs; the next snapshot tries again",
    "57014": "the server is busy or its catalogs are large; the next snapshot tries again",
}


def grant(facts: Facts) -> str:
    """The statement that lets the connected role see what it must."""
    return one_line(f"GRANT pg_monitor TO {quote_identifier(facts.role)};")


def failed(collector: str, error: DatabaseError, facts: Facts) -> CollectorError:
    """`error`, as the snapshot tells it."""
    hint = _permit(collector, facts) if error.sqlstate == "42501" else _HINTS.get(error.sqlstate, error.hint)
    return CollectorError(collector, error.message, hint)


def unprivileged(facts: Facts) -> CollectorError:
    """The connected role sees only its own sessions and statements."""
    who = one_line(quote_identifier(facts.role))
    error = (
        f"role {who} is not a member of pg_monitor: other roles' queries, states and times, and replication, are hidden"
    )
    return CollectorError("activity", error, grant(facts))


def _permit(collector: str, facts: Facts) -> str:
    """What 42501 calls for. A role that has pg_monitor lacks what is everybody's unless somebody took it away."""
    if not facts.has_pg_monitor:
        return grant(facts)
    role = quote_identifier(facts.role)
    if collector == "top_queries":
        schema = quote_identifier(facts.extensions["pg_stat_statements"].schema)
        return one_line(f"GRANT USAGE ON SCHEMA {schema} TO {role};")
    return one_line(f"grant {role} what the message names")
