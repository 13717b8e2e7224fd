"""Pages that were read and were not what was written."""

from pgdoctor_lib.checks.altering import provider
from pgdoctor_lib.checks.delta import DAY_S
from pgdoctor_lib.checks.document import Document, Row
from pgdoctor_lib.checks.registry import Said, check, critical, info
from pgdoctor_lib.finding import Finding
from pgdoctor_lib.units import counted, format_span

_FIND = (
    '-- the log names file and block ("invalid page in block 3 of relation base/16384/16390"); what that is, the last\n'
    "-- number being the file's, connected to the database that is named:\n"
    "-- SELECT pg_filenode_relation(1663, 16390);\n"
    "-- of a file below pg_tblspc/16500 that number in place of 1663, of one below global 1664\n"
)
_MEND = (
    "-- an index: REINDEX INDEX. A table: from a standby or a backup whose copy is sound; then look at the disk\n"
    "-- no VACUUM FULL, no CLUSTER, no zero_damaged_pages: they throw away what might still be read\n"
)
_STANDBY = (
    "-- this is a standby, whose pages are its own: where its primary's are sound, build it anew, on another disk\n"
)


@check(category="maintenance", scope="server", reads=("databases", "server", "database"), compares=("databases",))
def checksum_failures(now: Document, before: Document, *, recent_days: float = 7) -> Said:
    """Pages read from disk fail their checksum, so that data is damaged (pg_stat_database.checksum_failures)."""
    old = {row.get("datid"): row for row in before.rows("databases")} if before.has("databases") else {}
    for row in now.rows("databases"):
        count = row.get("checksum_failures") or 0
        new = count - ((old.get(row.get("datid")) or {}).get("checksum_failures") or 0) if old else 0
        age_s = now.age_s(row.get("checksum_last_failure"))
        if count and (new > 0 or (age_s is not None and age_s <= recent_days * DAY_S)):
            yield _damaged(now, row, count, age_s, recent_days)
    if now.one("server").get("data_checksums") is False and not provider(now):
        yield _off()


def _damaged(now: Document, row: Row, count: int, age_s: float | None, recent_days: float) -> Finding:
    name = row.get("datname")
    where = f"database {name}" if name else "what all databases share"
    ago = f", the last time {format_span(max(0.0, age_s))} ago" if age_s is not None else ""
    return critical(
        str(name or "pg_global"),
        f"{where} is damaged: {counted(count, 'page')} read from disk failed {'its' if count == 1 else 'their'} "
        f"checksum{ago}",
        subject=str(name or "pg_global"),
        threshold=f"a failure within {recent_days:g} days, or since an earlier snapshot",
        evidence={each: row.get(each) for each in ("checksum_failures", "checksum_last_failure", "stats_reset")},
        remedy=(_STANDBY if now.in_recovery else "") + _FIND + _MEND,
        caution="other files on that disk may be damaged, too: first of all take a backup, and keep the older ones",
    )


def _off() -> Finding:
    return info(
        "off",
        "data checksums are off: a page that the disk has spoilt is read as if it were sound",
        subject="data_checksums",
        threshold="data_checksums = off, as initdb leaves it up to PostgreSQL 17",
        evidence={"data_checksums": False},
        remedy="-- with the server stopped, in a shell; it rewrites every file, a standby's on the standby:\n"
        '-- pg_checksums --enable -D "$PGDATA"\n',
        caution="takes as long as reading and writing all of it; from then on each page costs a little more to read",
    )
