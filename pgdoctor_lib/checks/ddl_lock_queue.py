"""A statement that waits for ACCESS EXCLUSIVE, and all the others that wait behind it."""

from collections.abc import Sequence

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.checks.sessions import cancelling, told, who
from pgdoctor_lib.checks.waits import on, trees, waited_s
from pgdoctor_lib.quoting import comment
from pgdoctor_lib.units import counted, format_span

_MOST = 10


@check(category="locks and transactions", scope="server", reads=("locks",))
def ddl_lock_queue(now: Document, before: Document, *, warning_s: float = 5, critical_s: float = 30) -> Said:
    """Whoever wants a table waits behind a statement that itself waits to lock it (pg_locks, pg_blocking_pids())."""
    seen = set()
    for tree in trees(now):
        for row in sorted(tree.waiting, key=waited_s, reverse=True):
            behind = [each for each in tree.waiting if row["pid"] in (each.get("blocking_pids") or ())]
            severity = severity_of(waited_s(row), warning_s, critical_s)
            if not (severity and behind and row.get("mode") == "AccessExclusiveLock") or _key(row) in seen:
                continue
            seen.add(_key(row))
            yield graded(
                severity,
                _key(row),
                f"{who(row)} has waited {format_span(waited_s(row))} to lock {on(row)} against all others, "
                f"and {counted(len(behind), 'session')} {'wait' if len(behind) > 1 else 'waits'} behind it",
                subject=on(row),
                threshold=f"a queue behind ACCESS EXCLUSIVE for {format_span(warning_s)}"
                f" (critical: {format_span(critical_s)})",
                evidence=_evidence(row, behind, tree.root),
                remedy=_remedy(row, tree.root),
                caution="the statement is undone, and has to be run again",
                since=now.server_time - waited_s(row),
                because_of=f"blocking-chain:{tree.key}",
            )


def _key(row: Row) -> str:
    """The table: statements that want it wait behind the first of them."""
    names = (row.get("schemaname"), row.get("relname") or row.get("relid") or row["pid"])
    return ".".join(str(name) for name in (row.get("datname"), *names) if name)


def _evidence(row: Row, behind: Sequence[Row], root: Row) -> dict[str, object]:
    return {
        "statement": {"pid": row["pid"], "waiting_s": waited_s(row), "query": told(row.get("query"), 500) or None},
        "waits_for": {
            "pid": root.get("pid"),
            "state": root.get("state"),
            "query": told(root.get("query"), 500) or None,
        },
        "behind_count": len(behind),
        "behind": [
            {"pid": each["pid"], "waiting_s": waited_s(each), "query": told(each.get("query"), 500) or None}
            for each in behind[:_MOST]
        ],
    }


def _remedy(row: Row, root: Row) -> str:
    waits_for = who(root) if root.get("pid") else "a prepared transaction"
    return (
        f"-- let the others through: end the statement that waits to lock {comment(on(row))}\n"
        f"{cancelling(row)}"
        f"-- it waited for {waits_for}. Run it again when that has ended, and let it give up in time:\n"
        "-- SET lock_timeout = '2s'; and again, until it gets through\n"
    )
