"""incident."""

from typing import Any

from pgdoctor_lib.finding import Severity
from tests.checks.conftest import judged, planted

ROOT = {"pid": 4711, "state": "idle in transaction", "application_name": "worker", "query": "UPDATE t SET x = ***"}


def recording(seconds: int, **more: Any) -> dict[str, Any]:
    """So many seconds with 14 that wait, and five quiet ones."""
    samples = [[float(at), 20, 14] for at in range(seconds + 1)] + [[seconds + 1.0 + at, 1, 0] for at in range(5)]
    return {
        "started_at": "2026-01-01T03:12:04.000Z",
        "ended_at": "2026-01-01T03:13:00.000Z",
        "is_over": True,
        "waiting_line": 5,
        "active_line": None,
        "is_set": False,
        "peak_waiting_count": 14,
        "peak_active_count": 20,
        "samples": samples,
        "sessions": [{**ROOT, "seen_count": 9}, {"pid": 5, "query": "SELECT ***", "seen_count": 3}],
        "blocked": [{"pid": 5, "blocking_pid": 4711}],
        "roots": [{"pid": 4711, "peak_blocked_count": 14, "seen_count": 9}],
        "waits": {"Lock: tuple": 100, "running": 3},
        **more,
    }


def test_what_happened_when_and_behind_whom() -> None:
    [found] = judged("incident", planted(recording=[recording(47)]))
    assert (found.key, found.severity, found.since) == ("2026-01-01T03:12:04.000Z", Severity.WARNING, 1767237124.0)
    assert found.summary == (
        "from 03:12:04 to 03:12:51 UTC up to 14 sessions waited for locks, "
        "behind pid 4711 (idle in transaction, app 'worker')"
    )
    assert found.threshold == "5 that wait (from what was usual here)"
    assert found.evidence["timeline"][0] == "+0 s: 20 active, 14 waiting"  # type: ignore[index]
    assert len(found.evidence["timeline"]) <= 10  # type: ignore[arg-type]
    assert found.evidence["roots"][0]["query"] == "UPDATE t SET x = ***"  # type: ignore[index]
    assert [each["pid"] for each in found.evidence["waiting"]] == [5]  # type: ignore[attr-defined]
    assert found.remedy.startswith("-- ")


def test_a_short_one_is_information_and_none_is_nothing() -> None:
    for seconds, peak, severity in ((14, 9, Severity.INFO), (15, 9, Severity.WARNING), (3, 10, Severity.WARNING)):
        [found] = judged("incident", planted(recording=[recording(seconds, peak_waiting_count=peak)]))
        assert found.severity is severity
    assert judged("incident", planted(recording=[])) == []


def test_those_who_had_waited_before_the_recording_count_from_then_on() -> None:
    [found] = judged("incident", planted(recording=[recording(8, peak_waiting_count=9, before_s=7.0)]))
    assert found.severity is Severity.WARNING
    assert found.since == 1767237117.0
    assert found.summary.startswith("from 03:11:57 to 03:12:12 UTC up to 9 sessions")


def test_where_nobody_looked_it_is_unknown() -> None:
    [found] = judged("incident", planted(recording=[recording(8, gaps=[[6.9, 20.1]])]))
    assert found.summary.endswith("(unknown from 03:12:10 to 03:12:24: nobody looked)")
    assert found.evidence["gaps"] == ["+6.9 s to +20.1 s"]


def test_without_a_root() -> None:
    [found] = judged("incident", planted(recording=[recording(20, roots=[{"pid": 0, "peak_blocked_count": 3}])]))
    assert found.summary.endswith("waited for locks, behind a prepared transaction")
    bare = recording(20, roots=[], peak_waiting_count=0, active_line=10, is_set=True)
    [found] = judged("incident", planted(recording=[bare]))
    assert found.summary.endswith("up to 20 sessions worked at once, and none waited for a lock")
    assert found.threshold == "5 that wait or 10 active (set by the option recorder)"
