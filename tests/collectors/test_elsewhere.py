"""Where statements are read for databases that lack the extension: what hangs, is busy or goes costs only itself."""

import time
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from pgdoctor_lib.collectors import elsewhere
from pgdoctor_lib.collectors.elsewhere import Elsewhere
from pgdoctor_lib.collectors.memory import Memory
from pgdoctor_lib.collectors.run import Collecting, Routine
from pgdoctor_lib.collectors.top_queries import TopQueries
from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DatabaseError, DeadlineExceeded
from pgdoctor_lib.postgres.connect import connect
from pgdoctor_lib.postgres.session import Session
from tests.collectors.conftest import BACKENDS, kept_session
from tests.postgres.server import Database, Server
from tests.waiting import wait_for

FOUND = TopQueries("[]")
Use = Callable[[Session], TopQueries | None]


@pytest.fixture
def session(newest_database: Database) -> Iterator[Session]:
    with connect(Dsn.parse(newest_database.dsn, {})) as made:
        yield made


@pytest.fixture
def lacking(fresh_server: Server) -> tuple[Database, Database]:
    """A database that lacks the extension, and one that has it; the first to be searched lacks it, too."""
    lacks, has = fresh_server.new_database(), fresh_server.new_database()
    lacks.sql("DROP EXTENSION pg_stat_statements")
    return lacks, has


def collecting(server: Server, name: str, memory: Memory) -> Collecting:
    return Collecting(Dsn.parse(server.dsn(name), {}), 20, routine=Routine(name, 60.0, memory))


def test_a_search_that_fails_late_leaves_what_another_found_meanwhile(session: Session) -> None:
    one = Elsewhere()

    def visit(dbname: str, use: Use) -> TopQueries | None:
        if dbname == "there":
            return use(session)
        assert one.read(["there"], visit, lambda _: FOUND, session.facts) == FOUND
        raise DatabaseError("too late")

    assert one.read(["away"], visit, lambda _: FOUND, session.facts).json is None
    assert one.read([], visit, lambda _: FOUND, session.facts) == FOUND, "it is still known where"


def test_a_database_that_hangs_does_not_end_the_search(session: Session) -> None:
    def visit(dbname: str, use: Use) -> TopQueries | None:
        if dbname == "hangs":
            raise DeadlineExceeded("the query took longer than 1 s")
        return use(session)

    assert Elsewhere().read(["hangs", "there"], visit, lambda _: FOUND, session.facts) == FOUND


def test_the_search_as_a_whole_is_bounded_all_the_same(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "SEARCH_S", 0.3)

    def visit(dbname: str, use: Use) -> TopQueries | None:
        session.query("SELECT pg_sleep(0.2)")
        return None

    with deadline(5, "the test"):
        found = Elsewhere().read(["a", "b", "c", "d"], visit, lambda _: FOUND, session.facts)
    assert "the search for pg_stat_statements took longer than 0.3 s" in found.errors[0].error


def test_a_database_where_somebody_stays_does_not_end_the_search(lacking: tuple[Database, Database]) -> None:
    lacks, _ = lacking
    memory = Memory()
    busy, one = collecting(lacks.server, "postgres", memory), collecting(lacks.server, lacks.name, memory)
    inside, leave = Event(), Event()

    def stay() -> None:
        with busy._room.alone(1):
            inside.set()
            leave.wait(30)

    thread = Thread(target=stay)
    thread.start()
    inside.wait(30)
    try:
        before = time.monotonic()
        assert one.once().top_queries is not None
        assert time.monotonic() - before < elsewhere.SEARCH_S
    finally:
        leave.set()
        thread.join()
        one.close()


def test_a_kept_session_that_ended_meanwhile_is_replaced(lacking: tuple[Database, Database]) -> None:
    lacks, has = lacking
    memory = Memory()
    there, one = (collecting(lacks.server, each.name, memory) for each in (has, lacks))
    for each in (there, one, there):
        each.once()
    [pid] = kept_session(lacks.server, has.name)
    lacks.server.sql("SELECT pg_terminate_backend(%s)", (pid,))
    wait_for(lambda: lacks.server.sql(BACKENDS, (has.name,)) == [], "it did not end")
    one._server._statements.clear()
    collected = one.once()
    assert collected.top_queries is not None and collected.errors == ()
    there.close()
    one.close()


def test_a_session_that_is_lent_ends_with_the_room_of_its_owner(lacking: tuple[Database, Database]) -> None:
    _, has = lacking
    memory = Memory()
    there = collecting(has.server, has.name, memory)
    there.once()
    there.once()
    room = memory.rooms.any_room(there._at(has.name))
    kept_session(has.server, has.name)
    with room.lent(time.monotonic()) as session:
        assert session
        there.close()
        assert session.is_open, "somebody is at work in it"
    wait_for(lambda: has.server.sql(BACKENDS, (has.name,)) == [], "a session was left")


def test_rooms_are_forgotten_with_whoever_was_in_them() -> None:
    rooms = Memory().rooms
    for number in range(10):
        rooms.any_room((f"db_{number}", "role"))
        rooms.room((f"db_{number}", "role"))
    assert len(rooms._rooms) == 0
    one, other = rooms.room("db"), rooms.room("db")
    assert one is not other
    assert rooms.any_room("db") in (one, other)
