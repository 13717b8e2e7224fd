"""Connection services: `[name]` sections of pg_service.conf, found and read as libpq does it."""

import os
from collections.abc import Iterator, Mapping

from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import one_line

_MAX_BYTES = 1024 * 1024
_SYSTEM_FOLDER = "/etc/postgresql-common"


def service_parameters(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    """libpq's keywords of one service, from the first file that has it; ConfigError where none has."""
    for path in _files(environ):
        found = _section(service, path)
        if found is not None:
            return found
    places = ", ".join(map(one_line, _candidates(environ)))
    raise ConfigError(f"service {one_line(service)!r} is not defined", hint=f"looked in {places}")


def _candidates(environ: Mapping[str, str]) -> tuple[str, ...]:
    if environ.get("PGSERVICEFILE"):
        return (environ["PGSERVICEFILE"],)
    home = environ.get("HOME") or os.path.expanduser("~")
    folder = environ.get("PGSYSCONFDIR") or _SYSTEM_FOLDER
    return (os.path.join(home, ".pg_service.conf"), os.path.join(folder, "pg_service.conf"))


def _files(environ: Mapping[str, str]) -> Iterator[str]:
    named = environ.get("PGSERVICEFILE")
    if named and not os.path.isfile(named):
        raise ConfigError(f"PGSERVICEFILE: {one_line(named)}: no such file")
    yield from (path for path in _candidates(environ) if os.path.isfile(path))


def _section(service: str, path: str) -> dict[str, str] | None:
    """The section's lines, the first of a kind winning; None where the file has no such section."""
    found: dict[str, str] | None = None
    for number, line in _lines(path):
        if line.startswith("["):
            if found is not None:
                break
            found = {} if line.startswith(f"[{service}]") else None
        elif found is not None:
            key, value = _pair(line, f"{one_line(path)}:{number}")
            found.setdefault(key, value)
    return found


def _lines(path: str) -> Iterator[tuple[int, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MAX_BYTES)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"service file {one_line(path)} cannot be read: {reason}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _pair(line: str, where: str) -> tuple[str, str]:
    key, equals, value = line.partition("=")
    if key.startswith("ldap"):
        raise ConfigError(f"{where}: services looked up by LDAP are not supported")
    if not equals or not key.isidentifier():
        raise ConfigError(f"{where}: must be keyword=value, without spaces around the =")
    if key in ("service", "servicefile"):
        raise ConfigError(f"{where}: a service cannot name another service")
    return key, value
