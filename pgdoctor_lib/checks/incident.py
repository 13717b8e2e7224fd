"""A crowd at the server, now gone or still there, that was recorded second by second."""

from datetime import datetime, timezone

from pgdoctor_lib.checks.document import Document, Row, epoch
from pgdoctor_lib.checks.registry import Said, check, graded
from pgdoctor_lib.checks.sessions import doing, told
from pgdoctor_lib.finding import Severity
from pgdoctor_lib.units import counted

_MOST = 10
_KNOWN = ("pid", "datname", "usename", "application_name", "state", "wait_event_type", "wait_event", "xact_age_s")


@check(category="locks and transactions", scope="server", reads=("recording",), is_event=True)
def incident(now: Document, before: Document, *, warning_s: float = 15, warning_waiting_count: float = 10) -> Said:
    """Sessions crowded for a moment, between two snapshots (recorded each second from pg_stat_activity)."""
    for recording in now.rows("recording"):
        start, end = _from_to(recording)
        many = (recording.get("peak_waiting_count") or 0) >= warning_waiting_count
        roots = [_session(recording, root) for root in recording.get("roots") or ()]
        yield graded(
            Severity.WARNING if many or end - start >= warning_s else Severity.INFO,
            str(recording.get("started_at")),
            f"from {_clock(start)} to {_clock(end)} UTC {_crowd(recording, roots)}{_unseen(recording)}",
            threshold=_threshold(recording),
            evidence=_evidence(recording, roots),
            remedy=_remedy(roots),
            since=start,
        )


def _from_to(recording: Row) -> tuple[float, float]:
    """When the crowd began, as far as those who waited tell, and when it was last seen."""
    start = epoch(recording.get("started_at")) or 0.0
    crowded = [sample for sample in recording.get("samples") or () if _is_over_line(recording, sample)]
    end = start + crowded[-1][0] if crowded else epoch(recording.get("ended_at")) or start
    return start - (recording.get("before_s") or 0.0), end


def _unseen(recording: Row) -> str:
    """Where nobody looked: how it was then is not known."""
    start, gaps = epoch(recording.get("started_at")) or 0.0, recording.get("gaps") or ()
    spans = ", ".join(f"from {_clock(start + began)} to {_clock(start + ended)}" for began, ended in gaps[:_MOST])
    return f" (unknown {spans}: nobody looked)" if spans else ""


def _is_over_line(recording: Row, sample: list[float]) -> bool:
    lines = recording.get("active_line"), recording.get("waiting_line")
    return any(line is not None and seen >= line for line, seen in zip(lines, sample[1:], strict=False))


def _crowd(recording: Row, roots: list[Row]) -> str:
    waiting, active = recording.get("peak_waiting_count") or 0, recording.get("peak_active_count") or 0
    if not waiting:
        return f"up to {counted(active, 'session')} worked at once, and none waited for a lock"
    crowd = f"up to {counted(waiting, 'session')} waited for locks"
    return f"{crowd}, behind {_name(roots[0])}" if roots else f"{crowd} (of {active} active)"


def _name(root: Row) -> str:
    if not root["pid"]:
        return "a prepared transaction"
    program = told(root.get("application_name"))
    about = ", ".join(filter(None, (told(root.get("state")), f"app '{program}'" if program else "")))
    return f"pid {root['pid']}" + (f" ({about})" if about else "")


def _session(recording: Row, root: Row) -> Row:
    """A root, with what is known of its session."""
    found = [each for each in recording.get("sessions") or () if each.get("pid") == root.get("pid")]
    return {**(found[0] if found else {}), **root}


def _threshold(recording: Row) -> str:
    how = "set by the option recorder" if recording.get("is_set") else "from what was usual here"
    lines = {"that wait": recording.get("waiting_line"), "active": recording.get("active_line")}
    known = [f"{line:g} {what}" for what, line in lines.items() if line is not None]
    return f"{' or '.join(known)} ({how})"


def _evidence(recording: Row, roots: list[Row]) -> dict[str, object]:
    samples = recording.get("samples") or []
    step = -(-len(samples) // _MOST) or 1
    shown = [
        max(samples[at : at + step], key=lambda sample: (sample[2], sample[1])) for at in range(0, len(samples), step)
    ]
    return {
        "peak_waiting_count": recording.get("peak_waiting_count"),
        "peak_active_count": recording.get("peak_active_count"),
        "is_over": recording.get("is_over"),
        "before_s": recording.get("before_s"),
        "gaps": [f"+{began:g} s to +{ended:g} s" for began, ended in recording.get("gaps") or ()],
        "timeline": [f"+{at:g} s: {active} active, {waiting} waiting" for at, active, waiting in shown],
        "wait_seconds": dict(list((recording.get("waits") or {}).items())[:5]),
        "roots": [_told(root) for root in roots[:3]],
        "waiting": _waiting(recording, roots),
    }


def _told(session: Row) -> dict[str, object]:
    known = {key: session[key] for key in (*_KNOWN, "peak_blocked_count") if session.get(key) is not None}
    return {**known, "query": told(session.get("query"), 300) or None}


def _waiting(recording: Row, roots: list[Row]) -> list[dict[str, object]]:
    """Those who were there for longest, roots left out."""
    others = {root["pid"] for root in roots}
    found = [each for each in recording.get("sessions") or () if each.get("pid") not in others]
    return [_told(each) for each in sorted(found, key=lambda each: -(each.get("seen_count") or 0))[:5]]


def _remedy(roots: list[Row]) -> str:
    if not roots or not roots[0]["pid"]:
        return "-- it is past: see below what the sessions ran, and what they waited for\n"
    root = roots[0]
    words = f"-- it is past: see why pid {root['pid']} held its locks for so long ({doing(root) or 'state unknown'});\n"
    return words + (
        "-- lock_timeout for those who wait, and idle_in_transaction_session_timeout for those who forget their\n"
        "-- transaction, keep such a crowd small (ALTER ROLE … SET …)\n"
    )


def _clock(when: float) -> str:
    return datetime.fromtimestamp(when, timezone.utc).strftime("%H:%M:%S")
