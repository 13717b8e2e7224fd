"""What mends what is missing: exact SQL, or where a managed service wants it done otherwise, what it wants.

A remedy for each SQLSTATE that is met in the field, and the words of each service that `Facts.provider` may name.
"""

import re
from dataclasses import dataclass

from pgdoctor_lib.errors import DatabaseError
from pgdoctor_lib.postgres.server import Facts
from pgdoctor_lib.quoting import identifier, quote_identifier
from pgdoctor_lib.secret import one_line
from pgdoctor_lib.snapshot import CollectorError

PRELOAD = "add pg_stat_statements to shared_preload_libraries and restart the server"
CREATE = "CREATE EXTENSION pg_stat_statements;"


@dataclass(frozen=True)
class _Service:
    """How a managed service wants it: `admin`: whose members may grant; `place`: where settings are changed.

    `preload`: how pg_stat_statements is loaded; `create`: how it becomes an extension of a database.
    """

    admin: str
    place: str
    preload: str
    create: str = CREATE


_SERVICES = {
    "Amazon RDS": _Service(
        "rds_superuser",
        "the instance's DB parameter group",
        "add pg_stat_statements to shared_preload_libraries in the instance's DB parameter group and reboot it",
    ),
    "Amazon Aurora": _Service(
        "rds_superuser",
        "the DB cluster parameter group",
        "add pg_stat_statements to shared_preload_libraries in the DB cluster parameter group and reboot its instances",
    ),
    "Google Cloud SQL": _Service(
        "cloudsqlsuperuser",
        "the instance's database flags",
        "it is loaded by default; else set the database flag cloudsql.enable_pg_stat_statements to on, which restarts "
        "the instance",
    ),
    "Azure Database for PostgreSQL": _Service(
        "azure_pg_admin",
        "its server parameters",
        "add pg_stat_statements to the server parameters azure.extensions and shared_preload_libraries and restart the "
        "server",
        f"allow pg_stat_statements in the server parameter azure.extensions, then {CREATE}",
    ),
    "Neon": _Service("neon_superuser", "Neon's support", "it is loaded by default; else ask Neon's support"),
    "Supabase": _Service(
        "postgres",
        "its custom Postgres configuration (supabase postgres-config)",
        "it is loaded by default; else ask Supabase's support",
        "CREATE EXTENSION pg_stat_statements SCHEMA extensions;",
    ),
}
_OF_STATEMENTS = ("top_queries", "plans")
_DENIED = re.compile(r"permission denied for (view|table|function) (pg_\w+)")  # in English, as far as that is in force
# Not everybody's to begin with, or not all of it; and of functions those whose name does not tell which one it is.
_WITHHELD = re.compile("pg_(ls_.*|hba_file_rules|authid|statistic|subscription)")
_AMBIGUOUS = re.compile("pg_(.*_size|size_pretty|has_role|get_expr|get_.*def)")
_HINTS = {
    "0A000": "this server does not offer it",
    "55P03": "something holds a lock on the catalogs; the next snapshot tries again",
    "57014": "the server is busy or its catalogs are large; the next snapshot tries again",
}


def grant(facts: Facts, privilege: str = "pg_monitor") -> str:
    """The statement that lets the connected role see what it must."""
    statement = f"GRANT {privilege} TO {quote_identifier(facts.role)};"
    service = _SERVICES.get(facts.provider)
    return one_line(f"{statement} -- {facts.provider}: as a member of {service.admin}" if service else statement)


def preload(facts: Facts) -> str:
    """What has the server load pg_stat_statements."""
    service = _SERVICES.get(facts.provider)
    return f"on {facts.provider}: {service.preload}" if service else PRELOAD


def create(facts: Facts) -> str:
    """What makes pg_stat_statements an extension of this database."""
    service = _SERVICES.get(facts.provider)
    return f"on {facts.provider}: {service.create}" if service and service.create != CREATE else CREATE


def settings(facts: Facts, values: dict[str, str]) -> str:
    """What gives these settings these values, without a restart."""
    if service := _SERVICES.get(facts.provider):
        wanted = ", ".join(f"{name} = {value}" for name, value in values.items())
        return f"on {facts.provider}: set {wanted} in {service.place}"
    return (
        " ".join(f"ALTER SYSTEM SET {name} = {value};" for name, value in values.items()) + " SELECT pg_reload_conf();"
    )


def record(facts: Facts) -> str:
    """What has pg_stat_statements, which is loaded, count."""
    queryid = {"compute_query_id": "auto"} if facts.has("pg >= 14") else {}
    return settings(facts, {**queryid, "pg_stat_statements.track": "top"})


def failed(collector: str, error: DatabaseError, facts: Facts) -> CollectorError:
    """`error`, as the snapshot tells it."""
    special = {"42501": _permit, "55000": _load}.get(error.sqlstate)
    hint = special(collector, error, facts) if special else _HINTS.get(error.sqlstate, error.hint)
    return CollectorError(collector, error.message, hint)


def unprivileged(facts: Facts) -> CollectorError:
    """The connected role sees only its own sessions and statements."""
    who = one_line(quote_identifier(facts.role))
    error = (
        f"role {who} is not a member of pg_monitor: other roles' queries, states and times, and replication, are hidden"
    )
    return CollectorError("activity", error, grant(facts))


def _load(_collector: str, _error: DatabaseError, facts: Facts) -> str:
    """What 55000 calls for: what is read is in shared memory, and its library is not loaded."""
    return preload(facts)


def _permit(collector: str, error: DatabaseError, facts: Facts) -> str:
    """What 42501 calls for. What is everybody's unless somebody took it away, pg_monitor does not bring."""
    role = quote_identifier(facts.role)
    if collector in _OF_STATEMENTS and "schema" in error.message:
        schema = quote_identifier(facts.extensions["pg_stat_statements"].schema)
        return one_line(f"GRANT USAGE ON SCHEMA {schema} TO {role};")
    if taken := _taken(error.message, facts):
        return grant(facts, taken)
    if not facts.has_pg_monitor:
        return grant(facts)
    return one_line(f"grant {role} what the message names")


def _taken(message: str, facts: Facts) -> str:
    """The privilege that somebody took from PUBLIC, as GRANT has it; "" where that is not certain."""
    denied = _DENIED.fullmatch(message)
    if not denied or _WITHHELD.fullmatch(denied[2]):
        return ""
    kind, name = denied.groups()
    where = identifier(_schema(name, facts), name)
    if kind != "function":
        return f"SELECT ON {where}"
    return "" if _AMBIGUOUS.fullmatch(name) else f"EXECUTE ON FUNCTION {where}"


def _schema(name: str, facts: Facts) -> str:
    """Where what is asked for by this name is found."""
    extension = facts.extensions.get("pg_stat_statements")
    return extension.schema if extension and name.startswith("pg_stat_statements") else "pg_catalog"
