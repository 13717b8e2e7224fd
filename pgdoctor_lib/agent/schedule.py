"""Due times: pure arithmetic on a monotonic clock."""


def next_due(start: float, interval_s: float, now: float) -> float:
    """The first point after `now` on the grid `start + n × interval_s`.

    A cycle that overruns skips the slots that it missed: after a pause of any length the next one
    is due once, never in a bunch, and the grid does not drift.
    """
    return start + ((now - start) // interval_s + 1) * interval_s
