"""Indexes: how large, how much used; those that are unused, there twice, contained in another, or not valid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgdoctor_lib.checks.document import epoch
from pgdoctor_lib.receiver import shapes
from pgdoctor_lib.receiver.store.model import Objects, Source
from pgdoctor_lib.receiver.web import frame, parts
from pgdoctor_lib.receiver.web.ask import Ask
from pgdoctor_lib.receiver.web.listing import Column, Listing, numbers, sizes
from pgdoctor_lib.receiver.web.tables import growth, growth_column, link, name

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Indexes:
    """What it shows. `before`: the same at the start of the span."""

    source: Source
    read: Objects | None
    before: Objects | None


def view(indexes: Indexes, ask: Ask, foot: frame.Foot) -> str:
    """The page."""
    read = indexes.read
    body = frame.heading("Indexes", ask, parts.read_at(read.at if read else None, ask.now))
    if read is None or not read.rows:
        body += parts.empty("No snapshot told of indexes yet: they come every five minutes.")
    else:
        grown = growth(read.rows, indexes.before.rows if indexes.before else (), "indexrelid")
        body += _listing(indexes.source, grown, ask).html(read.rows, ask, read.more)
    return frame.of_database(indexes.source, "Indexes", body, ask, foot)


def _listing(source: Source, grown: Mapping[Any, float], ask: Ask) -> Listing[Row]:
    return Listing(
        columns=_columns(source, grown, ask),
        words=lambda row: f"{name(row)} {row.get('indexrelname')} {row.get('definition') or ''}",
        usual="size_bytes",
        noun="indexes",
        section="indexes",
        shows=(
            ("unused", "Unused", _is_unused),
            ("duplicate", "Duplicate", lambda row: bool(row.get("duplicate_of"))),
            ("redundant", "Redundant", lambda row: bool(row.get("redundant_to"))),
            ("invalid", "Invalid", _is_invalid),
        ),
    )


def _columns(source: Source, grown: Mapping[Any, float], ask: Ask) -> Sequence[Column[Row]]:
    def named(row: Row) -> str:
        return f"{parts.one_line(row.get('indexrelname'), 80)}{_remarks(row)}{_definition(row)}"

    def unused_since(row: Row) -> float | None:
        return epoch(row.get("unused_since"))

    return (
        Column("name", "Index", named, lambda row: str(row.get("indexrelname")), numeric=False, down=False),
        Column("table", "Table", lambda row: link(source, row, ask), name, numeric=False, down=False),
        sizes("size_bytes", "Size"),
        growth_column(grown, "indexrelid"),
        numbers("idx_scan", "Scans", "since the counters were reset"),
        numbers("idx_tup_read", "Entries read", "since the counters were reset"),
        Column("unused", "Unused since", lambda row: parts.ago(unused_since(row), ask.now), unused_since, down=False),
    )


def _is_unused(row: Row) -> bool:
    """That nobody has scanned, and that nothing needs all the same."""
    needed = any(row.get(key) for key in ("indisunique", "indisprimary", "indisexclusion", "backs_constraint"))
    return shapes.real(row.get("idx_scan")) == 0 and not needed


def _is_invalid(row: Row) -> bool:
    return row.get("indisvalid") is False and not row.get("is_building")


def _remarks(row: Row) -> str:
    words = [word for key, word in (("indisprimary", "primary key"), ("is_partial", "partial")) if row.get(key)]
    if row.get("indisunique") and not row.get("indisprimary"):
        words.append("unique")
    if count := shapes.real(row.get("partition_count")):
        words.append(f"{count:.0f} partitions")
    told = "".join(f' <span class="tag">{word}</span>' for word in words)
    for key, word in (("duplicate_of", "the same as"), ("redundant_to", "contained in")):
        if row.get(key):
            told += f' <span class="tag warning">{word} {parts.one_line(_other(row[key]), 60)}</span>'
    if row.get("is_building"):
        told += ' <span class="tag">being built</span>'
    return told + (' <span class="tag critical">not valid</span>' if _is_invalid(row) else "")


def _other(found: object) -> str:
    return str(found.get("indexrelname") or "") if isinstance(found, Mapping) else str(found)


def _definition(row: Row) -> str:
    return f'<code class="below">{parts.one_line(row["definition"], 160)}</code>' if row.get("definition") else ""
