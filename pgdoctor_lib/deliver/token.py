"""The bearer token: given in the configuration, or in a file that is read anew when it changes."""

import os
import stat

from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.config.passfile import version_of
from pgdoctor_lib.errors import DeliveryError
from pgdoctor_lib.secret import Generations, Secret, is_token, one_line

_MAX_BYTES = 16384
_generations: dict[str, Generations] = {}  # by path: a notice has a source of its own each time


class TokenSource:
    """Gives the token that is in force now."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._path = endpoint.token_file
        self._token = endpoint.token
        self._seen: tuple[int, ...] | None = None

    def current(self) -> Secret:
        """The token. DeliveryError where its file cannot be read, or holds no token."""
        if self._path is not None:
            try:
                self._refresh(self._path)
            except OSError as error:
                raise DeliveryError(f"token_file {one_line(self._path)}: {os.strerror(error.errno or 0)}") from None
        if self._token is None or not is_token(self._token.reveal()):
            where = "the token" if self._path is None else f"token_file {one_line(self._path)}"
            raise DeliveryError(f"{where} must be printable ASCII without spaces, and not empty")
        return self._token

    def stamp(self) -> tuple[int, ...] | None:
        """Equal as long as the file does not change."""
        return identity(self._path)

    def _refresh(self, path: str) -> None:
        if version_of(os.stat(path)) == self._seen:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_BYTES:
                raise DeliveryError(f"token_file {one_line(path)} is not a small regular file")
            text = os.read(descriptor, _MAX_BYTES).decode("latin-1").strip()
        finally:
            os.close(descriptor)
        [self._token] = _generations.setdefault(path, Generations()).take(text)
        self._seen = version_of(status)


def identity(path: str | None) -> tuple[int, ...] | None:
    """Which file is there, in which version; None for one that cannot be looked at."""
    try:
        return version_of(os.stat(path)) if path else None
    except (OSError, ValueError):
        return None
