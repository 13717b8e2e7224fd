"""Tables without a primary key."""

from pgdoctor_lib.checks.altering import LOCKS
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info, warning
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_count

_EVIDENCE = ("relreplident", "reltuples", "n_live_tup", "index_count", "unique_key", "size_bytes")


@check(category="schema", scope="database", reads=("tables", "publications"), every_s=300)
def table_no_pk(now: Document, before: Document, *, least_row_count: float = 1_000) -> Said:
    """A table has no primary key; where it is published, its UPDATE and DELETE fail (pg_index.indisprimary)."""
    published = _published(now)
    for name, of in published.items():
        yield warning(
            name,
            f"table {name} is published by {of['pubname']} and has no replica identity: UPDATE and DELETE fail on it",
            subject=name,
            threshold="no primary key, and relreplident is not set",
            evidence={"pubname": of["pubname"]},
            remedy=f"-- better a primary key; at once:\nALTER TABLE {of['table']} REPLICA IDENTITY FULL;\n",
            caution=f"{LOCKS}. FULL sends whole rows, and the subscriber looks for each by all of its columns",
        )
    for row in now.rows("tables"):
        name = f"{row.get('schemaname')}.{row.get('relname')}"
        rows = row.get("reltuples") or row.get("n_live_tup") or 0  # the latter is counted twice right after ANALYZE
        if row.get("has_primary_key") is False and _is_own(row) and rows >= least_row_count and name not in published:
            yield info(
                name,
                f"table {name} ({format_count(rows)} rows) has no primary key: rows cannot be told from each other, "
                "nor sent by logical replication when they change",
                subject=name,
                threshold=f"told from {format_count(least_row_count)} rows on",
                evidence={each: row.get(each) for each in _EVIDENCE},
                remedy=_remedy(row),
                caution=f"USING INDEX {LOCKS}. A new column writes the table anew",
            )


def _is_own(row: Row) -> bool:
    is_kept = row.get("relkind") in ("r", "p") and row.get("relpersistence", "p") == "p"
    return is_kept and not (row.get("relispartition") or row.get("is_extension_member"))


def _published(now: Document) -> dict[str, dict[str, str]]:
    """Tables whose UPDATE or DELETE fails, by name."""
    return {
        f"{each.get('schemaname')}.{each.get('relname')}": {
            "pubname": str(row.get("pubname")),
            "table": identifier(str(each.get("schemaname")), str(each.get("relname"))),
        }
        for row in (now.rows("publications") if now.has("publications") else [])
        for each in row.get("without_identity") or ()
    }


def _remedy(row: Row) -> str:
    table = identifier(str(row.get("schemaname")), str(row.get("relname")))
    key, new = row.get("unique_key") or {}, identifier(str(row.get("free_column") or "new_id"))
    columns = ", ".join(identifier(str(each)) for each in key.get("columns") or ())
    if row.get("relkind") == "p":
        return _of_partitioned(table, columns, new)
    if key.get("is_free"):
        return f"ALTER TABLE {table} ADD PRIMARY KEY USING INDEX {identifier(str(key.get('indexrelname')))};\n"
    found = (
        f"-- ({columns}) tells the rows apart, and is NOT NULL:" if columns else "-- where columns tell the rows apart:"
    )
    return (
        f"{found} CREATE UNIQUE INDEX CONCURRENTLY name ON {table} ({columns or 'columns'});\n"
        f"-- and then: ALTER TABLE {table} ADD PRIMARY KEY USING INDEX name;\n"
    ) + (
        "-- else a number, which writes the table anew, and locks out everybody while it does:\n"
        f"-- ALTER TABLE {table} ADD COLUMN {new} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;\n"
        if not columns
        else ""
    )


def _of_partitioned(table: str, columns: str, new: str) -> str:
    """USING INDEX is not for these, nor, before 17, an identity; and a key has the partition key in it."""
    if columns:
        return (
            "-- in a quiet hour: nobody can read or write it until the index of each partition is built\n"
            f"-- ALTER TABLE {table} ADD PRIMARY KEY ({columns});\n"
        )
    return (
        "-- a key has the columns in it by which the table is partitioned. In a quiet hour, as nobody can read or\n"
        "-- write meanwhile; where columns tell the rows apart:\n"
        f"-- ALTER TABLE {table} ADD PRIMARY KEY (columns);\n"
        "-- else with a number, which writes all partitions anew:\n"
        f"-- ALTER TABLE {table} ADD COLUMN {new} bigserial;\n"
        f"-- ALTER TABLE {table} ADD PRIMARY KEY (columns, {new});\n"
    )
