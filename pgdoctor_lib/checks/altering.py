"""How a setting is changed: SQL to be pasted, or what to do where SQL does not reach."""

import re
from collections.abc import Mapping

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.quoting import comment, identifier, quote_literal

LOCKS = "locks the table for a moment (ACCESS EXCLUSIVE): set lock_timeout first"
"""What most forms of ALTER TABLE do, in a caution."""
_STANDBY = "-- this is a standby: on its primary, from where it comes here by itself\n"
_WRITES = re.compile(
    r"(?:-- (?:.*: )?)?(?:ALTER (?!SYSTEM\b|ROLE …)|CREATE |DROP |REINDEX |VACUUM|ANALYZE |GRANT |REVOKE |COMMENT )"
)


def provider(now: Document) -> str | None:
    """The managed service that the server belongs to; None for any other, or where that is not known."""
    return now.one("server").get("provider") if now.has("server") else None


def alter_system(now: Document, values: Mapping[str, str], *, restart: bool = False) -> str:
    """Statements that give settings these values for the whole server, from a reload or a restart on.

    A managed service refuses ALTER SYSTEM, and what the server's command line says wins over it: then as comments.
    """
    service = provider(now)
    if service:
        told = [
            f"-- in the configuration that {comment(service)} keeps for the server (ALTER SYSTEM is refused there):"
        ]
        return "\n".join([*told, *(f"-- {name} = {comment(value)}" for name, value in values.items())]) + "\n"
    known = now.settings if now.has("settings") else {}
    fixed = [name for name in values if (known.get(name) or {}).get("source") == "command line"]
    lines = [f"-- {name} is given on the server's command line, which wins: change it there" for name in fixed]
    lines += [f"ALTER SYSTEM SET {_named(name)} = {quote_literal(value)};" for name, value in values.items()]
    lines += ["-- it takes a restart of the server" if restart else "SELECT pg_reload_conf();"]
    return "\n".join(lines) + "\n"


def _named(setting: str) -> str:
    return identifier(*setting.split("."))


def on_primary(now: Document) -> str:
    """Before statements that a standby refuses: a comment that says so, on a standby."""
    return _STANDBY if now.has("database") and now.in_recovery else ""


def where_it_writes(now: Document, remedy: str) -> str:
    """A remedy with that comment before the first statement, run or told, that a standby refuses."""
    words = on_primary(now)
    lines = remedy.splitlines(keepends=True)
    first = next((index for index, line in enumerate(lines) if _WRITES.match(line)), None)
    if not words or first is None or "-- this is a standby" in remedy:
        return remedy
    while first and lines[first - 1].startswith("--"):
        first -= 1
    return "".join([*lines[:first], words, *lines[first:]])


def undo(now: Document, row: Row, good: str) -> str:
    """Statements that take back a setting where it was set. `row`: of `settings`; `good`: what it should be."""
    name, source = str(row.get("name")), str(row.get("source"))
    if source == "database":
        return f"ALTER DATABASE {identifier(now.db_name)} RESET {_named(name)};\n"
    if source in ("user", "database user"):
        return f"-- it is set for the role that PGDoctor comes in as: ALTER ROLE … RESET {comment(name)};\n"
    return alter_system(now, {name: good})
