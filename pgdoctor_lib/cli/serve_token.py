"""`pgdoctor serve token`: a token a project, made, listed, revoked."""

import json as jsonlib
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from argh import arg, named

from pgdoctor_lib.cli.serve import place_of
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.secret import one_line

if TYPE_CHECKING:
    from pgdoctor_lib.receiver.store import Store, TokenRow


_DATABASE = arg("--database", metavar="PATH", help="the receiver's SQLite file (default: serve.db in the state folder)")
_STORE = arg("--store", metavar="DSN", help="its PostgreSQL database in place of the file (default: PGDOCTOR_STORE)")


@arg("name", help="the project's name")
@_DATABASE
@_STORE
def add(name: str, *, database: str | None = None, store: str | None = None) -> None:
    """Make a project's token, and show it this once. It writes to, and reads, that project's databases only."""
    from pgdoctor_lib.receiver.store import digest

    token = secrets.token_urlsafe(32)
    with _opened(store, database) as opened:
        opened.add_token(name, digest(token), time.time())
    # The token alone goes to standard output, so that a script may take it.
    print(f"Token of the project {name}, shown this once:", file=sys.stderr)
    print(token)


@named("list")
@arg("--json", help="as JSON")
@_DATABASE
@_STORE
def list_all(*, json: bool = False, database: str | None = None, store: str | None = None) -> None:
    """Tell which projects have, or had, a token, and when it was used last."""
    with _opened(store, database) as opened:
        found = opened.tokens()
    if json:
        print(jsonlib.dumps([_as_json(each) for each in found], indent=2))
        return
    for each in found:
        used = f"last used {_when(each.last_used_at)}" if each.last_used_at else "never used"
        ended = f", revoked {_when(each.revoked_at)}" if each.revoked_at else ""
        print(f"{each.name}: made {_when(each.created_at)}, {used}{ended}")
    if not found:
        print("No project has a token; pgdoctor serve token add NAME makes one.", file=sys.stderr)


@arg("name", help="the project's name")
@_DATABASE
@_STORE
def revoke(name: str, *, database: str | None = None, store: str | None = None) -> None:
    """End a project's token at once. What came with it stays."""
    with _opened(store, database) as opened:
        if not opened.revoke_token(name, time.time()):
            raise PGDoctorError(f"{one_line(name)}: no such project has a token", hint="see pgdoctor serve token list")
    print(f"The token of the project {name} is revoked.")


@contextmanager
def _opened(store: str | None, database: str | None) -> "Iterator[Store]":
    from pgdoctor_lib.receiver.store import open_store

    opened = open_store(place_of(store, database))
    try:
        yield opened
    finally:
        opened.close()


def _as_json(row: "TokenRow") -> dict[str, str | None]:
    times = {"created_at": row.created_at, "last_used_at": row.last_used_at, "revoked_at": row.revoked_at}
    return {"name": row.name, **{key: _when(at) if at else None for key, at in times.items()}}


def _when(at: float) -> str:
    from pgdoctor_lib.snapshot import iso_time

    return iso_time(at)
