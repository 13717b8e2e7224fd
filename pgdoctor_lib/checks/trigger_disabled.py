"""Triggers that were disabled, and left so."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier

_LOCKS = "writes of the table wait for a moment (SHARE ROW EXCLUSIVE): set lock_timeout first"
_TO_DROP = ". To drop a foreign key locks both tables for a moment (ACCESS EXCLUSIVE)"


@check(category="schema", scope="database", reads=("triggers", "database"))
def trigger_disabled(now: Document, before: Document) -> Said:
    """A trigger is disabled: a foreign key is not checked, or what an application relies on not done (pg_trigger)."""
    for row in now.rows("triggers"):
        if not row.get("is_extension_member"):
            yield _constraint(row) if row.get("contype") else _own(row)


def _constraint(row: Row) -> Finding:
    table, name, pasted = _names(row)
    return warning(
        f"{table}.{name}",
        f"constraint {name} ({_kind(row)}) is not enforced by table {table}: its triggers are disabled, and rows that "
        "break it may be there already",
        subject=table,
        threshold="pg_trigger.tgenabled is D",
        evidence={each: row.get(each) for each in ("name", "contype", "con_schemaname", "con_relname")},
        remedy=f"-- as a superuser\nALTER TABLE {pasted} ENABLE TRIGGER ALL;\n{_look(row)}",
        caution=f"{_LOCKS}. All triggers of the table are enabled, users' own, too; rows that are there are not "
        "checked" + (_TO_DROP if row.get("contype") == "f" else ""),
    )


def _own(row: Row) -> Finding:
    table, name, pasted = _names(row)
    return info(
        f"{table}.{name}",
        f"trigger {name} of table {table} is disabled: what it does is not done",
        subject=table,
        threshold="pg_trigger.tgenabled is D",
        remedy=f"ALTER TABLE {pasted} ENABLE TRIGGER {identifier(name)};\n",
        caution=f"{_LOCKS}. Rows that came meanwhile have not been through it",
    )


def _names(row: Row) -> tuple[str, str, str]:
    """The table's, the trigger's, and the table's as it is pasted."""
    table = str(row.get("schemaname")), str(row.get("relname"))
    return ".".join(table), str(row.get("name")), identifier(*table)


def _kind(row: Row) -> str:
    where = f"{row.get('con_schemaname')}.{row.get('con_relname')}"
    return f"foreign key of {where}" if row.get("contype") == "f" else f"of {where}"


def _look(row: Row) -> str:
    """A constraint that is valid to the server is not validated again."""
    if row.get("contype") != "f":
        return ""
    table = identifier(str(row.get("con_schemaname")), str(row.get("con_relname")))
    return (
        f"-- then check the rows that are there: drop and add the foreign key of {table} again, NOT VALID,\n"
        f"-- and then: ALTER TABLE {table} VALIDATE CONSTRAINT {identifier(str(row.get('name')))};\n"
    )
