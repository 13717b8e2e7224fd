"""The checkpoint that does not come."""

from pgdoctor_lib.checks.document import Document, NotExamined
from pgdoctor_lib.checks.registry import Said, check, warning
from pgdoctor_lib.units import format_bytes, format_span

_REMEDY = """-- see what the checkpointer waits for, and what the server's log says of checkpoints and of fsync
SELECT pid, wait_event_type, wait_event FROM pg_stat_activity WHERE backend_type = 'checkpointer';
"""


@check(category="replication and WAL", scope="server", reads=("checkpointer",), primary=True)
def checkpoint_overdue(
    now: Document, before: Document, *, warning_times: float = 3, least_bytes: float = 64 * 1024**2
) -> Said:
    """No checkpoint came for several times checkpoint_timeout, though WAL was written (pg_control_checkpoint())."""
    row = now.one("checkpointer")
    age, timeout, written = row.get("checkpoint_age_s"), row.get("checkpoint_timeout_s"), row.get("redo_distance_bytes")
    if age is None or not timeout or written is None:
        raise NotExamined("the server does not tell when its last checkpoint was")
    if age >= warning_times * timeout and written >= least_bytes:
        yield warning(
            "",
            f"the last checkpoint that was completed began {format_span(age)} ago, and {format_bytes(written)} of WAL "
            "were written since: after a crash all of it must be read again, and no WAL file is removed until then",
            threshold=f"{warning_times:g} times checkpoint_timeout ({format_span(timeout)}), and "
            f"{format_bytes(least_bytes)} of WAL",
            evidence={name: row.get(name) for name in _EVIDENCE},
            remedy=_REMEDY,
            since=now.server_time - age,
        )


_EVIDENCE = (
    "checkpoint_time",
    "checkpoint_age_s",
    "checkpoint_timeout_s",
    "checkpoint_completion_target",
    "redo_distance_bytes",
    "max_wal_size_bytes",
)
