"""Between two cycles of a database: when the recorder of its server looks. The next cycle never waits for it."""

import math
from collections.abc import Callable

import gevent

from pgdoctor_lib.clock import Clock
from pgdoctor_lib.collectors.run import RECORD_S

SPARE_S = RECORD_S  # before the next cycle nothing is asked: an answer may take as long


def watch(record: Callable[[], float], until: float, clock: Clock, wait_s: float) -> None:
    """Call `record` until shortly before the moment `until` (monotonic), for the first time in `wait_s`.

    `record()` looks, and says in how many seconds it wants to again; infinite: no more. The last look is late, so that
    there is one at short intervals, too.
    """
    while (left_s := until - SPARE_S - clock.monotonic()) >= 0:
        gevent.sleep(min(wait_s, left_s))
        wait_s = record()
        if wait_s == math.inf:
            return
