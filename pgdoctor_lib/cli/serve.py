"""`pgdoctor serve`: the built-in endpoint and its page."""

import os
import sys
from contextlib import suppress

from argh import arg

from pgdoctor_lib.errors import UsageError

DEFAULT_PORT = 8432


@arg("--host", help="address to listen on; beyond this machine, reading needs the token, too")
@arg("--port", type=int, help="port to listen on; 0 takes any free one")
@arg("--database", metavar="PATH", help="the SQLite file with the snapshots (default: serve.db in the state folder)")
def serve(*, host: str = "127.0.0.1", port: int = DEFAULT_PORT, database: str | None = None) -> None:
    """Take snapshots over HTTP, keep them in one file, show them on a page. Ctrl+C stops it."""
    from pgdoctor_lib.receiver import app, place

    if not 0 <= port <= 65_535:
        raise UsageError(f"--port {port}: must be from 0 to 65535")
    folder = place.state_folder(os.environ)
    path = os.path.abspath(database) if database else os.path.join(folder, "serve.db")
    app.serve(host, port, place.token(os.environ, folder), path, say=_say, warn=_warn)


def _say(line: str) -> None:
    with suppress(OSError):  # whoever reads our output may have left; the receiver has not
        print(line, flush=True)


def _warn(line: str) -> None:
    with suppress(OSError):
        print(f"pgdoctor: {line}", file=sys.stderr, flush=True)
