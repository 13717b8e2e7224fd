"""What keeps VACUUM from removing dead rows: an old transaction, a prepared one, a standby, a slot."""

from pgdoctor_lib.checks.document import Document, NotExamined, Row
from pgdoctor_lib.checks.holders import Holder, holders
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.finding import Finding, Severity
from pgdoctor_lib.units import format_count, format_span


@check(
    category="wraparound and vacuum",
    scope="server",
    reads=("horizon", "settings"),
    primary=True,
    follows_same=("idle-in-transaction", "long-query", "long-transaction", "prepared-xact-orphan", "slot-inactive"),
)
def xmin_horizon(
    now: Document,
    before: Document,
    *,
    warning_s: float = 3600,
    warning_count: float = 1_000_000,
    warning_untimed_count: float = 10_000_000,
    warning_long_s: float = 86400,
    least_long_count: float = 10_000,
) -> Said:
    """Something old keeps VACUUM from removing dead rows and from freezing (backend_xmin, slots, prepared xacts)."""
    trigger = now.number_setting("autovacuum_freeze_max_age") or 200_000_000
    limits = (
        f"held for {format_span(warning_s)} and {format_count(warning_count)} transactions, or for "
        f"{format_span(warning_long_s)}; critical: autovacuum_freeze_max_age ({format_count(trigger)})"
    )
    found = []
    for holder in holders(now.one("horizon")):
        held_s = None if holder.since is None else now.server_time - holder.since
        if held_s is None:
            is_held = holder.age >= warning_untimed_count
        elif held_s >= warning_long_s:
            is_held = holder.age >= least_long_count
        else:
            is_held = held_s >= warning_s and holder.age >= warning_count and not holder.is_dump
        if is_held or holder.age >= trigger:
            found.append(_finding(now, holder, held_s, trigger, limits))
    if not found and "activity" in now.errors:  # others' sessions are hidden
        raise NotExamined(now.errors["activity"])
    yield from found


def _finding(now: Document, holder: Holder, held_s: float | None, trigger: float, limits: str) -> Finding:
    return graded(
        Severity.CRITICAL if holder.age >= trigger else Severity.WARNING,
        holder.key,
        f"{holder.words} keeps VACUUM back by {format_count(holder.age)} transactions"
        f"{'' if held_s is None else f', for {format_span(held_s)}'}: "
        "no row that died since can be removed, and none that is younger frozen",
        subject=holder.words,
        threshold=limits,
        evidence=_evidence(now.one("horizon"), holder.source),
        remedy=holder.remedy,
        caution=holder.caution,
        since=holder.since,
    )


def _evidence(row: Row, source: str) -> dict[str, object]:
    """What the server tells of that holder."""
    return {name: value for name, value in row.items() if name.startswith(f"{source}_") and value is not None}
