"""What a server, or a database, could tell and does not, though nothing fails; and the SQL that has it told.

Asked for by people who look at their configuration, never in a cycle.
"""

from dataclasses import dataclass

from pgdoctor_lib.collectors.remedies import grant, settings
from pgdoctor_lib.postgres.session import Session
from pgdoctor_lib.quoting import quote_identifier
from pgdoctor_lib.secret import one_line

MONITOR = "CREATE ROLE pgdoctor LOGIN; GRANT pg_monitor TO pgdoctor;"
TIMEOUT_S = 10.0
_LONGEST = 4000  # a line's characters: SQL that is cut short helps nobody
# By setting: the value that it should have, and what is missing else.
_WANTED = {
    "track_activities": ("on", "what sessions do"),
    "track_counts": ("on", "all counters of tables and indexes"),
    "track_io_timing": ("on", "times of reads and writes"),
    "track_functions": ("pl", "functions' calls and times"),
}
_SETTINGS = f"""SELECT /* pgdoctor:lacking */ name FROM unnest('{{{",".join(_WANTED)}}}'::text[]) name
 WHERE current_setting(name) IN ('off', 'none')"""
# What the role may not read: pg_stats hides the statistics of such tables' columns; such sequences hide their values.
_UNREAD = """SELECT /* pgdoctor:lacking */
       count(*) FILTER (WHERE relkind <> 'S'), count(*) FILTER (WHERE relkind = 'S'),
       string_agg(DISTINCT quote_ident(nspname), ', ')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE c.oid >= 16384 AND relkind IN ('r', 'm', 'p', 'S') AND relpersistence <> 't'
   AND NOT has_table_privilege(c.oid, 'SELECT')"""
_OUTDATED = """SELECT /* pgdoctor:lacking */ installed_version, default_version FROM pg_available_extensions
 WHERE name = 'pg_stat_statements' AND installed_version <> default_version"""


@dataclass(frozen=True)
class Lacking:
    """A line each, with its remedy: of the server and its role, the same from whatever database; of the database."""

    server: tuple[str, ...]
    database: tuple[str, ...]


def lacking(session: Session) -> Lacking:
    """What is only told in part here. Raises `DatabaseError` or `DeadlineExceeded`."""
    with session.transaction(TIMEOUT_S):
        server = (*_superuser(session), *_settings(session))
        return Lacking(server, (*_unread(session), *_outdated(session)))


def _superuser(session: Session) -> list[str]:
    if not session.facts.is_superuser:
        return []
    who = one_line(quote_identifier(session.facts.role))
    return [f"role {who} is a superuser, which PGDoctor does not need: let it connect as another; {MONITOR}"]


def _settings(session: Session) -> list[str]:
    missing = [str(row[0]) for row in session.query(_SETTINGS)]
    if not missing:
        return []
    told = ", ".join(f"{_WANTED[name][1]} ({name})" for name in missing)
    return [f"not told: {told}; {settings(session.facts, {name: _WANTED[name][0] for name in missing})}"]


def _unread(session: Session) -> list[str]:
    tables, sequences, schemas = session.row(_UNREAD, 3)
    if not schemas:
        return []
    role = quote_identifier(session.facts.role)
    of_sequences, of_tables = (
        f"GRANT SELECT ON ALL {what} IN SCHEMA {schemas} TO {role};" for what in ("SEQUENCES", "TABLES")
    )
    remedy = f"{of_sequences} {of_tables}"
    if session.facts.has("pg >= 14"):
        everything = grant(session.facts, "pg_read_all_data")
        remedy = f"{everything} it can then read rows, too; or for sequences alone {of_sequences}"
    told = f"values of sequences ({sequences}) and statistics of tables' columns ({tables}) that the role may not read"
    return [one_line(f"not told: {told}; {remedy}", _LONGEST)]


def _outdated(session: Session) -> list[str]:
    rows = session.query(_OUTDATED)
    update = "ALTER EXTENSION pg_stat_statements UPDATE;"
    return [one_line(f"pg_stat_statements is of version {old}, where {new} tells more; {update}") for old, new in rows]
