"""VACUUM goes through the indexes of a table more than once, for want of memory."""

from pgdoctor_lib.checks.altering import alter_system
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.units import counted, format_bytes

_MOST_BYTES = 1024**3  # VACUUM takes no more before 17


@check(category="wraparound and vacuum", scope="server", reads=("progress", "settings", "server"))
def vacuum_index_passes(now: Document, before: Document, *, least_bytes: float = 1024**3) -> Said:
    """A VACUUM reads all indexes of a large table several times (pg_stat_progress_vacuum.index_vacuum_count)."""
    for row in now.rows("progress"):
        size = (row.get("heap_blks_total") or 0) * now.block_bytes
        if row.get("command") != "VACUUM" or size < least_bytes or not _begins_anew(row):
            continue
        setting = _setting(now, row)
        known = _bytes(now, setting)
        has = _own_bytes(row) or known
        if has is not None and has >= _MOST_BYTES:
            continue
        name = _name(row)
        yield warning(
            name,
            f"{'autovacuum' if row.get('is_autovacuum') else 'VACUUM'} of {name} ({format_bytes(size)}) has been "
            f"through all its indexes {counted(row['index_vacuum_count'], 'time')}, and goes on: its memory"
            f"{'' if has is None else f' of {format_bytes(has)}'} does not hold the dead rows of one pass",
            subject=name,
            threshold=f"more than one pass, over a table of {format_bytes(least_bytes)} or more",
            evidence={each: row[each] for each in _EVIDENCE if row.get(each) is not None},
            remedy=_remedy(now, setting, has, known)
            + "-- the VACUUM at work goes on with what it has; the next one takes more\n",
            caution="each worker of autovacuum may take as much",
        )


_EVIDENCE = (
    "pid",
    "datname",
    "phase",
    "index_vacuum_count",
    "heap_blks_total",
    "heap_blks_scanned",
    "max_dead_tuples",
    "num_dead_tuples",
    "max_dead_tuple_bytes",
    "dead_tuple_bytes",
    "query_age_s",
)


def _begins_anew(row: Row) -> bool:
    """Whether it has been through once, and fills its memory again or goes through them once more."""
    count = row.get("index_vacuum_count") or 0
    return count > 1 or (count == 1 and row.get("phase") in ("scanning heap", "vacuuming indexes"))


def _name(row: Row) -> str:
    """Of a table in another database the snapshot knows the number alone."""
    if row.get("relname"):
        return f"{row.get('schemaname')}.{row.get('relname')}"
    return f"table {row.get('relid')} in {row.get('datname')}"


def _setting(now: Document, row: Row) -> str:
    own = now.number_setting("autovacuum_work_mem") if row.get("is_autovacuum") else None
    return "autovacuum_work_mem" if own is not None and own >= 0 else "maintenance_work_mem"


def _bytes(now: Document, setting: str) -> float | None:
    """Both are in kB."""
    value = now.number_setting(setting)
    return None if value is None else value * 1024


def _own_bytes(row: Row) -> float | None:
    """What a VACUUM by hand has, whose session may have set it; before 17 it tells how many dead rows of 6 bytes."""
    if row.get("is_autovacuum"):
        return None
    tuples = row.get("max_dead_tuples")
    return row.get("max_dead_tuple_bytes") or (6 * tuples if tuples else None)


def _remedy(now: Document, setting: str, has: float | None, known: float | None) -> str:
    if has is not None and known is not None and has < 0.9 * known:
        words = "-- its session has less than the server gives: set there, before VACUUM, this or nothing at all\n"
        return f"{words}SET {setting} = '{_wanted(has)}MB';\n"
    return alter_system(now, {setting: f"{_wanted(has)}MB"})


def _wanted(has: float | None) -> int:
    """Four times as much, in MB; 256 MB at least, 1 GB at most."""
    return int(min(_MOST_BYTES, max(4 * (has or 0), 256 * 1024**2)) // 1024**2)
