"""Who leads: on real servers, with a clock that the test turns. What processes do is in tests/faults/test_ha.py."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pgdoctor_lib.agent.leader import Leader
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn
from tests.postgres.server import Server
from tests.postgres_lib.relay import Relay
from tests.waiting import wait_for

HOLDER = """
    SELECT datname, pid FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted
"""
LOCKS = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND granted"


class Over(Exception):
    """The script is at its end."""


@dataclass
class Hands:
    """A clock that stands still but for what a script does while the leader sleeps; then the leader is ended."""

    script: list[Callable[[float], None]] = field(default_factory=list)
    monotonic: float = 1000.0
    wall: float = 1_750_000_000.0
    slept: list[float] = field(default_factory=list)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.monotonic, lambda: self.wall, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.script:
            raise Over
        self.script.pop(0)(seconds)

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


class Daemon:
    """A leader, what it noted, and its clock."""

    def __init__(self, *dsns: str, interval_s: float = 60.0, realm: str = "") -> None:
        self.hands = Hands()
        self.notes: list[str] = []
        targets = [Target(f"db{number}", Dsn.parse(dsn, {}), interval_s) for number, dsn in enumerate(dsns)]
        self.busy = False
        note, is_busy = lambda text, level="info": self.notes.append(text), lambda: self.busy
        self.leader = Leader(targets, self.hands.clock, note, realm, is_busy)

    def run(self, *script: Callable[[float], None]) -> None:
        """Run, with one function called at each sleep of the leader, until they are used up."""
        self.hands.script = list(script)
        with pytest.raises(Over):
            self.leader.run()

    @property
    def state(self) -> tuple[str, bool]:
        return self.leader.role, self.leader.leads()


def test_one_leads_and_the_other_takes_over(newest_server: Server) -> None:
    one, two = Daemon(newest_server.dsn()), Daemon(newest_server.dsn())
    seen = [one.state]

    def while_one_leads(_: float) -> None:
        seen.append(one.state)
        two.run(lambda _: seen.append(two.state))

    one.run(while_one_leads)

    def hears_of_it(_: float) -> None:
        seen.append(two.state)

    assert seen == [("standing by", False), ("leading", True), ("standing by", False)]
    wait_for(lambda: newest_server.sql(LOCKS) == [(0,)], "the lease was not given back")
    two.run(hears_of_it)
    where = f"127.0.0.1:{newest_server.port}"
    assert seen[-1] == ("leading", True)
    assert one.notes == [f"{where}: this daemon collects"]
    assert two.notes == [f"{where}: another daemon collects; standing by", f"{where}: took over"]


def test_a_lease_that_may_be_anothers_by_now_does_not_count(newest_server: Server) -> None:
    """Frozen, the process finds both clocks ahead; asleep with its machine, the wall clock alone."""
    one = Daemon(newest_server.dsn(), interval_s=40.0)  # a sign of life each 10 s, lasting 20 s
    seen = []

    def look(at: float) -> None:
        one.hands.pass_by(at)
        seen.append(one.state)

    def frozen(_: float) -> None:
        look(15.0)
        look(4.0)

    def asleep(_: float) -> None:
        seen.append(one.state)
        one.hands.wall += 3600
        seen.append(one.state)

    one.run(frozen, asleep, lambda _: seen.append(one.state))
    assert seen == [("leading", ok) for ok in (True, False, True, False, True)]
    assert one.hands.slept == [10.0, 10.0, 10.0, 10.0]


@pytest.mark.parametrize(("interval_s", "beat_s"), [(1.0, 0.25), (2.0, 0.5), (60.0, 15.0), (86_400.0, 15.0)])
def test_a_sign_of_life_four_times_an_interval(newest_server: Server, interval_s: float, beat_s: float) -> None:
    one = Daemon(newest_server.dsn(), interval_s=interval_s)
    one.run(lambda _: None)
    assert one.hands.slept == [beat_s, beat_s]


def test_a_session_that_was_ended_is_replaced(newest_server: Server) -> None:
    one = Daemon(newest_server.dsn())
    seen = []

    def ended(_: float) -> None:
        newest_server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgdoctor'")
        wait_for(lambda: newest_server.sql(LOCKS) == [(0,)], "it goes on")

    one.run(ended, lambda _: seen.append(one.state))
    assert seen == [("leading", True)]
    assert len(one.notes) == 1


def test_one_whose_cycle_hangs_lets_others_go_first_but_does_not_wait_for_ever(newest_server: Server) -> None:
    one, two = Daemon(newest_server.dsn()), Daemon(newest_server.dsn())
    seen = []

    def begins_to_hang(_: float) -> None:
        seen.append(one.state)
        two.run(lambda _: seen.append(two.state))
        wait_for(lambda: newest_server.sql(LOCKS) == [(0,)], "the lease was not given back")

    def alone_there(_: float) -> None:
        seen.append(one.state)
        assert newest_server.sql(LOCKS) == [(0,)]

    one.busy = True
    one.run(begins_to_hang, alone_there, lambda _: seen.append(one.state))
    assert seen == [("standing by", False), ("leading", True), ("standing by", False), ("leading", True)]
    assert one.hands.slept == [15.0] * 4


def test_without_a_server_it_leads_and_with_one_it_shares_again(fresh_server: Server) -> None:
    fresh_server.stop()
    one = Daemon(fresh_server.dsn())
    seen = []

    def up(seconds: float) -> None:
        seen.append((*one.state, seconds))
        fresh_server.start()

    one.run(up, lambda _: seen.append(one.state))
    assert seen == [("alone", True, 15.0), ("leading", True)]
    assert one.notes[0].startswith(f"127.0.0.1:{fresh_server.port}: collecting whatever other daemons do, for ")
    assert one.notes[0].endswith("there is no lease: connection refused")


def test_behind_a_pooler_both_lead_and_no_lock_is_left(newest_server: Server) -> None:
    with Relay(newest_server.port, "pool") as relay:
        dsn = f"host=127.0.0.1 port={relay.port} user=postgres dbname=postgres sslmode=disable gssencmode=disable"
        daemons = [Daemon(dsn), Daemon(dsn)]
        for each in daemons:
            each.run()
        assert [each.state for each in daemons] == [("alone", True)] * 2
        assert daemons[0].hands.slept == [300.0]
        assert newest_server.sql(LOCKS) == [(0,)]


def test_a_database_that_lets_nobody_in_is_not_in_the_way(newest_server: Server) -> None:
    nosuch, there = newest_server.dsn("nosuch"), newest_server.dsn()
    one, two = Daemon(nosuch, there), Daemon(nosuch, there)
    seen = []

    def while_one_leads(_: float) -> None:
        two.run(lambda _: seen.append((one.state, two.state)))

    one.run(while_one_leads)
    assert seen == [(("leading", True), ("standing by", False))]


def test_a_lease_moves_to_the_first_database_when_that_lets_it_in_and_not_before(fresh_server: Server) -> None:
    one = Daemon(fresh_server.dsn("first"), fresh_server.dsn())
    seen = []

    def look() -> None:
        [holder] = fresh_server.sql(HOLDER)
        seen.append((*one.state, holder))
        one.hands.pass_by(301.0)

    def appears(_: float) -> None:
        look()
        fresh_server.sql("CREATE DATABASE first")
        one.busy = True  # a cycle of its own, which is no reason to let others go first

    one.run(lambda _: look(), appears, lambda _: look())
    (at_work, leads, before), still, (*after, moved) = seen
    assert (at_work, leads) == tuple(after) == ("leading", True)
    assert still == (at_work, leads, before)
    assert (before[0], moved[0]) == ("postgres", "first")
    assert len(one.notes) == 1


def test_daemons_that_differ_do_not_wait_for_each_other(newest_server: Server) -> None:
    dsn = newest_server.dsn()
    others = [Daemon(dsn, dsn), Daemon(dsn, interval_s=30.0), Daemon(dsn, realm="https://other.example")]
    seen = []

    def while_one_leads(_: float) -> None:
        for each in others:
            each.run(lambda _, each=each: seen.append(each.state))

    Daemon(dsn).run(while_one_leads)
    assert seen == [("leading", True)] * 3
