"""Where the receiver's files lie, made so that nobody else can read or plant them, and its token."""

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pgdoctor_lib.config import paths
from pgdoctor_lib.errors import ConfigError, PGDoctorError
from pgdoctor_lib.secret import Secret, is_token, one_line

_MAX_FILE_BYTES = 16384  # of a token's file: a longer token is refused, not cut


@dataclass(frozen=True)
class Token:
    """The bearer token. `path`: the file it is kept in, None where PGDOCTOR_TOKEN gave it; `new`: made just now."""

    secret: Secret
    path: str | None
    new: bool = False


def state_folder(environ: Mapping[str, str]) -> str:
    """The receiver's folder, made where it is missing. PGDoctorError where it is another user's, as in /tmp."""
    folder = paths.receiver(environ)
    with suppress(OSError):  # whatever needs the folder will say that it is not there
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not {os.lstat(folder).st_uid, os.stat(folder).st_uid} <= {0, os.geteuid()}:
            raise PGDoctorError(f"{one_line(folder)}: it belongs to another user")
    return folder


def private_file(path: str) -> None:
    """Make `path` (0600) and its folder (0700) where they are missing; refuse what is not a plain file of ours."""
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags, 0o600), "rb", closefd=True) as file:
            _check(file.fileno(), path)
    except OSError as error:
        raise PGDoctorError(f"{one_line(path)}: {error.strerror}") from None


def token(environ: Mapping[str, str], folder: str) -> Token:
    """`PGDOCTOR_TOKEN`, else the one in `folder`/serve.token, which is made at the first start."""
    given = environ.get("PGDOCTOR_TOKEN", "").strip()
    if given:
        return Token(_checked(given, "PGDOCTOR_TOKEN"), None)
    path = os.path.join(folder, "serve.token")
    try:
        new = _make_token(path)
        return Token(_checked(_read(path), one_line(path)), path, new)
    except OSError as error:
        raise PGDoctorError(f"{one_line(path)}: {error.strerror}") from None


def _make_token(path: str) -> bool:
    """True when this call made the file. Whole or not at all, whoever starts at the same time."""
    if os.path.lexists(path):
        return False
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{secrets.token_hex(8)}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)


def _read(path: str) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        _check(handle, path)
        if os.fstat(handle).st_mode & 0o077:
            hint = "delete the file: the next start makes a new one"
            raise PGDoctorError(f"{one_line(path)}: others can read the token", hint=hint)
        return file.read(_MAX_FILE_BYTES).decode("latin-1").strip()


def _checked(value: str, origin: str) -> Secret:
    if not is_token(value):
        raise ConfigError(f"{origin}: a token is one line of printable ASCII without spaces")
    return Secret(value)


def _check(handle: int, path: str) -> None:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
        raise PGDoctorError(f"{one_line(path)}: not a plain file of this user")
