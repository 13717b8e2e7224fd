"""One leader a server, through reloads."""

from collections.abc import Iterator
from dataclasses import replace

import gevent
import pytest

from pgdoctor_lib.agent.leaders import Leaders
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Target
from pgdoctor_lib.config.dsn import Dsn
from tests.postgres.server import Server
from tests.waiting import wait_for

KEYS = "SELECT objid::text FROM pg_locks WHERE locktype = 'advisory' AND granted ORDER BY 1"


@pytest.fixture
def leaders() -> Iterator[Leaders]:
    made = Leaders(Clock(sleep=gevent.sleep), lambda text, level="info": None, lambda died: None, lambda hosts: False)
    yield made
    gevent.joinall(made.stop(), raise_error=True)


def soon(condition: object) -> None:
    """Wait, and let greenlets go on."""

    def holds() -> bool:
        gevent.sleep(0.01)
        return condition()  # type: ignore[operator,no-any-return]

    wait_for(holds, "it does not come")


def test_a_reload_keeps_what_did_not_change_and_hands_over_what_did(newest_server: Server, leaders: Leaders) -> None:
    one, other = (Target(name, Dsn.parse(newest_server.dsn(), {}), 60.0) for name in ("one", "other"))
    assert leaders.role(one) is None and not leaders.leads(one)
    leaders.follow([one], "realm")
    assert not leaders.leads(one)
    soon(lambda: leaders.leads(one))
    before = newest_server.sql(KEYS)
    leaders.follow([replace(one, limit=7)], "realm")
    gevent.sleep(0.1)
    assert leaders.leads(one) and newest_server.sql(KEYS) == before
    leaders.follow([one, other], "realm")
    assert leaders.leads(one) and leaders.leads(other)
    soon(lambda: leaders.leads(one) and len(newest_server.sql(KEYS)) == 1 and newest_server.sql(KEYS) != before)
    assert leaders.role(other) == "leading"
    leaders.follow([], "realm")
    assert not leaders.leads(one)
    soon(lambda: newest_server.sql(KEYS) == [])


def test_the_end_gives_every_lease_back(newest_server: Server, leaders: Leaders) -> None:
    one = Target("one", Dsn.parse(newest_server.dsn(), {}), 60.0)
    leaders.follow([one], "realm")
    soon(lambda: leaders.leads(one))
    gevent.joinall(leaders.stop(), raise_error=True)
    assert not leaders.leads(one)
    soon(lambda: newest_server.sql(KEYS) == [])


def test_another_password_goes_unnoticed_another_endpoint_does_not(newest_server: Server, leaders: Leaders) -> None:
    one = Target("one", Dsn.parse(newest_server.dsn(), {}), 60.0)
    leaders.follow([one], "realm")
    soon(lambda: leaders.leads(one))
    before = newest_server.sql(KEYS)
    changed = replace(one, dsn=Dsn.parse(newest_server.dsn(password="pw-of-the-reload-7c1f"), {}))
    leaders.follow([changed], "realm")
    gevent.sleep(0.1)
    assert leaders.leads(changed) and newest_server.sql(KEYS) == before
    leaders.follow([changed], "another realm")
    assert leaders.leads(changed)
    soon(lambda: leaders.leads(changed) and len(newest_server.sql(KEYS)) == 1 and newest_server.sql(KEYS) != before)
