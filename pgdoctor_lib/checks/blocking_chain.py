"""Sessions that wait for a lock, as a tree with whoever is in the way of all at its root."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.checks.sessions import cancelling, doing, ending, evidence, is_idle_in_transaction, told, who
from pgdoctor_lib.checks.waits import Tree, on, trees, waited_s
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.quoting import quote_literal
from pgdoctor_lib.units import counted, format_span

_MOST = 10
_MEANT = {"advisory"}  # a spare that waits until it is the leader, say
_PATIENT = {"advisory", "virtualxid"}  # CREATE INDEX CONCURRENTLY waits for others' transactions, and nobody for it
_TIMEOUTS = (
    "-- and so that nobody waits for so long again: lock_timeout for those who wait,\n"
    "-- idle_in_transaction_session_timeout for those who forget their transaction (ALTER ROLE … SET …)\n"
)
_LOST = "the transaction of {} is rolled back: what it has done is lost, and its client gets an error"


@check(
    category="locks and transactions",
    scope="server",
    reads=("locks",),
    follows_same=("idle-in-transaction", "long-query", "long-transaction", "prepared-xact-orphan"),
)
def blocking_chain(
    now: Document,
    before: Document,
    *,
    warning_s: float = 30,
    critical_s: float = 300,
    critical_waiting_count: float = 10,
    critical_idle_s: float = 300,
    critical_queue_s: float = 30,
) -> Said:
    """Sessions wait for a lock, and one is in the way of them all (pg_locks, pg_blocking_pids())."""
    for tree in trees(now):
        longest, idle = tree.longest_s, _idle_s(tree.root)
        reasons = {
            f"a wait of {format_span(critical_s)}": longest >= critical_s,
            f"{critical_waiting_count:.0f} that wait, one for {format_span(warning_s)}": longest >= warning_s
            and len(tree.waiting) >= critical_waiting_count,
            f"a wait for one that has been idle in transaction for {format_span(critical_idle_s)}": idle
            >= critical_idle_s,
            f"a queue behind ACCESS EXCLUSIVE for {format_span(critical_queue_s)}": _queue_s(tree) >= critical_queue_s,
        }
        if worst := [reason for reason, is_so in reasons.items() if is_so]:
            yield _told(tree, _gravest(tree), f"critical: {worst[0]}", now)
        elif longest >= warning_s:
            yield _told(tree, min(_gravest(tree), Severity.WARNING), f"a wait of {format_span(warning_s)}", now)


def _told(tree: Tree, severity: Severity, threshold: str, now: Document) -> Finding:
    root = tree.root
    state = f", {doing(root)}" if root.get("pid") and doing(root) else ""
    summary = f"{_waiting(tree)}, for up to {format_span(tree.longest_s)}, for {_name(root)}{state}"
    return graded(
        severity,
        tree.key,
        summary,
        subject=_name(root),
        threshold=threshold,
        evidence={
            "root": _root(root),
            "waiting_count": len(tree.waiting),
            "tree": [_branch(row) for row in tree.waiting[:_MOST]],
        },
        remedy=_remedy(tree),
        caution=_LOST.format(_name(root)) if root.get("backend_type") != "startup" else "",
        since=now.server_time - tree.longest_s,
    )


def _branch(row: Row) -> dict[str, object]:
    known = {key: row.get(key) for key in ("pid", "parent_pid", "depth", "mode")}
    return {**known, "on": on(row), "waiting_s": waited_s(row), "query": told(row.get("query"), 500) or None}


def _root(root: Row) -> dict[str, object]:
    return {**evidence(root), **({"gid": root.get("gid")} if root.get("state") == "prepared" else {})}


def _name(root: Row) -> str:
    if root.get("pid"):
        return who(root)
    return f"prepared transaction {told(root.get('gid')) or '(its name is not told)'} of {told(root.get('usename'))}"


def _waiting(tree: Tree) -> str:
    count = len(tree.waiting)
    return f"{counted(count, 'session')} {'waits' if count == 1 else 'wait'}"


def _idle_s(root: Row) -> float:
    """Since when it has done nothing, and keeps others waiting."""
    return float(root.get("state_age_s") or 0) if is_idle_in_transaction(root) else 0.0


def _queue_s(tree: Tree) -> float:
    """The longest wait for ACCESS EXCLUSIVE that others wait behind."""
    parents = {row.get("parent_pid") for row in tree.waiting}
    queued = [row for row in tree.waiting if row["pid"] in parents and row.get("mode") == "AccessExclusiveLock"]
    return max(map(waited_s, queued), default=0.0)


def _gravest(tree: Tree) -> Severity:
    """How bad it can be: some waits are meant, and some harm nobody."""
    kinds = {row.get("locktype") for row in tree.waiting}
    return Severity.INFO if kinds <= _MEANT else Severity.WARNING if kinds <= _PATIENT else Severity.CRITICAL


def _remedy(tree: Tree) -> str:
    root, kind = tree.root, tree.root.get("backend_type")
    if not root.get("pid"):
        gid = root.get("gid")
        where = (
            f"-- in database {told(root.get('datname'))}, as its owner or a superuser, once its transaction manager\n"
        )
        where += "-- does not know it any more\n"
        return where + (f"ROLLBACK PREPARED {quote_literal(gid)};\n" if gid else "-- ROLLBACK PREPARED 'its gid';\n")
    if kind == "startup":
        return "-- recovery replays a lock of a transaction of the primary: end that one there\n"
    if kind == "autovacuum worker":
        first = tree.waiting[0]
        return (
            "-- autovacuum does not give way where it prevents wraparound, and would begin again: let it finish.\n"
            f"-- To let others through at once, end the one that waits for it, {who(first)}:\n"
            f"{cancelling(first)}"
        )
    return f"-- end {who(root)}, for which {_waiting(tree)}\n{ending(root)}{_TIMEOUTS}"
