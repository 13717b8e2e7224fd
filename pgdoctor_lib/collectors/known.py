"""Which statements' texts an endpoint has been sent lately, so that they need not travel in each snapshot."""

LASTS_S = 3600.0
MOST = 5000


class Known:
    """One database's, as long as the daemon runs. Pure: the caller tells the time, by any clock that only goes on.

    All is forgotten together, an hour after the first was told: what was lost on the way comes again within the hour,
    and what is known (part of a statement that may be prepared) seldom changes.
    """

    def __init__(self) -> None:
        self._ids: frozenset[str] = frozenset()
        self._since = 0.0

    def ids(self, now: float) -> frozenset[str]:
        """The queryids whose texts were told within the last hour."""
        if now - self._since >= LASTS_S:
            self._ids = frozenset()
        return self._ids

    def add(self, queryids: frozenset[str], now: float) -> None:
        """The texts of these have been told now. Of more than `MOST`, the others are told again."""
        known = self.ids(now)
        if not known:
            self._since = now
        new = sorted(queryids - known)[: MOST - len(known)]
        if new:
            self._ids = known | frozenset(new)

    def forget(self) -> None:
        """Tell all texts again."""
        self._ids = frozenset()
