"""What the store asks of a database, whichever it is. Statements have `?` for their values, and run on both."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from pgdoctor_lib.receiver.store.model import Extension

Row = tuple[Any, ...]
T = TypeVar("T")
_CHUNK = 500  # SQLite before 3.32 takes 999 values


class Db(Protocol):
    """One connection, used by one thread at a time. StoreError where it fails."""

    @property
    def extension(self) -> Extension | None:
        """What the database has for tables like the store's, used or not."""
        ...

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows."""
        ...

    def run(self, sql: str, values: Sequence[object] = ()) -> int:
        """How many rows were changed."""
        ...

    def many(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """The statement once for each."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """All that is run within, or none of it."""
        ...

    def lock(self, key: str) -> None:
        """Nobody else's transaction has the same key until this one is over."""
        ...

    def alone(self) -> AbstractContextManager[bool]:
        """Within: False where another receiver is at the same store's upkeep."""
        ...

    def prepare(self, now: float) -> None:
        """Make room for what comes next, where that has to be made."""
        ...

    def drop_before(self, table: str, step_s: int, before: float) -> bool:
        """Forget what is older in `point` (`step_s` 0) or `rollup`. True where there is more."""
        ...

    def size_bytes(self) -> int:
        """All that it takes on disk."""
        ...

    def used_bytes(self) -> int | None:
        """That part of it which deleting makes less; None where that cannot be told."""
        ...

    def shrink(self) -> bool:
        """Give back to the system some of what deleting has freed. True where there is more."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def one(db: Db, sql: str, values: Sequence[object] = ()) -> Row | None:
    """The first row."""
    found = db.rows(sql, values)
    return found[0] if found else None


def marks(values: Sequence[object]) -> str:
    """As many `?` as there are values."""
    return ", ".join("?" * len(values))


def chunks(values: Sequence[T]) -> list[Sequence[T]]:
    """As many at once as a statement takes."""
    return [values[first : first + _CHUNK] for first in range(0, len(values), _CHUNK)]
