"""`pgdoctor serve`: the built-in endpoint and its page."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from argh import arg

from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.secret import one_line

if TYPE_CHECKING:
    from pgdoctor_lib.receiver.store import Retention

DEFAULT_PORT = 8432
_LEAST_KEPT_S, _LEAST_BYTES = 3600.0, 16 * 1024**2


@arg("--host", help="address to listen on; beyond this machine, reading needs the token, too")
@arg("--port", type=int, help="port to listen on; 0 takes any free one")
@arg("--sign-in", help="reading needs the token on this machine, too: behind a proxy, or where others have accounts")
@arg("--database", metavar="PATH", help="the SQLite file with the snapshots (default: serve.db in the state folder)")
@arg("--store", metavar="DSN", help="a PostgreSQL database in place of the file (default: PGDOCTOR_STORE)")
@arg("--keep-bodies", metavar="TIME", help="how long every snapshot is kept as it came; then one an hour")
@arg("--keep-raw", metavar="TIME", help="how long snapshots, and each one's figures, are kept")
@arg("--keep-5m", metavar="TIME", help="how long figures are kept in steps of 5 minutes")
@arg("--keep-1h", metavar="TIME", help="how long figures are kept in steps of an hour")
@arg("--max-size", metavar="SIZE", help="what the store may take on disk, as 10GiB; the oldest snapshots go first")
def serve(  # noqa: PLR0913  (a parameter an option)
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    sign_in: bool = False,
    database: str | None = None,
    store: str | None = None,
    keep_bodies: str = "1d",
    keep_raw: str = "14d",
    keep_5m: str = "90d",
    keep_1h: str = "730d",
    max_size: str | None = None,
) -> int:
    """Take snapshots over HTTP, keep them in a file or in PostgreSQL, show them on a page. Ctrl+C stops it."""
    from pgdoctor_lib.receiver import app, place
    from pgdoctor_lib.receiver.store import is_dsn

    at = place_of(store, database)
    if not 0 <= port <= 65_535:
        raise UsageError(f"--port {port}: must be from 0 to 65535")
    retention = _retention({"bodies": keep_bodies, "raw": keep_raw, "5m": keep_5m, "1h": keep_1h}, max_size)
    if retention.max_bytes and is_dsn(at):
        raise UsageError("--max-size is for a file; a store in PostgreSQL is held by --keep-raw and the others")
    door, token = app.Door(host, port, sign_in), place.token(os.environ, place.state_folder(os.environ))
    app.serve(door, token, at, retention, say=_say, warn=_warn)
    return 0


@arg("--from-file", metavar="PATH", help="the SQLite file (default: serve.db in the state folder)")
@arg("--to", metavar="DSN", help="the PostgreSQL database that gets all that is in it")
def migrate(*, from_file: str | None = None, to: str | None = None) -> int:
    """Copy what a file holds into PostgreSQL. What is there already stays: it can be run again."""
    from pgdoctor_lib.cli.hidden import hide_password
    from pgdoctor_lib.receiver.place import state_folder
    from pgdoctor_lib.receiver.store import is_dsn, migrate

    if not to or not is_dsn(to):
        raise UsageError("serve migrate: --to postgresql://… is needed")
    hide_password(to)
    path = os.path.abspath(from_file or os.path.join(state_folder(os.environ), "serve.db"))
    if not os.path.isfile(path):
        raise UsageError(f"{one_line(path)}: there is no such file")
    if migrate(path, to, lambda line: _say(f"copied: {line}"), _warn):
        _say("All is there. Serve it with --store, and the same token.")
    else:
        _say("What was there is copied. Stop the receiver and run this again, for what has come since then.")
    return 0


def place_of(store: str | None, database: str | None) -> str:
    """Where the store is. A password in the argument is hidden from the list of processes."""
    from pgdoctor_lib.cli.hidden import hide_password
    from pgdoctor_lib.receiver.place import state_folder
    from pgdoctor_lib.receiver.store import is_dsn

    if store and database:
        raise UsageError("--store and --database: one of the two")
    if database:
        return os.path.abspath(database)
    dsn = store or os.environ.get("PGDOCTOR_STORE", "").strip()
    if not dsn:
        return os.path.join(state_folder(os.environ), "serve.db")
    if not is_dsn(dsn):
        raise UsageError("--store: must be postgresql://… or keyword=value pairs; --database takes a file")
    hide_password(dsn)
    return dsn


def _retention(keep: dict[str, str], max_size: str | None) -> "Retention":
    """What is coarser must be kept at least as long. UsageError names the option."""
    from pgdoctor_lib.receiver.store import Retention
    from pgdoctor_lib.units import parse_duration, parse_size

    least, before, seconds = 0.0, "", []
    for name, text in keep.items():
        given = _parsed(f"--keep-{name}", text, parse_duration)
        if given < _LEAST_KEPT_S:
            raise UsageError(f"--keep-{name} {text}: must be an hour at least")
        if given < least:
            raise UsageError(f"--keep-{name} {text}: must not be less than {before}")
        least, before = given, f"--keep-{name}, which is {text}"
        seconds.append(given)
    bodies, raw, five_minutes, hour = seconds
    most = int(_parsed("--max-size", max_size, parse_size)) if max_size else 0
    if 0 < most < _LEAST_BYTES or (max_size and not most):
        raise UsageError(f"--max-size {max_size}: must be 16MiB at least")
    return Retention(raw, five_minutes, hour, bodies, most)


def _parsed(option: str, text: str, parse: Callable[[object], float]) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option} {text}: {error}") from None


def _say(line: str) -> None:
    with suppress(OSError):  # whoever reads our output may have left; the receiver has not
        print(line, flush=True)


def _warn(line: str) -> None:
    with suppress(OSError):
        print(f"pgdoctor: {line}", file=sys.stderr, flush=True)
