"""What was given up: counted at once, told at most once a minute with the sum."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pgdoctor_lib.units import counted, format_duration

BETWEEN_LINES_S = 60.0


class Counts(NamedTuple):
    """Snapshots given up since the start, by why; and files of the spool that hold none."""

    for_room: int = 0
    for_age: int = 0
    for_memory: int = 0
    alien: int = 0

    @property
    def dropped(self) -> int:
        """Snapshots given up."""
        return self.for_room + self.for_age + self.for_memory


class Losses:
    """Told the counts again and again, `note`s what they grew by. `monotonic` in seconds."""

    def __init__(self, note: Callable[..., None], monotonic: Callable[[], float]) -> None:
        self._note, self._monotonic = note, monotonic
        self._told = Counts()
        self._told_at: float | None = None

    def tell(self, now: Counts, max_age_s: float, *, last: bool = False) -> None:
        """Say what is new, unless something was said within the last minute. `last`: say it all the same."""
        at = self._monotonic()
        just_told = self._told_at is not None and at - self._told_at < BETWEEN_LINES_S
        if now == self._told or (just_told and not last):
            return
        new = Counts(*(after - before for after, before in zip(now, self._told, strict=True)))
        self._told, self._told_at = now, at
        for text, level in _lines(new, max_age_s):
            self._note(text, level=level)


def _lines(new: Counts, max_age_s: float) -> Iterator[tuple[str, str]]:
    if new.for_room:
        yield f"the spool is full: gave up the oldest {counted(new.for_room, 'snapshot')}", "warning"
    if new.for_memory:
        yield f"no room in memory either: gave up the oldest {counted(new.for_memory, 'snapshot')}", "error"
    if new.for_age:
        were = "was" if new.for_age == 1 else "were"
        within = format_duration(max_age_s)
        yield f"gave up {counted(new.for_age, 'snapshot')} that {were} not delivered within {within}", "warning"
    if new.alien:
        them = "file" if new.alien == 1 else "files"
        yield f"set aside {new.alien} damaged or alien {them} of the spool, in rejected/", "warning"
