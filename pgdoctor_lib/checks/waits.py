"""Who waits for whom: the rows of `locks` as trees, one below each session or prepared transaction in the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgdoctor_lib.checks.document import Document, NotExamined, Row

_MOST_STEPS = 100
Children = Mapping[object, Sequence[Row]]


@dataclass(frozen=True)
class Tree:
    """`root`: who waits for nobody, as `blockers` tells it; `waiting`: all who wait for it, each below its parent."""

    root: Row
    waiting: Sequence[Row]

    @property
    def key(self) -> str:
        """The root's pid; of a prepared transaction its name."""
        return str(self.root.get("gid") or self.root["pid"])

    @property
    def longest_s(self) -> float:
        """How long the one waits that has waited longest."""
        return max(map(waited_s, self.waiting))


def trees(now: Document) -> list[Tree]:
    """Those with the longest waits first. Raises `NotExamined` where somebody waits and it is hidden since when."""
    rows = [row for row in now.rows("locks") if row.get("root_pid") is not None]
    if rows and all(row.get("waiting_s") is None for row in rows):
        raise NotExamined(now.errors.get("activity") or "since when sessions wait is not told")
    by_pid = {row["pid"]: row for row in rows}
    roots: dict[object, Row] = {}
    below: dict[object, list[Row]] = {}
    for row in sorted(rows, key=waited_s, reverse=True):
        if row.get("parent_pid") in by_pid:
            below.setdefault(row["parent_pid"], []).append(row)
        else:
            root = _root(row)
            identity = (root["pid"], root.get("gid"))
            roots[identity] = {**root, **roots.get(identity, {})}
            below.setdefault(identity, []).append(row)
    found = [Tree(root, _walk(identity, below)) for identity, root in roots.items()]
    return sorted(found, key=lambda tree: tree.longest_s, reverse=True)


def waited_s(row: Row) -> float:
    """For how long it has waited, in seconds.

    Before 14 only its last change of state is known; but it cannot have waited for longer than its parent's
    transaction is old.
    """
    known = [row.get("waiting_s")]
    if row.get("wait_age_s") is None:
        known += [each.get("xact_age_s") for each in row.get("blockers") or () if each["pid"] == row.get("parent_pid")]
    return min((float(each) for each in known if each is not None), default=0.0)


def on(row: Row) -> str:
    """For people, what it waits for: "table public.orders", "row of public.orders"."""
    names = [".".join(filter(None, (row.get(f"{of}schemaname"), row.get(f"{of}relname")))) for of in ("", "row_")]
    kind, table = row.get("locktype"), names[0] or names[1]
    if kind == "relation":
        return f"table {table}" if table else f"table {row.get('relid')} of database {row.get('datname')}"
    if kind in ("transactionid", "tuple"):
        return f"row of {table}" if table else f"transaction {row.get('transactionid')}"
    if kind == "advisory":
        return f"advisory lock {row.get('classid')}, {row.get('objid')}"
    return f"{kind} {row.get('virtualxid')}" if kind == "virtualxid" else f"{kind} {table}".strip()


def _root(row: Row) -> Row:
    """Of one right below it."""
    blockers = [each for each in row.get("blockers") or () if each.get("pid") == row["root_pid"]]
    return blockers[0] if blockers else {"pid": row["root_pid"]}


def _walk(parent: object, below: Children, steps: int = 0) -> list[Row]:
    found: list[Row] = []
    for row in below.get(parent, ()) if steps < _MOST_STEPS else ():
        found += [row, *_walk(row["pid"], below, steps + 1)]
    return found
