"""Indexes that were sorted by another version of a collation than the system has now."""

from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import counted, format_bytes

_PROVIDERS = {"c": "libc", "i": "ICU", "b": "builtin"}
_LOCKING = "-- of an exclusion constraint, and locks its table meanwhile:\n"


@check(category="maintenance", scope="database", reads=("collations", "database"))
def collation_mismatch(now: Document, before: Document) -> Said:
    """The system sorts text otherwise than when indexes were built: rows are not found (pg_collation.collversion)."""
    for row in now.rows("collations"):
        schema, name = str(row.get("schemaname")), str(row.get("collname"))
        is_default, count = bool(row.get("is_default")), row.get("index_count") or 0
        what = f"the collation of database {now.db_name or now.name}" if is_default else f"collation {schema}.{name}"
        provider = _PROVIDERS.get(str(row.get("collprovider")), str(row.get("collprovider")))
        yield graded(
            Severity.CRITICAL if count else Severity.WARNING,
            "" if is_default else f"{schema}.{name}",
            f"{what} was at version {row.get('collversion')}, and {provider} has {row.get('collversion_actual')} now: "
            + _outcome(count),
            subject=now.db_name or now.name if is_default else f"{schema}.{name}",
            threshold="the recorded version against that of the system, of collations in use",
            evidence={"collprovider": provider, "index_count": count, "indexes": _shown(row), **_versions(row)},
            remedy=_remedy(now, row, count),
            caution="a unique index may fail to build: rows that got in twice must be mended first. REFRESH only once "
            "all are rebuilt: it mends nothing, it ends the warning",
        )


def _outcome(count: int) -> str:
    if not count:
        return "no index is sorted by it; partitions by range and constraints that compare text may be"
    return f"{counted(count, 'index', 'indexes')} sorted by it may miss rows, or take a key twice"


def _versions(row: Row) -> dict[str, object]:
    return {each: row.get(each) for each in ("collversion", "collversion_actual", "dependent_count")}


def _shown(row: Row) -> list[str]:
    return [
        f"{each['schemaname']}.{each['indexrelname']} ({format_bytes(each['size_bytes'])})" for each in _indexes(row)
    ]


def _indexes(row: Row) -> list[Row]:
    return list(row.get("indexes") or ())


def _remedy(now: Document, row: Row, count: int) -> str:
    refresh = _refresh(now, row)
    more = count - len(_indexes(row))
    if more > 0:
        database = identifier(now.db_name or now.name)
        left = counted(more, "index", "indexes")
        rest = f"-- and {left} more; REINDEX DATABASE CONCURRENTLY {database}; rebuilds all there are\n"
        refresh = f"{rest}-- when all are rebuilt: {refresh}"
    return _standby(now) + "".join(map(_reindex, _indexes(row))) + refresh


def _standby(now: Document) -> str:
    here = "-- where the primary has the recorded version itself, this machine needs its libraries, and nothing else\n"
    return here if now.in_recovery else ""


def _reindex(index: Row) -> str:
    name = identifier(str(index["schemaname"]), str(index["indexrelname"]))
    if index.get("indisexclusion"):
        return f"{_LOCKING}REINDEX INDEX {name};\n"
    return f"REINDEX INDEX CONCURRENTLY {name};\n"


def _refresh(now: Document, row: Row) -> str:
    if row.get("is_default"):
        return f"ALTER DATABASE {identifier(now.db_name or now.name)} REFRESH COLLATION VERSION;\n"
    return f"ALTER COLLATION {identifier(str(row['schemaname']), str(row['collname']))} REFRESH VERSION;\n"
