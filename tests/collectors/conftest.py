"""Collect in this process, with psycopg2 waiting as it does in the product, and read what came as a program would."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from psycogreen.gevent import gevent_wait_callback
from psycopg2.extensions import set_wait_callback

from pgdoctor_lib.collectors import statements
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.registry import Asked
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.config import QueryText
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.snapshot import Collected
from tests.postgres.server import Server
from tests.waiting import wait_for


@dataclass(frozen=True)
class Document:
    """What was collected, parsed."""

    sections: dict[str, Any]
    top_queries: list[dict[str, Any]] | None
    errors: dict[str, tuple[str, str]]
    text: str

    def row(self, section: str, **wanted: object) -> dict[str, Any]:
        """The only row of the section that has these values."""
        [found] = [row for row in self.sections[section]["rows"] if wanted.items() <= row.items()]
        return found

    def query(self, word: str) -> dict[str, Any]:
        """The only top query whose text has `word` in it."""
        assert self.top_queries is not None
        [found] = [row for row in self.top_queries if word in (row["normalized_query"] or "")]
        return found


Collect = Callable[..., Document]
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgdoctor' AND datname = %s"


def kept_session(server: Server, name: str) -> tuple[int]:
    """PGDoctor's one session in that database, once those that it has closed are gone."""
    [found] = wait_for(
        lambda: rows if len(rows := server.sql(BACKENDS, (name,))) == 1 else [], f"there is not one session in {name}"
    )
    return found


class Only(Memory):
    """Of the sections, these alone are due."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def is_due(self, part: Asked, now: float) -> bool:
        return part.name in (*self._names, "top_queries") and super().is_due(part, now)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "collects(*names): the sections that `collect` is for, beside queries; else all")


@pytest.fixture(autouse=True)
def cooperative_psycopg2() -> Iterator[None]:
    """The wait that deadlines can end; taken away again for the other tests."""
    set_wait_callback(gevent_wait_callback)
    yield
    set_wait_callback(None)


@pytest.fixture(autouse=True)
def nothing_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy, to read a few texts may take as long as, elsewhere, very many."""
    monkeypatch.setattr(statements, "DEAR_MS", float("inf"))


@pytest.fixture
def collect(request: pytest.FixtureRequest) -> Collect:
    """`collect(dsn, limit=20, query_text="masked")`: a `Document`, of what the test's mark `collects` names.

    Without that mark, and with `whole=True`, of everything: seven times as dear.
    """
    mark = request.node.get_closest_marker("collects")

    def run(dsn: str, limit: int = 20, query_text: QueryText = "masked", *, whole: bool = False) -> Document:
        collecting = Collecting(Dsn.parse(dsn, {}), limit, query_text)
        if mark and not whole:
            collecting._memory = collecting._server = Only(mark.args)
        return _document(collecting.once())

    return run


@pytest.fixture
def watch() -> Iterator[Callable[..., Callable[[], Document]]]:
    """`look = watch(dsn, limit=20, query_text="masked")`: what each cycle asks, at each `look()`; the first is over."""
    made: list[Collecting] = []

    def begin(dsn: str, limit: int = 20, query_text: QueryText = "masked") -> Callable[[], Document]:
        made.append(Collecting(Dsn.parse(dsn, {}), limit, query_text, Routine("db", 60.0, Memory())))
        made[-1].once()
        return lambda: _document(made[-1].once())

    yield begin
    for each in made:
        each.close()


def _document(collected: Collected) -> Document:
    texts = {section.name: section.json for section in collected.sections}
    return Document(
        {name: json.loads(text, parse_constant=pytest.fail) for name, text in texts.items()},
        None if collected.top_queries is None else json.loads(collected.top_queries),
        {error.collector: (error.error, error.hint) for error in collected.errors},
        "\n".join([*texts.values(), collected.top_queries or ""]),
    )
