"""Sessions in plain words: who one is, what it does, what ends it."""

import re
from collections.abc import Mapping, Sequence

from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.quoting import quote_literal
from pgdoctor_lib.units import format_count, format_span

_EVIDENCE = (
    "pid",
    "datname",
    "usename",
    "application_name",
    "client_addr",
    "backend_type",
    "state",
    "wait_event_type",
    "wait_event",
    "xact_age_s",
    "query_age_s",
    "state_age_s",
    "backend_xid_age",
    "backend_xmin_age",
)
_UPKEEP = re.compile(r"\s*(VACUUM|ANALY[SZ]E|REINDEX|CLUSTER|CREATE\s+(UNIQUE\s+)?INDEX)\b", re.IGNORECASE)
_UPKEEP_PROGRAMS = ("pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "vacuumdb", "reindexdb", "clusterdb")
_UPKEEP_COMMANDS = ("VACUUM", "ANALYZE", "CREATE INDEX", "REINDEX", "CLUSTER", "BASE BACKUP")


def clients(now: Document) -> list[Row]:
    """The client sessions among the rows of `activity`. Raises `NotExamined` where their states are hidden."""
    if "activity" in now.errors:
        raise NotExamined(now.errors["activity"])
    if set(now.total("activity").get("by_state") or ()) == {"disabled"}:
        raise NotExamined("track_activities is off; ALTER SYSTEM SET track_activities = on; SELECT pg_reload_conf();")
    return [row for row in now.rows("activity") if row.get("backend_type") == "client backend"]


def is_idle_in_transaction(session: Row) -> bool:
    """Whether it has a transaction open, and nothing to do in it; it may have failed."""
    return str(session.get("state")).startswith("idle in transaction")


def holds(session: Row) -> bool:
    """Whether it keeps VACUUM from cleaning: by a transaction's id of its own, or a snapshot."""
    return session.get("backend_xid_age") is not None or session.get("backend_xmin_age") is not None


def upkeep(now: Document) -> frozenset[int]:
    """The processes that VACUUM, ANALYZE, build an index or back up: these are long by nature."""
    rows = now.rows("progress") if now.has("progress") else []
    return frozenset(row["pid"] for row in rows if str(row.get("command")).startswith(_UPKEEP_COMMANDS))


def is_upkeep(session: Row) -> bool:
    """The same by what it runs, or calls itself."""
    name = str(session.get("application_name"))
    return name.startswith(_UPKEEP_PROGRAMS) or bool(_UPKEEP.match(session.get("query") or ""))


def waits_for_lock(session: Row) -> bool:
    """Whether others are in its way: of them blocking-chain tells."""
    return session.get("wait_event_type") == "Lock"


def who(session: Row) -> str:
    """For people: "session 4711 (app in shop, psql)"."""
    place = " in ".join(told(session[key]) for key in ("usename", "datname") if session.get(key))
    program = told(session.get("application_name")) or told(session.get("backend_type"))
    about = ", ".join(filter(None, (place, program)))
    return f"session {session.get('pid')}" + (f" ({about})" if about else "")


def doing(session: Row) -> str:
    """For people: "idle in transaction for 15 min"."""
    state, age = session.get("state"), session.get("state_age_s")
    return told(state) + (f" for {format_span(age)}" if state and age is not None else "")


def left_behind(age: float) -> str:
    """What is kept from being cleaned up by a transaction since which that many have begun."""
    begun = "one transaction" if age == 1 else f"{format_count(age)} transactions"
    return f"what {begun} left behind since cannot be cleaned up"


def told(text: object, most: int = 100) -> str:
    """On one line, without what a terminal might take for a command, and cut; "" for None."""
    line = " ".join(str(text if text is not None else "").split())
    line = "".join(character for character in line if character.isprintable())
    return line if len(line) <= most else line[: most - 1] + "…"


def evidence(session: Row) -> Mapping[str, object]:
    """What is known of it, with its query."""
    known = {key: session.get(key) for key in _EVIDENCE if session.get(key) is not None}
    return {**known, "query": told(session.get("query"), 500) or None}


def ending(session: Row) -> str:
    """SQL that ends what it runs, or where it runs nothing, the session; in the transaction that it has open."""
    if session.get("state") != "active":
        return terminating(session)
    terminate = terminating(session)
    words = "" if terminate.startswith("--") else "-- where that does not help: "
    return cancelling(session, "xact_start", "backend_start") + words + terminate


def terminating(session: Row) -> str:
    """SQL that ends the session, as long as it is in the same transaction."""
    return _signal("pg_terminate_backend", session, ("xact_start", "backend_start"))


def cancelling(session: Row, *since: str) -> str:
    """SQL that ends what the session runs, as long as it is the same: by the first of `since` that is known."""
    return _signal("pg_cancel_backend", session, since or ("query_start",))


def _signal(function: str, session: Row, since: Sequence[str]) -> str:
    """A pid is given to others, and a session goes on to other things: a report may be read much later."""
    pid = int(session["pid"])
    for column in since:
        if session.get(column):
            begun = quote_literal(str(session[column])).strip()
            return f"SELECT {function}(pid) FROM pg_stat_activity WHERE pid = {pid} AND {column} = {begun};\n"
    return f"-- if it is still the same, which is not told: SELECT {function}({pid});\n"
