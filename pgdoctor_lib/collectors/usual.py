"""What a number that is looked at again and again usually is, and from where on it is a crowd."""

import math

_LEARNT = 6  # looks: earlier, nothing is usual
_SLOWLY = 1 / 360
_TIMES, _DEVIATIONS = 2.0, 4.0


class Usual:
    """A slowly moving average and variance of a number that is looked at again and again; `floor`: no crowd below.

    `at_first`: as much counts at most, before anything is usual.
    """

    def __init__(self, floor: int, at_first: float = math.inf) -> None:
        self.mean, self.count = 0.0, 0
        self._floor, self._at_first, self._variance = floor, at_first, 0.0

    @property
    def is_known(self) -> bool:
        """Whether it was looked at often enough."""
        return self.count >= _LEARNT

    @property
    def line(self) -> float:
        """From here on it is more than usual; never, before anything is usual."""
        if not self.is_known:
            return math.inf
        return max(self._floor, self.mean * _TIMES, self.mean + _DEVIATIONS * math.sqrt(self._variance))

    def learn(self, number: float) -> float:
        """What is beyond the line counts as the line: a crowd that stays becomes usual in hours, not at once.

        Gives what counted.
        """
        seen = min(number, self.line if self.is_known else self._at_first)
        self.count += 1
        weight = max(_SLOWLY, 1 / self.count)
        apart = seen - self.mean
        self.mean += weight * apart
        self._variance = (1 - weight) * (self._variance + weight * apart * apart)
        return seen
