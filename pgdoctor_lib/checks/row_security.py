"""Row-level security that does not do what its policies say."""

from collections.abc import Iterator

from pgdoctor_lib.checks.altering import LOCKS
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, info, warning
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.quoting import identifier


@check(category="security", scope="database", reads=("policies", "database"))
def row_security(now: Document, before: Document) -> Said:
    """A table's policies are not in force, are none, or let everybody write whichever row (pg_policy)."""
    for row in now.rows("policies"):
        if not row.get("is_extension_member"):
            yield from _of(row)


def _of(row: Row) -> Iterator[Finding]:
    """The worst of a table: where its policies are not what counts, nothing is said of them."""
    name = f"{row.get('schemaname')}.{row.get('relname')}"
    pasted = identifier(str(row.get("schemaname")), str(row.get("relname")))
    count, is_on = row.get("policy_count") or 0, row.get("relrowsecurity")
    if count and is_on:
        yield from _let_through(row, name, pasted)
    elif count:
        yield warning(
            name,
            f"table {name} has {_policies(count)}, and row-level security is off: they let nobody see less",
            subject=name,
            threshold="policies, and pg_class.relrowsecurity is false",
            evidence=_evidence(row),
            remedy=f"ALTER TABLE {pasted} ENABLE ROW LEVEL SECURITY;\n",
            caution=f"{LOCKS}. From then on whoever is not its owner sees, and writes, what a policy allows, and "
            "nothing else",
        )
    elif is_on:
        forced = row.get("relforcerowsecurity")
        yield info(
            name,
            f"table {name} has row-level security and no policy: {'' if forced else 'but for its owner '}"
            "nobody sees a row of it",
            subject=name,
            threshold="pg_class.relrowsecurity, and no policy",
            evidence=_evidence(row),
            remedy=f"-- a policy, or: ALTER TABLE {pasted} DISABLE ROW LEVEL SECURITY;\n",
            caution=f"each {LOCKS}. Without row-level security whoever has a right to the table sees, and writes, all "
            "of it",
        )


def _let_through(row: Row, name: str, pasted: str) -> Iterator[Finding]:
    """Policies that are in force."""
    opened, overlapping = row.get("open_policies"), row.get("overlapping")
    if opened:
        policy = identifier(str(opened[0]))
        yield info(
            name,
            f"policy {opened[0]} of table {name} lets every role that may write the table write whichever row",
            subject=name,
            threshold="a permissive policy for PUBLIC, other than for SELECT, whose conditions are true",
            evidence=_evidence(row),
            remedy=f"-- with the condition that is meant: ALTER POLICY {policy} ON {pasted} USING (…);\n"
            "-- where it is for INSERT, WITH CHECK in place of USING\n",
            caution=f"{LOCKS}. From then on others write only what the condition allows",
        )
    elif overlapping:
        first = overlapping[0]
        yield info(
            name,
            f"table {name} has {first.get('count')} permissive policies for {first.get('command')} by "
            f"{first.get('role')}: each of them is evaluated for each row",
            subject=name,
            threshold="one permissive policy for each role and command",
            evidence=_evidence(row),
            remedy="-- one policy with both conditions (a OR b) is cheaper than two\n",
            caution=f"to create, alter or drop one {LOCKS}; in one transaction nobody sees the table without",
        )


_EVIDENCE = ("relrowsecurity", "relforcerowsecurity", "policy_count", "open_policies", "overlapping", "size_bytes")


def _evidence(row: Row) -> Row:
    return {each: row.get(each) for each in _EVIDENCE}


def _policies(count: int) -> str:
    return f"{count} policies" if count != 1 else "a policy"
