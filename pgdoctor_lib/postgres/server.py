"""What is learnt about a server once a connection, and asked as `facts.has("pg >= 14")`."""

import json
import re
from dataclasses import dataclass, field

from pgdoctor_lib.errors import UnsupportedServer

OLDEST = 120000
FACTS_COLUMNS = 17
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<)\s*([0-9.]+)\s*")

# The role (or, of Aurora, the function) that only this service's servers have. The first that is there counts.
_SIGNS = {
    "aurora_version": "Amazon Aurora",
    "rds_superuser": "Amazon RDS",
    "cloudsqlsuperuser": "Google Cloud SQL",
    "azure_pg_admin": "Azure Database for PostgreSQL",
    "neon_superuser": "Neon",
    "supabase_admin": "Supabase",
}

FACTS_SQL = f"""SELECT /* pgdoctor:facts */
       current_setting('server_version_num'),
       split_part(current_setting('server_version'), ' ', 1),
       current_setting('server_encoding'),
       pg_is_in_recovery(),
       current_database(),
       current_user,
       pg_has_role(r.oid, 'pg_monitor', 'USAGE'),
       current_setting('pg_stat_statements.max', true) IS NOT NULL,
       r.rolsuper,
       concat_ws(' ', (SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname = ANY ('{{{",".join(_SIGNS)}}}')),
                 to_regproc('pg_catalog.aurora_version')),
       (SELECT oid FROM pg_database WHERE datname = current_database()),
       date_part('epoch', pg_postmaster_start_time()),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
       (SELECT sum(numbackends)::int FROM pg_stat_database),
       r.rolconnlimit,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
       (SELECT json_object_agg(extname, json_build_array(extversion, nspname))
          FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace)::text
  FROM pg_roles r WHERE rolname = current_user"""


@dataclass(frozen=True)
class Extension:
    """An installed extension: its version (not the server's), and the schema that its objects are in."""

    version: tuple[int, ...]
    schema: str


@dataclass(frozen=True)
class Kind:
    """What decides how a database is asked: those of one kind get the same SQL."""

    major: int
    in_recovery: bool
    extensions: frozenset[tuple[str, Extension]]

    def has(self, condition: str) -> bool:
        """Whether "pg >= 14", or "pg_stat_statements >= 1.10" (false where it is not installed), holds."""
        match = _CONDITION.fullmatch(condition)
        if not match:
            raise ValueError(f"not a condition: {condition!r}")
        name, compare, wanted = match.groups()
        installed = dict(self.extensions).get(name)
        if name != "pg" and installed is None:
            return False
        version = installed.version if installed else (self.major,)
        return (version >= _numbers(wanted)) is (compare == ">=")


@dataclass(frozen=True)
class Connections:
    """`usable` by ordinary roles, `taken` by anybody; `of_role`, `of_database`: their limits, −1 for none."""

    usable: int = 0
    taken: int = 0
    of_role: int = -1
    of_database: int = -1


@dataclass(frozen=True)
class Facts:
    """One server and database as the connected role sees them. `version_num`: 150018 for 15.18.

    `provider`: the managed service that runs the server, such as "Amazon RDS"; "" where nothing tells of one. `db_oid`:
    of the database; `started`: of the server, epoch seconds as it tells them; `connections`: what the server has, as it
    was when the connection began.
    """

    version_num: int
    version: str
    server_encoding: str
    in_recovery: bool
    db_name: str
    role: str
    has_pg_monitor: bool
    pg_stat_statements_loaded: bool
    extensions: dict[str, Extension]
    is_superuser: bool = False
    provider: str = ""
    db_oid: int = 0
    started: str = ""
    connections: Connections = field(default=Connections(), compare=False)

    @property
    def major(self) -> int:
        """15 for 15.18."""
        return self.version_num // 10000

    @property
    def kind(self) -> Kind:
        """What of it decides the SQL."""
        return Kind(self.major, self.in_recovery, frozenset(self.extensions.items()))

    def has(self, condition: str) -> bool:
        """`Kind.has`."""
        return self.kind.has(condition)


def parse_facts(row: tuple[str | None, ...]) -> Facts:
    """`Facts` from the one row of `FACTS_SQL`."""
    texts = [value or "" for value in row]
    number, version, encoding, recovery, db_name, role, monitor, loaded, *texts = texts
    superuser, signs, oid, started, *connections, extensions = texts
    return Facts(
        version_num=int(number),
        version=f"PostgreSQL {version}",
        server_encoding=encoding,
        in_recovery=recovery == "t",
        db_name=db_name,
        role=role,
        has_pg_monitor=monitor == "t",
        pg_stat_statements_loaded=loaded == "t",
        extensions={n: _extension(*told) for n, told in json.loads(extensions or "{}").items()},
        is_superuser=superuser == "t",
        provider=next((name for sign, name in _SIGNS.items() if sign in signs.split()), ""),
        db_oid=int(oid),
        started=started,
        connections=Connections(*(int(each or 0) for each in connections)),
    )


def require_supported(version_num: int) -> None:
    """Raise `UnsupportedServer` for a server older than PostgreSQL 12."""
    if version_num < OLDEST:
        major = (
            f"{version_num // 10000}" if version_num >= 100000 else f"{version_num // 10000}.{version_num // 100 % 100}"
        )
        raise UnsupportedServer(
            f"PostgreSQL {major} is too old: PGDoctor needs PostgreSQL 12 or later", hint="upgrade the server"
        )


def _extension(version: object, schema: object) -> Extension:
    if not isinstance(version, str) or not isinstance(schema, str):
        raise TypeError("not an extension's version and schema")
    return Extension(_numbers(version), schema)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
