"""Who waits for whom in words, as a picture has them: one chain below each session that waits for nobody. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.sessions import doing
from pgdoctor_lib.checks.waits import Tree, on, trees, waited_s
from pgdoctor_lib.units import format_span

_MOST = 5
_MOST_NODES = 41


@dataclass(frozen=True)
class Node:
    """A session, or a prepared transaction. `above`: the place, in the chain, of who is in its way; −1 at the root."""

    name: str
    above: int
    place: str
    how_long: str
    wants: str
    query: str


@dataclass(frozen=True)
class Chain:
    """The root first, each after the one that it waits for. `key`: as that of the finding; `more`: not shown."""

    key: str
    nodes: Sequence[Node]
    waiting_count: int
    longest: str
    more: int


def chains(now: Document) -> list[Chain]:
    """Those with the longest waits first. Raises as `waits.trees` does."""
    return [_chain(tree) for tree in trees(now)[:_MOST]]


def _chain(tree: Tree) -> Chain:
    nodes = [_root(tree)]
    places = {tree.root.get("pid"): 0}
    for row in tree.waiting[: _MOST_NODES - 1]:
        places.setdefault(row["pid"], len(nodes))
        nodes.append(_node(row, places.get(row.get("parent_pid"), 0)))
    count = len(tree.waiting)
    return Chain(tree.key, nodes, count, format_span(tree.longest_s), max(0, count + 1 - _MOST_NODES))


def _root(tree: Tree) -> Node:
    root, waits = tree.root, "session waits" if len(tree.waiting) == 1 else "sessions wait"
    age = root.get("xact_age_s")
    transaction = f"; its transaction is {format_span(age)} old" if age is not None else ""
    wants = f"waits for nobody: {len(tree.waiting)} {waits} for it{transaction}"
    return Node(_name(root), -1, _place(root), doing(root), wants, str(root.get("query") or ""))


def _node(row: Row, above: int) -> Node:
    wants = f"{row.get('mode') or 'a lock'} on {on(row)}"
    return Node(
        _name(row), above, _place(row), f"waits {format_span(waited_s(row))}", wants, str(row.get("query") or "")
    )


def _name(session: Row) -> str:
    if session.get("pid"):
        return f"pid {session['pid']}"
    return f"prepared transaction {session.get('gid') or ''}".strip()


def _place(session: Row) -> str:
    where = " in ".join(str(session[key]) for key in ("usename", "datname") if session.get(key))
    program = session.get("application_name") or session.get("backend_type")
    return " · ".join(str(each) for each in (where, program) if each)
