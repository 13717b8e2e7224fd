"""Projects' tokens. What is kept is their SHA-256: a token of 32 random bytes cannot be guessed from that."""

import hashlib
import re

from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.receiver.store.db import Db, one
from pgdoctor_lib.receiver.store.model import TokenRow

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_USED_EVERY_S = 3600.0


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def add(db: Db, name: str, digested: str, now: float) -> None:
    """A project's token. UsageError where the project has one, or the name will not do."""
    if not _NAME.fullmatch(name):
        raise UsageError("a project's name: letters, digits, and . _ - after the first, 63 at most")
    with db.transaction():
        if one(db, "SELECT 1 FROM token WHERE name = ? AND revoked_at IS NULL", (name,)):
            raise UsageError(f"{name} has a token; pgdoctor serve token revoke {name} ends it")
        db.run("INSERT INTO token (digest, name, created_at) VALUES (?, ?, ?)", (digested, name, now))


def revoke(db: Db, name: str, now: float) -> bool:
    """False where there is none to revoke."""
    return db.run("UPDATE token SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL", (now, name)) > 0


def rows(db: Db) -> list[TokenRow]:
    """All that there were, by name."""
    found = db.rows(
        'SELECT name, created_at, last_used_at, revoked_at FROM token ORDER BY name COLLATE "C", created_at'
    )
    return [TokenRow(*row) for row in found]


def project_of(db: Db, digested: str) -> str | None:
    """Whose token it is; None for one that was revoked, or never made."""
    row = one(db, "SELECT name FROM token WHERE digest = ? AND revoked_at IS NULL", (digested,))
    return str(row[0]) if row else None


def used(db: Db, name: str, now: float) -> None:
    """Note that a project's token was used: once an hour is enough."""
    sql = (
        "UPDATE token SET last_used_at = ? WHERE name = ? AND revoked_at IS NULL"
        " AND (last_used_at IS NULL OR last_used_at < ?)"
    )
    db.run(sql, (now, name, now - _USED_EVERY_S))
