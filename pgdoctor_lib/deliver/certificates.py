"""The endpoint's TLS files: whose certificates count, and the certificate that this agent shows."""

import os
import ssl
import stat

from pgdoctor_lib.config import Endpoint
from pgdoctor_lib.deliver.token import identity
from pgdoctor_lib.errors import DeliveryError
from pgdoctor_lib.secret import one_line

_Stamp = tuple[tuple[int, ...] | None, ...]


class Certificates:
    """Notices when a file changes, and says which one cannot be used and why."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._ca_file = endpoint.ca_file if endpoint.verify else None
        self._cert_file = endpoint.cert_file
        self._key_file = endpoint.key_file
        self._seen: _Stamp = (None, None, None) if not (self._ca_file or self._cert_file) else ()
        self.verify: bool | str | None = endpoint.verify and self._ca_file
        """As requests takes it: a path, False, or None for what the environment or the system says."""
        self.cert: tuple[str, str] | str | None = endpoint.cert_file
        """As requests takes it."""
        if endpoint.cert_file and endpoint.key_file:
            self.cert = (endpoint.cert_file, endpoint.key_file)

    def stamp(self) -> _Stamp:
        """Equal as long as no file changes."""
        return tuple(identity(path) for path in (self._ca_file, self._cert_file, self._key_file))

    def renewed(self) -> bool:
        """Whether they are others than at the last call. DeliveryError: they cannot be used."""
        now = self.stamp()
        if now == self._seen:
            return False
        self._check()
        self._seen = now
        return True

    def _check(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ca_file:
            _look_at("ca_file", self._ca_file)
            self._load_ca(context, self._ca_file)
        if self._cert_file:
            _look_at("cert_file", self._cert_file)
            if self._key_file:
                _look_at("key_file", self._key_file)
            self._load_cert(context, self._cert_file)

    def _load_ca(self, context: ssl.SSLContext, path: str) -> None:
        folder = os.path.isdir(path)
        try:
            context.load_verify_locations(None if folder else path, path if folder else None)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise DeliveryError(f"ca_file {one_line(path)} holds no certificate (PEM)") from None

    def _load_cert(self, context: ssl.SSLContext, path: str) -> None:
        files = f"cert_file {one_line(path)}" + (f" and key_file {one_line(self._key_file)}" if self._key_file else "")
        try:
            context.load_cert_chain(path, self._key_file, password=_no_passphrase)
        except _Encrypted:
            raise DeliveryError(f"{files}: the key has a passphrase, which nobody can enter here") from None
        except ssl.SSLError as error:
            apart = error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")
            why = "the key does not belong to the certificate" if apart else "no certificate with its key (PEM)"
            raise DeliveryError(f"{files}: {why}") from None
        except (OSError, ValueError):
            raise DeliveryError(f"{files}: no certificate with its key (PEM)") from None


class _Encrypted(Exception):
    pass


def _no_passphrase() -> str:
    """Without it OpenSSL would ask at the terminal, and wait."""
    raise _Encrypted


def _look_at(option: str, path: str) -> None:
    """Of several files, OpenSSL does not say which one is missing; and it would wait for a pipe's writer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DeliveryError(f"{option} {one_line(path)}: {os.strerror(error.errno or 0)}") from None
    if not stat.S_ISREG(mode) and not (option == "ca_file" and stat.S_ISDIR(mode)):
        raise DeliveryError(f"{option} {one_line(path)} is not a regular file")
