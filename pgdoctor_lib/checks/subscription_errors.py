"""Subscriptions that do not go on."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import counted, format_span

_ERRORS = ("apply_error_count", "sync_error_count")
_DIVERGED = (
    "confl_update_missing",
    "confl_delete_missing",
    "confl_update_origin_differs",
    "confl_delete_origin_differs",
)
_READ = ("subscriptions",)
_COUNTED = ("subscriptions", ("subid",), (*_ERRORS, *_DIVERGED))
_SAME = "-- the server's log names the rows; make both sides the same, and write to one side only\n"


@check(category="replication and WAL", scope="database", reads=_READ, compares=_READ, times=2)
def subscription_errors(
    now: Document, before: Document, *, critical_s: float = 600, least_error_count: float = 3
) -> Said:
    """A subscription does not run, or fails again and again (pg_stat_subscription, pg_stat_subscription_stats 15+)."""
    changes = {}
    if before.has("subscriptions"):
        changes = {change.row.get("subid"): change for change in delta.rows(now, before, *_COUNTED)}
    for row in now.rows("subscriptions"):
        name, change = str(row.get("subname")), changes.get(row.get("subid"))
        told = _told(row, change, least_error_count)
        if not told:
            continue
        what, is_stopped, remedy = told
        lasting_s = now.lasting_s(f"subscription-errors:{name}")
        is_critical = is_stopped and lasting_s >= critical_s
        yield graded(
            Severity.CRITICAL if is_critical else Severity.WARNING,
            name,
            f"subscription {name} {what}{f', for {format_span(lasting_s)}' if lasting_s >= 1 else ''}",
            subject=name,
            threshold=f"in 2 snapshots in a row no process applies, or {least_error_count:g} errors within an hour; "
            f"critical after {format_span(critical_s)}",
            evidence=_evidence(row, change),
            remedy=remedy,
            caution="meanwhile the publisher keeps all WAL for it, and what is read here is of the past"
            if is_stopped
            else "",
        )


def _told(row: Row, change: Change | None, least: float) -> tuple[str, bool, str] | None:
    """What is wrong with it, whether it stands still now, and what mends it; None where nothing is wrong."""
    errors = sum(row.get(name) or 0 for name in _ERRORS)
    if not row.get("subenabled"):
        if row.get("subdisableonerr") and errors:
            return f"was disabled by an error ({counted(errors, 'error')} so far; disable_on_error)", True, _mend(row)
        return None  # somebody wanted it so
    failed = sum(change.in_an_hour(name) for name in _ERRORS) if change else 0
    if failed >= least:
        what = f"fails again and again ({counted(round(failed), 'error')} within an hour)"
        return what, row.get("pid") is None, _mend(row)
    if row.get("pid") is None:
        return "does not run: no process applies what is published", True, _mend(row)
    diverged = sum(change.by[name] for name in _DIVERGED) if change else 0
    if diverged:
        return f"met {counted(round(diverged), 'row')} that were not as on the publisher, and went on", False, _SAME
    return None


def _evidence(row: Row, change: Change | None) -> dict[str, object]:
    names = ("subenabled", "subdisableonerr", "subslotname", "pid", *_ERRORS, "last_msg_age_s", "latest_end_age_s")
    grown = {name: count for name, count in change.by.items() if count} if change else {}
    kept = {name: row.get(name) for name in (*names, "not_ready_count", "not_ready")}
    return {**kept, "grown": grown, "seconds": round(change.seconds) if change else None}


def _mend(row: Row) -> str:
    name = identifier(str(row.get("subname")))
    lines = ["-- the server's log says why, and gives the finish LSN of the transaction that fails"]
    lines += [
        "-- a row that is here already: delete it; then it goes on by itself. Or leave that transaction out (15+):"
    ]
    lines += [f"-- ALTER SUBSCRIPTION {name} SKIP (lsn = 'that LSN');"]
    lines += ["-- no connection: the publisher is down, or its address or password in the subscription is wrong"]
    lines += ["-- no process at all, and nothing in the log: max_logical_replication_workers are all in use"]
    if not row.get("subenabled"):
        lines += ["-- then", f"ALTER SUBSCRIPTION {name} ENABLE;"]
    return "\n".join(lines) + "\n"
