"""Run as the product runs, patched, in /: what each wait costs. argv[1]: which; argv[2]: a DSN. Prints JSON."""

from gevent import monkey

monkey.patch_all()

from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()

import contextlib  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from pgdoctor_lib.config.dsn import Dsn  # noqa: E402
from pgdoctor_lib.deadline import deadline  # noqa: E402
from pgdoctor_lib.errors import PGDoctorError  # noqa: E402
from pgdoctor_lib.postgres.connect import connect  # noqa: E402


def through(dsn: Dsn) -> str:
    """Connect, with half a second for each address."""
    with connect(dsn, connect_timeout_s=0.5) as session:
        return session.facts.db_name


def cut(dsn: Dsn) -> str:
    """A deadline cuts a statement that the server would go on with."""
    with deadline(0.5, "the cycle"), connect(dsn) as session, session.transaction(30):
        session.query("SELECT pg_sleep(25)")
    return "not cut"


def shared(dsn: Dsn) -> str:
    """Connect, with half a second for each address, and one for all together."""
    with connect(dsn, connect_timeout_s=0.5, total_s=1) as session:
        return session.facts.db_name


def given_up(dsn: Dsn) -> str:
    """Connect in vain, and see what stays open before garbage is collected."""
    gc.disable()
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with contextlib.suppress(PGDoctorError):
            connect(dsn, connect_timeout_s=0.1)
    return f"{len(os.listdir('/dev/fd')) - before} left open"


def flooded(dsn: Dsn) -> str:
    """Half a gigabyte comes in answer to one statement."""
    with connect(dsn) as session, session.transaction(30):
        session.query("SELECT repeat('x', 1000000) FROM generate_series(1, 500)")
    return "all of it"


def stuffed(dsn: Dsn) -> str:
    """A statement of 30 MB to a backend that has stopped: the deadline comes while it is half sent."""
    with connect(dsn) as session:
        pid = int(session.query("SELECT pg_backend_pid()")[0][0] or 0)
        os.kill(pid, signal.SIGSTOP)
        try:
            with deadline(0.5, "the cycle"):
                session.query(f"SELECT length('{'x' * 30_000_000}')")
        finally:
            os.kill(pid, signal.SIGCONT)
    return "not cut"


def unanswered(dsn: Dsn) -> str:
    """A statement fails, and the backend has stopped before the transaction is rolled back."""
    with connect(dsn) as session:
        pid = session.greeter_pid
        try:
            with session.transaction(0.5):
                try:
                    session.query("SELECT 1 / 0")
                finally:
                    os.kill(pid, signal.SIGSTOP)
        finally:
            os.kill(pid, signal.SIGCONT)
    return "not failed"


def killed(dsn: Dsn) -> str:
    """The greenlet that waits for a statement is killed."""
    waiting = gevent.spawn(cut_late, dsn)
    gevent.sleep(0.5)
    waiting.kill()
    return "killed"


def cut_late(dsn: Dsn) -> None:
    """As `cut`, with a deadline that does not come."""
    with connect(dsn) as session, session.transaction(30):
        session.query("SELECT pg_sleep(25)")


def watch(gaps: list[float]) -> None:
    """How long the hub stood still, at most."""
    while True:
        before = time.monotonic()
        gevent.sleep(0.01)
        gaps.append(time.monotonic() - before)


def main(which: str, text: str) -> None:
    """Do it, beside a greenlet that measures."""
    gaps: list[float] = []
    gevent.spawn(watch, gaps)
    started = time.monotonic()
    try:
        dsn = Dsn.parse(text, os.environ)
        os.chdir("/")
        ways = (through, shared, given_up, cut, killed, flooded, stuffed, unanswered)
        result = {way.__name__: way for way in ways}[which](dsn)
    except PGDoctorError as error:
        result = f"{type(error).__name__}: {error}"
    took_s = time.monotonic() - started
    rss_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"result": result, "took_s": took_s, "gap_s": max(gaps, default=0), "rss_mb": rss_kb / 1024}))


main(sys.argv[1], sys.argv[2])
