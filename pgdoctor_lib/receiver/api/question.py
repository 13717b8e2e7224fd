"""A request that was understood: who asks, for what, within which bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pgdoctor_lib.receiver import moments
from pgdoctor_lib.receiver.store import Source, Store
from pgdoctor_lib.receiver.wire import Rejected

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """`project`: whose databases may be seen, None for all; `path`: what the address names; `given`: its parameters."""

    store: Store
    project: str | None
    now: float
    path: Mapping[str, str]
    given: Mapping[str, Any]

    @property
    def source(self) -> Source:
        """The database that the address names. Rejected where there is none that may be seen."""
        found = self.store.source(self.path["database"])
        if found is None or self.project not in (None, found.project):
            missing("database")
        return found

    @property
    def span(self) -> tuple[float, float]:
        """From when to when."""
        return moments.span(self.now, self.given["from"], self.given["to"], self.given["range"])

    def page(self, rows: Sequence[T]) -> tuple[Sequence[T], int]:
        """The rows from `offset` on, `limit` at most, and how many come after them."""
        first, most = self.given.get("offset", 0), self.given["limit"]
        return rows[first : first + most], max(0, len(rows) - first - most)


def missing(what: str) -> NoReturn:
    """Refuse what is not there, or is another project's: which of both is not told."""
    raise Rejected(404, f"no such {what}")
