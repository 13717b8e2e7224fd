"""Due times lie on a fixed grid."""

import pytest

from pgdoctor_lib.agent.schedule import next_due


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (100.0, 160.0),  # the first cycle took no time
        (101.5, 160.0),  # it took a while
        (159.9, 160.0),
        (160.0, 220.0),  # exactly a whole slot: that slot is missed
        (225.0, 280.0),  # two slots were missed, and are not made up for
        (100000.0, 100060.0),  # the machine slept
    ],
)
def test_the_next_slot_after_now(now: float, due: float) -> None:
    assert next_due(100.0, 60.0, now) == due


def test_no_drift() -> None:
    now, dues = 0.0, []
    for _ in range(1000):
        now = next_due(0.0, 0.1, now + 0.03)
        dues.append(now)
    assert dues[-1] == pytest.approx(100.0)
