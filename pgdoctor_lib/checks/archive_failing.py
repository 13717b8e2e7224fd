"""WAL files that do not get into the archive."""

from pgdoctor_lib.checks.document import Document, NotExamined, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.units import counted, format_span

_LOG = "-- the server's log has the command's own words; run it by hand as the server's user, with a file of pg_wal"


@check(category="replication and WAL", scope="server", reads=("archiver",))
def archive_failing(now: Document, before: Document, *, critical_s: float = 600, warning_wait_s: float = 600) -> Said:
    """WAL is not archived: attempts fail, or files wait (pg_stat_archiver, pg_ls_archive_statusdir())."""
    archiver = now.one("archiver")
    _must_archive(now, archiver)
    ready, waited_s = archiver.get("ready_count"), archiver.get("oldest_ready_age_s")
    if ready == 0:
        return
    failing = _is_failing(archiver)
    if waited_s is None:  # this role may not see the files
        waited_s = now.lasting_s("archive-failing") if failing else 0.0
    if failing:
        severity = Severity.CRITICAL if waited_s >= critical_s else Severity.WARNING
        threshold = f"critical after {format_span(critical_s)}"
    elif waited_s >= warning_wait_s:
        severity, threshold = Severity.WARNING, f"a file waits for {format_span(warning_wait_s)}"
    else:
        return
    summary, remedy = _told(archiver, failing)
    yield graded(
        severity,
        "",
        f"{summary}; {_waiting(ready, waited_s)}",
        subject=str(archiver.get("last_failed_wal") or "") if failing else "",
        threshold=f"pg_stat_archiver: last_failed_time against last_archived_time; {threshold}",
        evidence={name: archiver.get(name) for name in _EVIDENCE},
        remedy=remedy,
        caution="until it is mended pg_wal grows, and no backup can be restored to a time since then",
        since=now.server_time - waited_s if waited_s else None,
    )


_EVIDENCE = (
    "archive_mode",
    "has_archive_command",
    "has_archive_library",
    "archived_count",
    "last_archived_wal",
    "last_archived_time",
    "failed_count",
    "last_failed_wal",
    "last_failed_time",
    "ready_count",
    "oldest_ready_age_s",
)


def _must_archive(now: Document, archiver: Row) -> None:
    mode = archiver.get("archive_mode")
    if mode == "off":
        raise NotExamined("archive_mode is off: nothing is archived")
    if now.in_recovery and mode != "always":
        raise NotExamined("this is a standby, and archive_mode is not always: its primary archives")


def _is_failing(archiver: Row) -> bool:
    """The last attempt failed; one that was made again since, and went well, is no trouble."""
    failed, archived = epoch(archiver.get("last_failed_time")), epoch(archiver.get("last_archived_time"))
    return failed is not None and (archived is None or failed > archived)


def _told(archiver: Row, failing: bool) -> tuple[str, str]:
    """What is wrong, and what mends it."""
    if archiver.get("has_archive_command") is False and not archiver.get("has_archive_library"):
        remedy = "-- say how a file is archived, for example by the command of your backup program:\n"
        return (
            "WAL is to be archived, but no archive_command is set",
            f"{remedy}-- ALTER SYSTEM SET archive_command = …",
        )
    if failing:
        tried = counted(archiver.get("failed_count") or 0, "failed attempt")
        return f"archiving of WAL file {archiver.get('last_failed_wal')} fails ({tried})", f"{_LOG}\n"
    slow = "-- the archive takes files more slowly than they are written, or the command hangs: let it compress, or\n"
    return "archiving of WAL falls behind, though no attempt fails", f"{slow}-- send several at once; see the log\n"


def _waiting(ready: int | None, waited_s: float) -> str:
    if ready is None:
        return "how many files wait, this role may not see"
    files = f"{counted(ready, 'file')} {'waits' if ready == 1 else 'wait'}"
    return f"{files}, the oldest for {format_span(waited_s)}"
