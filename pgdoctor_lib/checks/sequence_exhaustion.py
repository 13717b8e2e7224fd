"""Sequences that come to their end."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.registry import Said, Sample, check, graded, severity_of
from pgdoctor_lib.checks.widening import CAUTION, widened
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import format_count, format_used

_MOST_TRENDS = 5
_GREATEST = 2**63 - 1
_FOR_EVER = 1e15  # a million of them a second last for 30 years
_TYPE_HOLDS = {"smallint": 2**15 - 1, "integer": 2**31 - 1}
_EVIDENCE = ("data_type", "last_value", "limit_value", "increment_by", "max_value", "used_percent", "values_left")
_GRANT = "GRANT pg_read_all_data (14+), or SELECT on its sequences, to PGDoctor's role"


@check(category="schema", scope="database", reads=("sequences", "columns"))
def sequence_exhaustion(
    now: Document, before: Document, *, warning_percent: float = 75, critical_percent: float = 90
) -> Said:
    """A sequence, or the column that it feeds, comes to its greatest value: then INSERT fails (pg_sequence)."""
    rows = [row for row in now.rows("sequences") if row.get("used_percent") is not None and not row.get("cycle")]
    found = False
    for index, row in enumerate(sorted(rows, key=lambda row: -row["used_percent"])):
        name, limit = f"{row.get('schemaname')}.{row.get('sequencename')}", row.get("limit_value") or 0
        if row.get("last_value") is not None and index < _MOST_TRENDS:
            yield Sample(trend(name), row["last_value"])
        left = row.get("values_left") or 0
        severity = severity_of(row["used_percent"], warning_percent, critical_percent)
        if severity is None or left > _FOR_EVER or row.get("is_extension_member"):
            continue
        found = True
        yield graded(
            severity,
            name,
            f"sequence {name} has used {format_used(row['used_percent'], is_left=left > 0)} of its numbers"
            f"{_column(row)}: after another {format_count(left)} INSERT fails",
            subject=name,
            threshold=f"warning from {warning_percent:g} %, critical from {critical_percent:g} % of {limit} on: "
            + ("what its column's type holds" if _is_columns(row) else "the sequence's own limit"),
            evidence={"column": _owner(row), **{each: row.get(each) for each in _EVIDENCE}},
            remedy=_remedy(now, row),
            caution=CAUTION if _owner_is_narrow(row) else "",
            days_left=_days_left(now, name, row.get("last_value"), limit),
        )
    if not found and (count := now.total("sequences").get("unreadable_count")):
        raise NotExamined(f"PGDoctor's role may not read {count} of the sequences; {_GRANT}")


def trend(name: str) -> str:
    """Under which a sequence's last value is remembered."""
    return f"sequence:{name}"


def _days_left(now: Document, name: str, value: float | None, limit: float) -> float | None:
    if value is None:
        return None
    sign = -1 if limit < 0 else 1
    points = [*now.trends.get(trend(name), ()), (now.server_time, value)]
    return delta.days_left([(when, sign * each) for when, each in points], sign * limit)


def _owner(row: Row) -> str | None:
    names = [row.get(f"owner_{each}") for each in ("schemaname", "relname", "attname")]
    return ".".join(map(str, names)) if names[2] is not None else None


def _column(row: Row) -> str:
    return f" for {row.get('owner_data_type')} column {_owner(row)}" if _owner(row) else ""


def _owner_is_narrow(row: Row) -> bool:
    return row.get("owner_data_type") in _TYPE_HOLDS


def _is_columns(row: Row) -> bool:
    """Whether its column holds no more."""
    limit: float = abs(row.get("limit_value") or 0)
    return limit >= _TYPE_HOLDS.get(str(row.get("owner_data_type")), _FOR_EVER)


def _known(now: Document, table: tuple[str, str], column: str) -> Row | None:
    """What `columns` has of it."""
    rows = now.rows("columns") if now.has("columns") else []
    found = ((row, [row.get(each) for each in ("schemaname", "relname", "attname")]) for row in rows)
    return next((row for row, names in found if names == [*table, column]), None)


def _remedy(now: Document, row: Row) -> str:
    sequence = identifier(str(row.get("schemaname")), str(row.get("sequencename")))
    is_up = (row.get("increment_by") or 1) > 0
    if abs(row.get("limit_value") or 0) >= _GREATEST:
        return "-- it is as large as a sequence can be: see what sets or takes so many values\n"
    lines = [f"ALTER SEQUENCE {sequence} AS bigint {'NO MAXVALUE' if is_up else 'NO MINVALUE'};"]
    if _owner_is_narrow(row):
        table = str(row.get("owner_schemaname")), str(row.get("owner_relname"))
        column = str(row.get("owner_attname"))
        lines = [*widened(table, column, _known(now, table, column)), *lines]
    return "\n".join(lines) + "\n"
