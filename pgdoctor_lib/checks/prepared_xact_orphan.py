"""Prepared transactions that nobody commits."""

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, graded, severity_of
from pgdoctor_lib.checks.sessions import left_behind, told
from pgdoctor_lib.quoting import comment, quote_literal
from pgdoctor_lib.units import format_span


@check(category="locks and transactions", scope="server", reads=("prepared",), primary=True)
def prepared_xact_orphan(now: Document, before: Document, *, warning_s: float = 300, critical_s: float = 3600) -> Said:
    """A transaction was prepared for two-phase commit, and is neither committed nor ended (pg_prepared_xacts)."""
    for row in now.rows("prepared"):
        age, gid = row.get("age_s"), row.get("gid")
        if age is not None and (severity := severity_of(age, warning_s, critical_s)):
            name = f"prepared transaction {told(gid) or row.get('transaction')}"
            yield graded(
                severity,
                str(gid or row.get("transaction")),
                f"{name} of {told(row.get('owner'))} in database {told(row.get('datname'))} has waited "
                f"{format_span(age)} to be committed: it holds its locks, and "
                f"{left_behind(row.get('xid_age') or 0)}",
                subject=name,
                threshold=f"{format_span(warning_s)} since it was prepared (critical: {format_span(critical_s)})",
                evidence={**row, "count": now.total("prepared").get("count")},
                remedy=_remedy(row),
                caution="what it has done is lost; where other databases of the same distributed transaction have "
                "committed, COMMIT PREPARED is what they expect",
                since=epoch(row.get("prepared")),
            )


def _remedy(row: Row) -> str:
    gid = row.get("gid")
    where = (
        f"-- ask its transaction manager first; then in database {told(row.get('datname'))}, as "
        f"{told(row.get('owner'))} or a superuser:\n"
    )
    if not gid:
        return f"{where}-- ROLLBACK PREPARED, of transaction {comment(row.get('transaction'))} in pg_prepared_xacts\n"
    return f"{where}ROLLBACK PREPARED {quote_literal(gid)};\n"
