"""Who keeps VACUUM from cleaning, of each kind the oldest: what is told in the section `horizon`."""

from collections.abc import Iterator
from dataclasses import dataclass

from pgdoctor_lib.checks.document import Row, epoch
from pgdoctor_lib.checks.sessions import terminating
from pgdoctor_lib.quoting import comment, identifier, quote_literal

_DUMPS = ("pg_dump", "pg_dumpall")
_ON_STANDBY = (
    "SELECT pid, usename, xact_start, query FROM pg_stat_activity\n"
    " WHERE backend_xmin IS NOT NULL ORDER BY age(backend_xmin) DESC LIMIT 5;\n"
)


@dataclass(frozen=True)
class Holder:
    """One of them.

    `source`: how the names of its columns begin; `key`: pid, gid, or the name of the standby or slot; `age`: how many
    transactions have begun since what it holds; `since`: epoch seconds, since when it holds at the earliest, None where
    the server does not tell.
    """

    source: str
    key: str
    words: str
    age: float
    since: float | None
    remedy: str
    caution: str
    is_dump: bool = False


def holders(row: Row) -> Iterator[Holder]:
    """Each kind's oldest, without those that are as old as another merely because they follow it."""
    found = [_session(row), _prepared(row), _feedback(row), _slot(row, "slot"), _slot(row, "catalog_slot")]
    seen: set[str] = set()
    for holder in sorted((each for each in found if each), key=lambda each: -each.age):
        follows = holder.age == row.get("oldest_xmin_age") and holder.source != row.get("oldest_source")
        if not follows and holder.key not in seen:
            seen.add(holder.key)
            yield holder


def _session(row: Row) -> Holder | None:
    age, pid = row.get("session_xmin_age"), row.get("session_pid")
    if age is None or row.get("session_backend_type") == "autovacuum worker":
        return None
    name = row.get("session_application_name") or row.get("session_backend_type")
    state = row.get("session_state") or "working"
    words = f"the transaction of pid {pid} ({row.get('session_usename')}, {name}, {state})"
    started = row.get("session_xact_start")
    remedy = terminating({"pid": pid, "xact_start": started})
    caution = "ends that session, its transaction is rolled back: see first what it does, and whose it is"
    return Holder("session", str(pid), words, age, epoch(started), remedy, caution, name in _DUMPS)


def _prepared(row: Row) -> Holder | None:
    age, gid = row.get("prepared_xmin_age"), row.get("prepared_gid")
    if age is None:
        return None
    where = f"-- connected to the database {identifier(str(row.get('prepared_datname')))}, and if it must not commit\n"
    remedy = (
        f"ROLLBACK PREPARED {quote_literal(str(gid)).strip()};\n" if gid is not None else "-- ROLLBACK PREPARED …\n"
    )
    return Holder(
        "prepared",
        str(gid or "prepared"),
        f"the prepared transaction {gid or '(its name is not told)'}",
        age,
        epoch(row.get("prepared_prepared")),
        where + remedy,
        "what it did is lost: ask its transaction manager first whether it is to be committed (COMMIT PREPARED)",
    )


def _feedback(row: Row) -> Holder | None:
    age, name = row.get("feedback_xmin_age"), row.get("feedback_application_name")
    if age is None:
        return None
    place = comment(f"{name} ({row.get('feedback_client_addr') or 'local'})")
    where = f"-- on the standby {place}, which query is it?\n"
    words = f"a query on the standby {name} (hot_standby_feedback)"
    return Holder("feedback", str(name), words, age, None, where + _ON_STANDBY, "")


def _slot(row: Row, source: str) -> Holder | None:
    own = "" if source == "slot" else "catalog_"
    age, name = row.get(f"{source}_xmin_age"), row.get(f"{own}slot_name")
    if age is None:
        return None
    words = f"the replication slot {name}{' (of the system catalogs)' if own else ''}"
    since = epoch(row.get(f"{source}_inactive_since"))
    if not row.get(f"{source}_active"):
        remedy = (
            f"-- if nobody comes back for it\nSELECT pg_drop_replication_slot({quote_literal(str(name)).strip()});\n"
        )
        return Holder(source, str(name), words, age, since, remedy, "its consumer must be built anew")
    if row.get(f"{own}slot_type") == "physical":
        remedy = f"-- on the standby that streams from {comment(name)}: which query is it?\n{_ON_STANDBY}"
    else:
        remedy = f"-- the consumer of {comment(name)} lags, or does not confirm what it has read: see its own log\n"
    return Holder(source, str(name), words, age, None, remedy, "")
