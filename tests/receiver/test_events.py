"""What happened, as pages tell it."""

import pytest

from pgdoctor_lib.receiver.store.model import Event, Series
from pgdoctor_lib.receiver.web import events, measures

NOW = 1_700_000_000.0
OPENED = [Event(NOW - number, "opened", f"index-unused:{number}", f"index {number}") for number in range(45)]
FAILOVER = Event(NOW - 100, "failover", "recovery", "the primary now")


def test_many_findings_hide_no_failover() -> None:
    shown = events.shown([*OPENED, FAILOVER])
    assert shown[-1] == FAILOVER
    assert shown[0] == OPENED[0]
    told = events.listed([*OPENED, FAILOVER], NOW)
    assert "the primary now" in told
    assert f"and {46 - len(shown)} more" in told
    strip = events.strip([*OPENED, FAILOVER], (NOW - 3600, NOW))
    assert strip.count("<circle") == len(shown)
    assert f'href="#event-{len(shown) - 1}" class="failover"' in strip


def test_many_marks_hide_no_finding() -> None:
    marks = [Event(NOW - number, "mark", str(number), str(number)) for number in range(200)]
    assert OPENED[-1] in events.shown([*marks, OPENED[-1]])


def test_the_list_can_be_scrolled_with_keys() -> None:
    assert '<div class="past" tabindex="0" role="region"' in events.listed(OPENED, NOW)


def test_a_statements_list_has_its_own_findings_and_what_was_done_to_the_server() -> None:
    own = Event(NOW, "opened", "slow-query:-42", "slow")
    others = [Event(NOW, "opened", "slow-query:42", "slow"), Event(NOW, "resolved", "vacuum:public.t", "dead rows")]
    assert events.of_statement([own, FAILOVER, *others], "-42") == [own, FAILOVER]


@pytest.mark.parametrize(("own", "standbys", "lag"), [(5.0, 7.0, 7.0), (5.0, None, 5.0), (None, None, None)])
def test_lag_is_the_greater_of_both(own: float | None, standbys: float | None, lag: float | None) -> None:
    series = Series(60, [NOW], {"replication.replay_lag_bytes": [own], "replication.lag_bytes": [standbys]})
    assert measures.made(series, ["made.lag"]) == {"made.lag": [lag]}
