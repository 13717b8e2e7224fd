"""The receiver: bound to its address, its store in the hands of two clerks, upkeep beside; and the end of it all."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGINT, SIGTERM
from typing import Any, TypeVar

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from pgdoctor_lib import clock, startup
from pgdoctor_lib.deadline import deadline
from pgdoctor_lib.errors import DeadlineExceeded
from pgdoctor_lib.receiver.guard import Guard
from pgdoctor_lib.receiver.place import Token
from pgdoctor_lib.receiver.readiness import Readiness
from pgdoctor_lib.receiver.routes import Application
from pgdoctor_lib.receiver.server import Server, is_loopback, listen
from pgdoctor_lib.receiver.store import Extension, Retention, Store, StoreError, open_store, shown
from pgdoctor_lib.receiver.tally import Tally
from pgdoctor_lib.secret import one_line

_SHUTDOWN_S, _CLOSE_S = 10.0, 3.0
_PRUNE_EVERY_S, _ROLL_UP_EVERY_S = 600.0, 60.0
_PAUSE_S = 0.05

T = TypeVar("T")


@dataclass(frozen=True)
class Door:
    """Where to listen. `sign_in`: reading needs the token on loopback, too."""

    host: str
    port: int
    sign_in: bool


class Receiver:
    """A receiver that is bound and answers. `url`: its address, with the port that it got.

    PGDoctorError where the address is taken or the store cannot be opened.
    """

    def __init__(
        self, door: Door, token: Token, place: str, retention: Retention, *, warn: Callable[[str], None]
    ) -> None:
        host = door.host
        listener = listen(host, door.port)
        self._writer, self._reader = Clerk(place, retention), Clerk(place, retention)
        address, port = listener.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        guard = Guard(
            token.secret,
            loopback=is_loopback(address) and not door.sign_in,
            host=host,
            wall=clock.SYSTEM.wall,
            reads=_project_of(self._reader),
            writes=_project_of(self._writer),
        )
        wall = clock.SYSTEM.wall
        ready = Readiness(self._probe, StoreError, wall)
        tally = Tally()
        application = Application(guard, self._reader, self._writer, wall, self.url, token.path, warn, ready, tally)
        self._server = Server(listener, application, warn)
        self._server.start()
        self._upkeep = gevent.spawn(_keep_up, self._writer, wall, warn, tally)

    @property
    def extension(self) -> Extension | None:
        """Of the store's database, for tables like the store's; used or not."""
        return self._writer(lambda store: store.extension())

    def _probe(self) -> None:
        if not self._reader.waiting:  # a page tells as much, and may take long
            self._reader(lambda store: store.ping())
        self._writer(lambda store: store.check(clock.SYSTEM.wall()))

    def stop(self, hurry: Event) -> None:
        """Take no more, answer what is at work (10 s, or until `hurry` is set), close the store.

        A store that is at work for longer is left: what is not committed is not there at the next start.
        """
        self._upkeep.kill()
        self._server.finish(_SHUTDOWN_S, hurry)
        with suppress(DeadlineExceeded), deadline(_CLOSE_S, "closing the store"):
            self._writer.close()
            self._reader.close()


def serve(
    door: Door,
    token: Token,
    place: str,
    retention: Retention,
    *,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM. The first line said is `Receiver listening on http://HOST:PORT/`.

    `place`: where the store is, as `store.open_store` takes it.
    """
    asked, hurry = Event(), Event()

    def stop() -> None:
        (hurry if asked.is_set() else asked).set()

    for number in (SIGINT, SIGTERM):
        gevent.signal_handler(number, stop)
    startup.take_signals()
    receiver = Receiver(door, token, place, retention, warn=warn)
    say(f"Receiver listening on {receiver.url}")
    say(f"Data: {shown(place)}{_with(receiver.extension, warn)}")
    if token.new:
        say(f"Token (shown this once, kept in {token.path}): {token.secret.reveal()}")
    else:
        say(f"Token: {token.path or 'from PGDOCTOR_TOKEN'}")
    say("Press Ctrl+C to stop")
    asked.wait()
    receiver.stop(hurry)
    say("Receiver stopped gracefully.")


def _with(extension: Extension | None, warn: Callable[[str], None]) -> str:
    """For the end of a line, what the store makes use of; a warning where it does not."""
    if extension and extension.unused:
        warn(f"{extension.name} {extension.version} is not used: {extension.unused}")
    return f" ({extension.name} {extension.version})" if extension and not extension.unused else ""


class Clerk:
    """A store and the one thread that works on it: fsync, zlib and JSON stay off the hub, and no lock is needed.

    The writer and the reader are a clerk each: in WAL a page never waits for a write. `waiting`: how much work is
    given to it and not done, whether somebody still waits for it or not.
    """

    def __init__(self, place: str, retention: Retention) -> None:
        self._pool = ThreadPool(1)
        self.waiting = 0
        self._store: Store = self._run(lambda: open_store(place, retention))

    def __call__(self, work: Callable[[Store], T]) -> T:
        """The result of `work`, or what it raised."""
        return self._run(lambda: work(self._store))

    def close(self) -> None:
        """After what is at work."""
        with suppress(StoreError):
            self._run(self._store.close)
        self._pool.kill()

    def _run(self, work: Callable[[], T]) -> T:
        # An exception that reached the pool would be printed by gevent, whoever catches it here.
        def guarded() -> T | _Raised:
            try:
                return work()
            except Exception as error:  # noqa: BLE001 - carried over to the caller's greenlet
                return _Raised(error.with_traceback(None))  # its frames hold the body, and would for some time

        outcome: T | _Raised = self._given(guarded).get()
        try:
            if isinstance(outcome, _Raised):
                raise outcome.error
            return outcome
        finally:
            del outcome  # the error holds this frame

    def _given(self, work: Callable[[], T]) -> Any:
        self.waiting += 1
        try:
            given = self._pool.spawn(work)
        except BaseException:  # nobody waits any more, and it was not begun
            self.waiting -= 1
            raise
        given.rawlink(self._done)
        return given

    def _done(self, _: object) -> None:
        self.waiting -= 1


@dataclass(frozen=True)
class _Raised:
    error: Exception


def _project_of(clerk: Clerk) -> Callable[[str], str | None]:
    return lambda digest: clerk(lambda store: store.project_of(digest))


def _keep_up(write: Clerk, wall: Callable[[], float], warn: Callable[[str], None], tally: Tally) -> None:
    """Sum up and forget, in batches that let snapshots in between. What fails stops neither the other nor the next."""

    def done(work: str, batch: Callable[[Store], bool]) -> bool:
        try:
            while write(batch):
                gevent.sleep(_PAUSE_S)
        except StoreError as error:
            warn(f"store: {error}")
        except Exception as error:  # noqa: BLE001 - the border: a greenlet that died would be silent
            warn(f"store: {work} failed: {type(error).__name__}: {one_line(str(error))}")
        else:
            tally.upkeep[work] = wall()
            return True
        return False

    def prune(store: Store) -> bool:
        more = store.prune(wall())
        if not more and store.is_over_size:
            warn(f"store: {store.size_bytes()} bytes, more than --max-size: nothing is left that could be dropped")
        return more

    elapsed, pruned_at = clock.SYSTEM.elapsed, -_PRUNE_EVERY_S
    while True:
        done("roll_up", lambda store: store.roll_up(wall()))
        if elapsed() - pruned_at >= _PRUNE_EVERY_S and done("prune", prune):
            pruned_at = elapsed()
        gevent.sleep(_ROLL_UP_EVERY_S)
