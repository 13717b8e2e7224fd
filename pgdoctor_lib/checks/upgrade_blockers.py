"""What pg_upgrade will refuse."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.quoting import identifier


@check(category="maintenance", scope="database", reads=("upgrade",))
def upgrade_blockers(now: Document, before: Document) -> Said:
    """A column is of a type that pg_upgrade refuses (regproc and its like in pg_attribute)."""
    for row in now.rows("upgrade"):
        if row.get("is_extension_member"):
            continue
        table, column = f"{row.get('schemaname')}.{row.get('relname')}", str(row.get("attname"))
        pasted = identifier(str(row.get("schemaname")), str(row.get("relname")))
        yield info(
            f"{table}.{column}",
            f"column {column} of {table} is of type {row.get('data_type')}: pg_upgrade refuses a database with it, "
            "since what it holds is another number on the new server",
            subject=table,
            threshold="a type whose values are numbers of objects that an upgrade does not keep",
            evidence={each: row.get(each) for each in ("relkind", "data_type", "is_composite", "views")},
            remedy=_remedy(row, pasted, identifier(column)),
            caution="writes the table anew, and locks out everybody while it does",
        )


def _remedy(row: Row, pasted: str, column: str) -> str:
    wanted = "text[]" if str(row.get("data_type")).endswith("[]") else "text"
    if row.get("relkind") == "m":
        return f"-- before the upgrade: drop the materialized view, and create it with {column}::{wanted}\n"
    if row.get("is_composite"):
        return (
            "-- before the upgrade: make another type, with text in place of what is refused in this one, then\n"
            f"-- ALTER TABLE {pasted} ALTER COLUMN {column} TYPE new_type USING …;\n"
        )
    words = "-- before the upgrade; names instead of numbers\n" + "".join(map(_drop, row.get("views") or ()))
    return f"{words}ALTER TABLE {pasted} ALTER COLUMN {column} TYPE {wanted};\n"


def _drop(view: Row) -> str:
    """Views keep a column's type as it is."""
    name = identifier(str(view.get("schemaname")), str(view.get("relname")))
    kind = "MATERIALIZED VIEW" if view.get("relkind") == "m" else "VIEW"
    return (
        f"-- it uses the column: keep what pg_get_viewdef() says, drop it first, and create it again after: {name}\n"
        f"-- DROP {kind} {name};\n"
    )
