"""Whether the store can be read and written, asked at most once a second: asking needs no token, and costs a write.

What is asked is small, and may fit where no snapshot does any more: so what became of the last snapshot counts, too.
"""

from collections.abc import Callable

_EACH_S = 1.0
_WARY_S = 15.0  # after a snapshot that could not be kept; then it is tried with another, if one comes


class Readiness:
    """`probe` raises `error` where it cannot be; `wall`: epoch seconds.

    `refusing_since`: since when no snapshot could be kept, None where the last one could.
    """

    def __init__(self, probe: Callable[[], None], error: type[Exception], wall: Callable[[], float]) -> None:
        self._probe, self._error, self._wall = probe, error, wall
        self._asked_at, self._refused_at = 0.0, 0.0
        self._is_ready, self._is_asking = True, False
        self.refusing_since: float | None = None

    def tried(self, *, is_kept: bool) -> None:
        """What became of a snapshot."""
        if is_kept:
            self.refusing_since = None
            return
        self._refused_at = self._wall()
        if self.refusing_since is None:
            self.refusing_since = self._refused_at

    def __call__(self) -> bool:
        """As it is, or was within the last second. False while an answer takes longer than that."""
        now = self._wall()
        if self.refusing_since is not None and abs(now - self._refused_at) < _WARY_S:
            return False
        if abs(now - self._asked_at) < _EACH_S:
            return self._is_ready
        if self._is_asking:
            return False
        self._asked_at, self._is_asking = now, True
        try:
            self._probe()
            self._is_ready = True
        except self._error:
            self._is_ready = False
        finally:
            self._is_asking = False
        return self._is_ready
