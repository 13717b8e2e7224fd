"""What a report draws beside the findings: who waits for whom, what is how large, connections, statements.

Pure: of one document, which may come from a file that somebody made. Values are texts and finite numbers, whatever
stood there; the lists are bounded.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.report.chains import Chain, chains

MOST_SIZES = 20
_MOST_STATEMENTS = 20
_MOST_CHARS = 4000  # of a statement
_T = TypeVar("_T")


@dataclass(frozen=True)
class Size:
    """A database, table or index: its parts in bytes, by name, and all of them together. `remarks`: what else is so."""

    name: str
    total: float
    parts: Mapping[str, float]
    remarks: str = ""


@dataclass(frozen=True)
class Connections:
    """Client sessions by state, and how many there can be (0: not told)."""

    by_state: Mapping[str, float]
    most: float


@dataclass(frozen=True)
class Statement:
    """One of those that cost most. Times in milliseconds; None: not told."""

    text: str
    calls: float | None
    total_ms: float | None
    mean_ms: float | None
    rows: float | None


@dataclass(frozen=True)
class Figures:
    """Of one database. `taken_at`, `compared_at`: epoch seconds, 0 where there is none; `missing`: by kind, why."""

    taken_at: float = 0.0
    compared_at: float = 0.0
    muted_count: int = 0
    chains: Sequence[Chain] = ()
    databases: Sequence[Size] = ()
    tables: Sequence[Size] = ()
    indexes: Sequence[Size] = ()
    connections: Connections | None = None
    statements: Sequence[Statement] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


def figures(now: Document, before: Document, muted_count: int) -> Figures:
    """Of `now`, which was compared with `before`."""
    missing: dict[str, str] = {}

    def attempt(what: str, read: Callable[[Document], _T], nothing: _T) -> _T:
        try:
            return read(now)
        except NotExamined as why:
            missing[what] = str(why)
        except Exception as error:  # noqa: BLE001 (a border: a file may hold anything; it costs one picture)
            missing[what] = f"not as PostgreSQL tells it: {type(error).__name__}"
        return nothing

    nothing: Sequence[Any] = ()
    return Figures(
        now.collected_at,
        before.collected_at or max((part.taken_at for part in before.parts.values()), default=0.0),
        muted_count,
        attempt("who waits for whom", chains, nothing),
        attempt("sizes of databases", _databases, nothing),
        attempt("sizes of tables", _tables, nothing),
        attempt("sizes of indexes", _indexes, nothing),
        attempt("connections", _connections, None),
        attempt("statements", _statements, nothing),
        missing,
    )


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _bytes(row: Row, key: str) -> float:
    return max(0.0, number(row.get(key)) or 0.0)


def _largest(found: Iterable[Size]) -> list[Size]:
    return sorted((each for each in found if each.total), key=lambda each: (-each.total, each.name))[:MOST_SIZES]


def _databases(now: Document) -> list[Size]:
    found = [(_name(row, "datname"), _bytes(row, "size_bytes")) for row in now.rows("database_sizes")]
    own = {True: "this database", False: "others"}
    return _largest(Size(name, size, {own[name == now.db_name]: size}) for name, size in found)


def _tables(now: Document) -> list[Size]:
    """True sizes, where they are told; else what VACUUM or ANALYZE wrote."""
    true = now.has("table_sizes")
    wasted = _wasted(now, "table", ("schemaname", "relname"))
    return _largest(
        _table(row, wasted.get(_name(row, "schemaname", "relname"), 0.0), "" if true else "as of the last ANALYZE")
        for row in now.rows("table_sizes" if true else "tables")
    )


def _table(row: Row, wasted: float, remarks: str) -> Size:
    name, total = _name(row, "schemaname", "relname"), _bytes(row, "size_bytes")
    indexes, toast = _bytes(row, "indexes_size_bytes"), _bytes(row, "toast_size_bytes")
    heap = max(0.0, total - indexes - toast)
    wasted = min(wasted, heap)
    parts = {"rows": heap - wasted, "dead or free": wasted, "TOAST": toast, "indexes": indexes}
    return Size(name, total, parts, remarks)


def _indexes(now: Document) -> list[Size]:
    wasted = _wasted(now, "index", ("schemaname", "indexrelname"))
    found = {_name(row, "schemaname", "indexrelname"): row for row in now.rows("indexes")}
    return _largest(_index(name, row, wasted.get(name, 0.0)) for name, row in found.items())


def _index(name: str, row: Row, wasted: float) -> Size:
    size = _bytes(row, "size_bytes")
    wasted = min(wasted, size)
    flags = {
        "not valid": row.get("indisvalid") is False,
        "never scanned": row.get("idx_scan") == 0,
        "duplicate": bool(row.get("duplicate_of")),
        "redundant": bool(row.get("redundant_to")),
    }
    remarks = ", ".join([f"on {_name(row, 'relname')}", *(flag for flag, is_so in flags.items() if is_so)])
    return Size(name, size, {"entries": size - wasted, "dead or free": wasted}, remarks)


def _wasted(now: Document, kind: str, keys: tuple[str, ...]) -> dict[str, float]:
    rows = now.rows("bloat") if now.has("bloat") else []
    return {_name(row, *keys): _bytes(row, "wasted_bytes_estimate") for row in rows if row.get("kind") == kind}


def _connections(now: Document) -> Connections | None:
    total = now.total("activity")
    by_state = {str(state): number(count) or 0.0 for state, count in (total.get("by_state") or {}).items()}
    return Connections(by_state, _bytes(total, "max_connections")) if by_state else None


def _statements(now: Document) -> list[Statement]:
    if "top_queries" in now.errors:
        raise NotExamined(now.errors["top_queries"])
    return [
        Statement(
            str(row.get("normalized_query") or "")[:_MOST_CHARS] or f"queryid {row.get('fingerprint')}",
            *(number(row.get(key)) for key in ("calls", "total_exec_time_ms", "mean_exec_time_ms", "rows")),
        )
        for row in now.top_queries[:_MOST_STATEMENTS]
    ]


def _name(row: Row, *keys: str) -> str:
    return ".".join(str(row[key]) for key in keys if row.get(key) is not None)
