"""Constraints that were added NOT VALID, and left so."""

from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, info
from pgdoctor_lib.quoting import identifier

_KINDS = {"f": "foreign key", "c": "check constraint", "n": "not-null constraint"}


@check(category="schema", scope="database", reads=("constraints",), for_s=DAY_S)
def constraint_not_valid(now: Document, before: Document) -> Said:
    """A constraint is NOT VALID: rows that were there before it may break it (pg_constraint.convalidated)."""
    for row in now.rows("constraints"):
        if row.get("convalidated") is not False or row.get("is_extension_member"):
            continue
        schema, table, name = (str(row.get(each)) for each in ("schemaname", "relname", "conname"))
        kind = _KINDS.get(str(row.get("contype")), "constraint")
        yield info(
            f"{schema}.{table}.{name}",
            f"{kind} {name} of table {schema}.{table} is not validated: rows that were there before it may break it, "
            "and the planner does not rely on it",
            subject=f"{schema}.{table}",
            threshold="pg_constraint.convalidated is false, for a day",
            evidence={each: row.get(each) for each in ("contype", "columns", "ref_relname", "reltuples", "size_bytes")},
            remedy=f"ALTER TABLE {identifier(schema, table)} VALIDATE CONSTRAINT {identifier(name)};\n",
            caution="reads the whole table; reads and writes go on. It fails where a row breaks the constraint",
        )
