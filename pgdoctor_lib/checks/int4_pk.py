"""Keys of type integer whose numbers run out."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.checks.sequence_exhaustion import trend
from pgdoctor_lib.checks.widening import CAUTION, widened
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_used

_EVIDENCE = ("data_type", "sequencename", "last_value", "greatest_value", "limit_value", "used_percent", "reltuples")


@check(category="schema", scope="database", reads=("columns",))
def int4_pk(now: Document, before: Document, *, warning_percent: float = 50, critical_percent: float = 75) -> Said:
    """A key of type integer, or what references one, has used up much of its numbers (pg_attribute, pg_sequence)."""
    told: set[str] = set()
    for row in now.rows("columns"):
        key = ".".join(str(row.get(each)) for each in ("schemaname", "relname", "attname"))
        is_key = row.get("is_primary_key") or row.get("ref_relid") is not None
        severity = severity_of(row.get("used_percent"), warning_percent, critical_percent)
        if severity is None or not is_key or row.get("is_extension_member") or key in told:
            continue
        told.add(key)
        yield graded(
            severity,
            key,
            f"{row.get('data_type')} column {key} has used {_used(row)} of the numbers that its type holds{_of(row)}: "
            "beyond them INSERT fails",
            subject=key,
            threshold=f"warning from {warning_percent:g} %, critical from {critical_percent:g} % of "
            f"{row.get('limit_value')} on: to make it a bigint takes long",
            evidence={each: row.get(each) for each in _EVIDENCE},
            remedy=_remedy(row),
            caution=CAUTION,
            days_left=_days_left(now, row),
            because_of=f"sequence-exhaustion:{_sequence(row)}",
        )
    if not told and (count := now.total("columns").get("unreadable_count")):
        raise NotExamined(
            f"PGDoctor's role may not read the sequences of {count} columns; GRANT pg_read_all_data (14+), or SELECT "
            "on the sequences, to it"
        )


def _used(row: Row) -> str:
    last = row.get("greatest_value") if row.get("last_value") is None else row["last_value"]
    return format_used(row["used_percent"], is_left=abs(last or 0) < abs(row.get("limit_value") or 0))


def _of(row: Row) -> str:
    """Where it is not its own numbers."""
    names = [row.get(f"ref_{each}") for each in ("schemaname", "relname", "attname")]
    return f" (those of the {row.get('ref_data_type')} column {'.'.join(map(str, names))})" if names[2] else ""


def _sequence(row: Row) -> str:
    return f"{row.get('sequence_schemaname')}.{row.get('sequencename')}"


def _days_left(now: Document, row: Row) -> float | None:
    """By the points that sequence-exhaustion leaves."""
    value, limit = row.get("last_value"), row.get("limit_value") or 0
    if value is None:
        return None
    sign = -1 if limit < 0 else 1
    points = [*now.trends.get(trend(_sequence(row)), ()), (now.server_time, value)]
    return delta.days_left([(when, sign * each) for when, each in points], sign * limit)


def _remedy(row: Row) -> str:
    table = str(row.get("schemaname")), str(row.get("relname"))
    lines = widened(table, str(row.get("attname")), row)
    if row.get("sequencename") and row.get("ref_relid") is None:
        sequence = identifier(str(row.get("sequence_schemaname")), str(row["sequencename"]))
        lines.append(f"ALTER SEQUENCE {sequence} AS bigint;")
    return "\n".join(lines) + "\n"
