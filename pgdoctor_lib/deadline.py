"""The only door to `gevent.Timeout`: every wait in PGDoctor has a bound, and this sets it."""

from collections.abc import Iterator
from contextlib import contextmanager

from gevent import Timeout

from pgdoctor_lib.errors import DeadlineExceeded


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raise `DeadlineExceeded` when the block takes longer than `seconds` (monotonic).

    The exception is thrown into the wait that the block is in: a psycopg2 connection that was
    waiting is closed by it, and must be thrown away.
    """
    timer = Timeout.start_new(seconds)
    try:
        yield
    except Timeout as reached:
        if reached is not timer:
            raise
        # The frames of the wait hold the connection, and lead back here: they would keep it open until the next
        # collection of garbage. Two hundred servers that hang had used up a thousand descriptors by then.
        timer.__traceback__ = None
        raise DeadlineExceeded(f"{what} took longer than {seconds:g} s") from None
    finally:
        timer.close()
