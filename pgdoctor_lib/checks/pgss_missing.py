"""pg_stat_statements is not there, or tells less than it could."""

import re
from collections.abc import Iterator

from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.checks.sessions import told
from pgdoctor_lib.quoting import quote_literal

_NAME = "pg_stat_statements"
_SQL = ("CREATE ", "GRANT ", "ALTER ")
_ON_PRIMARY = "-- this is a standby: CREATE and ALTER EXTENSION, and GRANT, on its primary\n"
_CREATE = f"CREATE EXTENSION IF NOT EXISTS {_NAME};\n"


@check(category="queries", scope="database", reads=("queries", "settings", "extensions", "database"), every_s=300)
def pgss_missing(now: Document, before: Document) -> Said:
    """pg_stat_statements is not loaded, not created, hidden, records nothing, or is of an old version."""
    for summary, remedy, caution in _causes(now):
        yield info(
            "",
            summary,
            subject=_NAME,
            threshold="whatever pg_stat_statements could tell",
            remedy=_ON_PRIMARY + remedy if now.has("database") and now.in_recovery else remedy,
            caution=caution,
            because_of=f"extension-updates:{_NAME}" if remedy.startswith("ALTER EXTENSION") else "",
        )
        return


def _causes(now: Document) -> Iterator[tuple[str, str, str]]:
    """Each as a summary, a remedy, and what that costs; the first that there is hides the others."""
    why, _, hint = now.errors.get("queries", "").partition("; ")
    if not now.is_fresh("queries"):
        if not why.startswith(f"{_NAME} is ") and not hint.startswith(_SQL):
            raise NotExamined(now.errors.get("queries") or "the snapshot has no section queries")
        restart = "a restart of the server" if why.startswith(f"{_NAME} is not loaded") else ""
        yield f"{why}: which statements take the time, and which got slower, is not known", _remedy(hint, now), restart
        return
    total = now.total("queries")
    if total.get("recording") is False:
        yield f"{_NAME} records nothing: its figures are old", _remedy(hint, now), "some work for each statement"
    if hidden := total.get("hidden_count"):
        less = f"{hidden} statements of other roles are hidden: which of them take the time is not known"
        yield less, _remedy(hint, now), ""
    for row in now.rows("extensions") if now.has("extensions") else ():
        if row.get("extname") == _NAME and row.get("update_available"):
            old, new = row.get("extversion"), row.get("default_version")
            less = f"{_NAME} is of version {old}, where the server has {new}: some counters are missing"
            yield less, f"ALTER EXTENSION {_NAME} UPDATE;\n", ""


def _remedy(hint: str, now: Document) -> str:
    """SQL where the hint is some, or can be made of it; else the hint, which knows how the provider wants it."""
    if hint.startswith(_SQL):
        return re.sub(r"; (?!--)", ";\n", hint.strip()) + "\n"
    libraries = now.settings.get("shared_preload_libraries") if now.has("settings") else None
    if not hint.startswith("add ") or libraries is None:
        return f"-- {told(hint, 500)}\n"
    if libraries.get("source") == "command line":
        return f"-- add {_NAME} to shared_preload_libraries on the server's command line, restart it, then:\n{_CREATE}"
    names = [name.strip().strip('"') for name in str(libraries.get("setting") or "").split(",")]
    wanted = ", ".join(quote_literal(name).strip() for name in [*filter(None, names), _NAME])
    return f"ALTER SYSTEM SET shared_preload_libraries = {wanted};\n{_CREATE}-- then restart the server\n"
