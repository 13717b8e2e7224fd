"""replication-lag."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.document import NotExamined
from pgdoctor_lib.checks.state import State, Watch
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, planted
from tests.postgres.server import Server

MB, GB = 1024**2, 1024**3
SENDER = {"pid": 1, "application_name": "walreceiver", "client_addr": "10.0.0.2", "state": "streaming"}


@pytest.mark.parametrize("major", [12, 18])
def test_a_standby_that_does_not_replay(
    make_server: Callable[..., Server],
    standby: Callable[[Server], Server],
    doctor: Callable[..., Doctor],
    major: int,
) -> None:
    primary = make_server(major)
    follower = standby(primary)
    lag = doctor(primary, "replication-lag", warning_bytes=MB, critical_bytes=8 * MB)
    lag.healthy()
    follower.sql("SELECT pg_wal_replay_pause()")
    primary.sql("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
    name = f"replication-lag:{follower._slot}"
    assert lag.look() == []  # not for 30 s yet
    lag.state = State({name: Watch(0, 1)})
    found = lag.sick()
    assert (found.id, found.severity) == (name, Severity.WARNING)
    assert "is there and not replayed" in found.summary
    lag.limits["critical_bytes"] = MB
    lag.state = State({name: Watch(0, 1)})
    assert lag.sick().severity is Severity.CRITICAL
    follower.sql("SELECT pg_wal_replay_resume()")
    lag.healthy()


def judge(*senders: dict[str, object], logical: tuple[str, ...] = ()) -> list[Finding]:
    slots = [{"slot_name": name, "slot_type": "logical"} for name in logical]
    return judged("replication-lag", planted(replication={"senders": list(senders) or None}, slots=slots))


def grade(behind: float | None, logical: bool = False, **more: object) -> Severity | None:
    sender = {**SENDER, "slot_name": "cdc", "replay_lag_bytes": behind, **more}
    found = judge(sender, logical=("cdc",) if logical else ())
    return found[0].severity if found else None


def test_by_bytes() -> None:
    told = [grade(behind) for behind in (None, 100 * MB - 1, 100 * MB, GB - 1, GB)]
    assert told == [None, None, Severity.WARNING, Severity.WARNING, Severity.CRITICAL]
    told = [grade(behind, True) for behind in (550 * MB - 1, 550 * MB, 2 * GB - 1, 2 * GB)]
    assert told == [None, Severity.WARNING, Severity.WARNING, Severity.CRITICAL]


def test_by_time_alone_nothing_is_told() -> None:
    assert grade(99 * MB, replay_lag_s=3600) is None


def test_a_backup_is_no_standby() -> None:
    assert grade(GB, state="backup") is None
    assert grade(GB, state="catchup") is Severity.CRITICAL


def test_where_the_wal_is() -> None:
    ahead = {"sent_lag_bytes": 0, "write_lag_bytes": 0, "flush_lag_bytes": 0, "replay_lag_bytes": GB}
    for column, words in (
        ("replay_lag_bytes", "not replayed"),
        ("flush_lag_bytes", "not on its disk"),
        ("write_lag_bytes", "on its way"),
        ("sent_lag_bytes", "not sent"),
    ):
        ahead[column] = GB
        [found] = judge({**SENDER, **ahead})
        assert words in found.summary
        assert words in found.remedy
        assert found.key == "walreceiver@10.0.0.2"


def test_since_when() -> None:
    [found] = judge({**SENDER, "replay_lag_bytes": GB, "replay_lag_s": 65.0})
    assert found.since == planted().server_time - 65
    assert "1 min" in found.summary
    now = planted(replication={"senders": [{**SENDER, "replay_lag_bytes": GB, "replay_lag_s": 0.1}]}, slots=[])
    now.since = {f"replication-lag:{found.key}": now.server_time - 60}
    [found] = judged("replication-lag", now)
    assert found.since is None  # it is known for longer than that


def test_two_of_one_name_are_one() -> None:
    found = judge({**SENDER, "replay_lag_bytes": 2 * GB}, {**SENDER, "replay_lag_bytes": GB})
    assert [each.evidence["replay_lag_bytes"] for each in found] == [2 * GB]


def test_a_role_that_may_not_see() -> None:
    with pytest.raises(NotExamined):
        judge({**SENDER, "state": None, "replay_lag_bytes": None})
    assert judge() == []
