"""replica-missing."""

from collections.abc import Callable

import pytest

from pgdoctor_lib.checks.diagnose import diagnose
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.checks.replica_missing import _asked
from pgdoctor_lib.finding import Finding, Severity
from tests.checks.conftest import Doctor, judged, paste, planted
from tests.postgres.server import Server
from tests.waiting import wait_for

SLOT = {"slot_name": "s", "slot_type": "physical", "active": False, "retained_bytes": 5}
SENDER = {"application_name": "a", "slot_name": "s", "state": "streaming", "sync_state": "async"}


@pytest.mark.parametrize("major", [12, 18])
def test_a_standby_that_stops(
    make_server: Callable[..., Server],
    standby: Callable[[Server], Server],
    doctor: Callable[..., Doctor],
    major: int,
) -> None:
    primary = make_server(major)
    follower = standby(primary)
    replicas = doctor(primary, "replica-missing")
    replicas.healthy()
    follower.stop()
    found = replicas.sick()
    assert (found.id, found.severity) == (f"replica-missing:{follower._slot}", Severity.WARNING)
    assert replicas.state.watched[found.id].times == 3
    follower.start()
    replicas.healthy()

    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.sql("SELECT pg_reload_conf()")
    wait_for(lambda: primary.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"), "it is not in sync")
    replicas.healthy()
    follower.stop()
    found = replicas.sick()
    assert (found.id, found.severity) == ("replica-missing:synchronous", Severity.CRITICAL)
    paste(primary, found.remedy)
    found = wait_for(lambda: waiting_no_more(replicas), "commits still wait")
    paste(primary, found.remedy)
    replicas.healthy()
    primary.sql("SELECT pg_create_physical_replication_slot(%s)", (follower._slot,))  # for the fixture to drop


def waiting_no_more(replicas: Doctor) -> Finding | None:
    found = replicas.look()
    return found[0] if found and found[0].severity is Severity.WARNING else None


def judge(
    *senders: dict[str, object], trends: tuple[str, ...] = ("s",), names: str = "", **more: object
) -> list[Finding]:
    settings = {"synchronous_standby_names": names, "synchronous_commit": "on", **more}
    now = planted(
        replication={"senders": list(senders) or None},
        slots=[SLOT],
        settings=[{"name": name, "setting": value} for name, value in settings.items()],
    )
    now.trends = {f"replica-missing:{name}": [(0, 1)] for name in trends}
    return judged("replica-missing", now)


def test_one_that_was_there() -> None:
    assert [found.id for found in judge()] == [":s"]
    assert judge(trends=()) == []  # nobody has seen it stream
    assert judge(trends=("dropped",)) == []
    [found] = judge({**SENDER, "slot_name": "other", "application_name": "b"})
    assert (found.key, found.severity) == ("s", Severity.WARNING)


def test_whose_coming_is_remembered() -> None:
    """One with a slot of its own that stays."""
    names = {"kept": False, "passing": True}
    now = planted(
        replication={"senders": [{**SENDER, "slot_name": name} for name in (*names, None)]},
        slots=[{**SLOT, "slot_name": name, "active": True, "temporary": short} for name, short in names.items()],
        settings=[],
        server={},
    )
    found = diagnose(now, Document({}, {}), names=["replica-missing"])
    assert list(found.state.trends) == ["replica-missing:kept"]


def test_a_slot_that_is_in_use_again() -> None:
    now = planted(replication={"senders": [SENDER]}, slots=[{**SLOT, "active": True}], settings=[])
    now.trends = {"replica-missing:s": [(0, 1)]}
    assert judged("replica-missing", now) == []


def test_synchronous_standbys() -> None:
    sync = {**SENDER, "slot_name": None, "sync_state": "sync"}
    one, two = {**sync, "application_name": "a"}, {**sync, "application_name": "b", "sync_state": "potential"}
    assert [found.key for found in judge(names="a")] == ["synchronous"]
    assert [found.key for found in judge(one, names="ANY 2 (a, b)")] == ["synchronous"]
    assert judge(one, two, names="2 (a, b)", trends=()) == []
    assert judge(one, names="FIRST 1 (a, b)", trends=()) == []
    assert [found.key for found in judge({**one, "state": "catchup"}, names="*")] == ["synchronous"]
    for nobody_waits in ("local", "off"):
        assert judge(names="a", trends=(), synchronous_commit=nobody_waits) == []
    [found] = judge(one, names="2 (a, b)")
    assert (found.evidence["missing"], found.evidence["idle_slots"]) == (["b"], ["s"])


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ("a, b", (1, ["a", "b"])),
        ("*", (1, ["*"])),
        ("2 (a, b, c)", (2, ["a", "b", "c"])),
        ('first 1("A b")', (1, ["A b"])),
        ("ANY 2 ( x , y )", (2, ["x", "y"])),
    ],
)
def test_how_many_are_asked_for(names: str, asked: tuple[int, list[str]]) -> None:
    assert _asked(names) == asked


def test_nothing_replicates() -> None:
    empty: Document = planted(replication={"senders": None}, slots=[], settings=[])
    assert judged("replica-missing", empty) == []
