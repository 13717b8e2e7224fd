"""Sorts and hashes that do not fit into memory, and go through files."""

from pgdoctor_lib.checks import delta
from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.delta import Change
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.quoting import identifier
from pgdoctor_lib.units import counted, format_bytes, format_span

KIB, MIB, GIB = 1024, 1024**2, 1024**3
_STATEMENT = ("queryid", "userid", "toplevel")
_MOST_WORK_MEM = 256 * MIB
_REMEDY = """-- memory for {whom}, from the next session on
{alter} SET work_mem = '{work_mem}MB';
"""


@check(
    category="I/O and memory",
    scope="database",
    reads=("database", "queries", "settings", "server"),
    compares=("database", "queries"),
    every_s=300,
)
def temp_files(
    now: Document, before: Document, *, warning_hourly_bytes: float = GIB, least_hourly_count: float = 5
) -> Said:
    """Sorts and hashes do not fit into work_mem, and are written to files (pg_stat_database.temp_bytes)."""
    change = delta.one(now, before, "database", ("temp_bytes", "temp_files"))
    written, files = change.by["temp_bytes"], int(change.by["temp_files"])
    is_much = change.in_an_hour("temp_bytes") >= warning_hourly_bytes
    if is_much and change.in_an_hour("temp_files") >= least_hourly_count:
        work_mem = (now.number_setting("work_mem") or 4096) * KIB if now.has("settings") else None
        statements = _statements(now, before)
        name = str(change.row.get("datname") or now.db_name)
        yield warning(
            "",
            f"{counted(files, 'temporary file')} with {format_bytes(written)} were written in database {name} within "
            f"{format_span(change.seconds)}: what was sorted or hashed did not fit into work_mem",
            subject=f"database {name}",
            threshold=f"{format_bytes(warning_hourly_bytes)} and {least_hourly_count:g} files within an hour",
            evidence={
                "temp_bytes": written,
                "temp_files": files,
                "seconds": round(change.seconds),
                "work_mem_bytes": work_mem,
                "statements": [_told(now, each) for each in statements[:3]],
            },
            remedy="-- see in the log which statements write them\n"
            + alter_system(now, {"log_temp_files": "10MB"})
            + _remedy(name, statements, written / max(files, 1), work_mem or 4 * MIB),
            caution="each sort and hash of each session may take work_mem: with many sessions at a time that adds up",
        )


def _statements(now: Document, before: Document) -> list[Change]:
    """Those that wrote most, where pg_stat_statements tells."""
    if not now.has("queries") or not before.has("queries"):
        return []
    changes = delta.rows(now, before, "queries", _STATEMENT, ("temp_blks_written", "calls"))
    wrote = (each for each in changes if each.by["temp_blks_written"])
    return sorted(wrote, key=lambda each: -each.by["temp_blks_written"])


def _told(now: Document, change: Change) -> dict[str, object]:
    row = change.row
    return {
        "queryid": row.get("queryid"),
        "rolname": row.get("rolname"),
        "temp_bytes": change.by["temp_blks_written"] * now.block_bytes,
        "calls": change.by["calls"],
        "query": (now.query_text(row.get("queryid")) or "")[:500] or None,
    }


def _remedy(database: str, statements: list[Change], file_bytes: float, work_mem: float) -> str:
    """Three times what was written: rows take more room in memory. Never less than twice what there is."""
    wanted = min(max(3 * file_bytes, 2 * work_mem, 4 * MIB), max(_MOST_WORK_MEM, work_mem))
    megabytes = 1 << max(0, int(wanted // MIB) - 1).bit_length()
    role = statements[0].row.get("rolname") if statements else None
    if role is None:
        return _REMEDY.format(
            whom="all who use the database", alter=f"ALTER DATABASE {identifier(database)}", work_mem=megabytes
        )
    alter = f"ALTER ROLE {identifier(str(role))} IN DATABASE {identifier(database)}"
    return _REMEDY.format(whom="the role whose statements write most", alter=alter, work_mem=megabytes)
