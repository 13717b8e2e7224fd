"""How a key becomes a bigint, and with it what references it."""

from collections.abc import Iterator

from pgdoctor_lib.checks.document import Row
from pgdoctor_lib.quoting import identifier, relation_literal
from pgdoctor_lib.units import counted, format_bytes

CAUTION = (
    "to change a column's type writes the table and its indexes anew, and locks out everybody while it does (ACCESS "
    "EXCLUSIVE), also from the tables that foreign keys tie it to, whose rows are checked again: set lock_timeout "
    "first. For a large table add a bigint column, fill it bit by bit, and exchange the two"
)


def widened(table: tuple[str, str], column: str, known: Row | None) -> list[str]:
    """Statements that make a bigint of it. `known`: its row of `columns`, which says what references it.

    Columns of one table are changed at once: it is written anew but once.
    """
    found: list[Row] = [each for each in (known or {}).get("referencing") or () if isinstance(each, dict)]
    tables: dict[tuple[str, str], list[Row]] = {}
    for each in found:
        tables.setdefault(_table(each), []).append(each)
    own = [*tables.pop(table, []), known or {"attname": column}]
    return [
        *_words(table, known, found),
        *(line for each in [*tables.items(), (table, own)] for line in _altered(*each)),
    ]


def _altered(table: tuple[str, str], columns: list[Row]) -> Iterator[str]:
    names = {identifier(str(row.get("attname"))): bool(row.get("is_partition_key")) for row in columns}
    pasted = identifier(*table)
    for name in [name for name, is_fixed in names.items() if is_fixed]:
        yield f"-- {pasted} is partitioned by {name}, whose type cannot be changed: make it anew, and fill it"
    if changes := ", ".join(f"ALTER COLUMN {name} TYPE bigint" for name, is_fixed in names.items() if not is_fixed):
        yield f"ALTER TABLE {pasted} {changes};"


def _words(table: tuple[str, str], known: Row | None, found: list[Row]) -> list[str]:
    count = (known or {}).get("referencing_count")
    if count == 0:
        return ["-- when nobody needs the table:"]
    sizes = {_table(each): each.get("size_bytes") or 0 for each in found}
    size = f" ({format_bytes(sum(sizes.values()))})" if found else ""
    lines = [f"-- columns that reference it first{size}; when nobody needs those tables, nor this one:"]
    if count is None or count > len(found):
        more = f"{counted(count - len(found), 'more column')} are not named" if count else "which are these"
        lines.append(f"-- {more}: {_ASK.format(relation_literal(*table))}")
    return lines


def _table(row: Row) -> tuple[str, str]:
    return str(row.get("schemaname")), str(row.get("relname"))


_ASK = "SELECT conrelid::regclass, conname FROM pg_constraint WHERE confrelid = {}::regclass;"
