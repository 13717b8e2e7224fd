"""Connection strings: all that libpq takes, taken apart so that each host can be tried on its own.

libpq's own parser reads the URL and the keyword form. What it would do later is done here: the
service file is looked up, `PG*` variables fill in what is missing, and lists of hosts become single
`Host`s. `~/.pgpass`, `PGPASSWORD` and the client's certificate are left to libpq.

What libpq says about a bad string quotes it, password and all; so its words are never passed on.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import quote, urlencode

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

from pgdoctor_lib.config.service import service_parameters
from pgdoctor_lib.errors import ConfigError
from pgdoctor_lib.secret import MASK, Secret, one_line, remember

DEFAULT_PORT = "5432"
_ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
_SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_CHOICES = {
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
}
_COMMON = (*_ENVIRONMENT, "password", "service", "passfile", "options", "application_name", "sslmode", "sslcert",
           "sslkey", "sslrootcert", "sslcrl", "sslpassword", "gssencmode", "channel_binding", "keepalives",
           "keepalives_idle", "tcp_user_timeout", "client_encoding", "krbsrvname", "requirepeer",
           "load_balance_hosts")  # fmt: skip
_UNKNOWN = "unknown parameter"
_EXPLANATIONS = {
    "invalid connection option": _UNKNOWN,
    "invalid URI query parameter": _UNKNOWN,
    'missing "="': 'neither a URL (postgresql://…) nor keyword=value pairs: a "=" is missing',
    "unterminated quoted string": "a quoted value has no closing quote",
    "missing key/value separator": 'a parameter after the "?" has no "="',
    "extra key/value separator": 'a parameter after the "?" has two "="',
    "invalid percent-encoded token": 'a "%" that is not followed by two hexadecimal digits; a "%" itself is %25',
    "forbidden value %00": "%00 has no place in it",
    "unexpected spaces": "a space in the URL; write it as %20",
    'matching "]"': 'an IPv6 address has no closing "]"',
    "IPv6 host address may not be empty": "the IPv6 address between [ and ] is missing",
    "unexpected character": "an unexpected character in the host part of the URL",
}


@dataclass(frozen=True)
class Host:
    """One place to try. `host`: a name, a socket's folder, or "" for libpq's own default socket."""

    host: str
    hostaddr: str = ""
    port: str = DEFAULT_PORT

    @property
    def is_socket(self) -> bool:
        """True where there is no name to look up and no network between."""
        return not self.hostaddr and self.host[:1] in ("", "/", "@")

    def __str__(self) -> str:
        """ "db1:5432", "[::1]:5432", "/var/run/postgresql:5433", "local socket:5432".

        It tells servers apart: those of one machine have their sockets in one folder, and differ by the port.
        """
        shown = self.host or self.hostaddr or "local socket"
        return f"[{shown}]:{self.port}" if ":" in shown else f"{shown}:{self.port}"


class Command(tuple[str, ...]):
    """A program and its arguments. People are shown the program alone: who knows what the others hold."""

    __slots__ = ()

    @property
    def display(self) -> str:
        """The program's name, without its folder."""
        return one_line(self[0].rpartition("/")[2], 100)

    def __repr__(self) -> str:
        return f"<Command {self.display}>"

    __str__ = __repr__


@dataclass(frozen=True)
class PasswordSource:
    """Where the password is asked for at each connection: a file, or a command that prints it; one of the two."""

    file: str = ""
    command: Command | None = None


@dataclass(frozen=True)
class Dsn:
    """A connection string that parsed. `params`: libpq's keywords, without secrets and without hosts.

    `password_from`: who is asked for the password at each connection, where the configuration says so.
    """

    params: dict[str, str]
    hosts: tuple[Host, ...]
    secrets: dict[str, Secret] = field(default_factory=dict)
    password_from: PasswordSource | None = None

    @classmethod
    def parse(cls, text: str, environ: Mapping[str, str]) -> "Dsn":
        """Read a URL or keyword=value pairs; ConfigError says what is wrong without quoting it."""
        given = _parse(text)
        service = given.pop("service", "") or environ.get("PGSERVICE", "")
        if service:
            given = {**_parse_service(service, environ), **given}
        params = {**_from_environment(environ), **given}
        secrets = {key: Secret(params.pop(key)) for key in sorted(_SECRET & params.keys())}
        _check(params)
        hosts = _hosts(*(params.pop(key, "") for key in ("host", "hostaddr", "port")))
        return cls(params, hosts, {key: secret for key, secret in secrets.items() if secret})

    @property
    def password(self) -> Secret | None:
        """The password that the string or the service file gave."""
        return self.secrets.get("password")

    @property
    def dbname(self) -> str:
        """The database's name, or "" where libpq will take the user's name."""
        return self.params.get("dbname", "")

    @property
    def connect_timeout_s(self) -> float | None:
        """Seconds for one host, or None where none, or an endless one, was asked for."""
        seconds = int(self.params.get("connect_timeout", "").strip() or 0)
        return float(seconds) if seconds > 0 else None

    @property
    def passes(self) -> tuple[str, ...]:
        """Each value of target_session_attrs to go through all the hosts with, in this order."""
        wanted = self.params.get("target_session_attrs") or "any"
        return ("standby", "any") if wanted == "prefer-standby" else (wanted,)

    @property
    def display(self) -> str:
        """A URL for people: nothing secret in it, the same for the same parameters.

        `options` may set anything on the server, a token for row-level security among it: it is masked whole.
        """
        shown = {**self.params, **({"options": MASK} if self.params.get("options") else {})}
        user, dbname = quote(shown.pop("user", ""), safe=""), quote(shown.pop("dbname", ""), safe="")
        credentials = f"{user}:{MASK}@" if self.password else f"{user}@" if user else ""
        hosts = ",".join(_in_url(host) for host in self.hosts)
        query = "?" + urlencode(sorted(shown.items()), safe="*") if shown else ""
        return f"postgresql://{credentials}{hosts}/{dbname}{query}"

    def __str__(self) -> str:
        return self.display

    def __repr__(self) -> str:
        return f"<Dsn {self.display}>"

    def reveal_keywords(self, host: Host, **changes: str) -> dict[str, str]:
        """What one attempt at `host` gives to libpq, secrets in the clear; `changes` (hostaddr, dbname, …) win.

        Host, address and port are always there, empty or not, so that PGHOST cannot come in again.
        """
        place = {"host": host.host, "hostaddr": host.hostaddr, "port": host.port}
        secrets = {key: secret.reveal() for key, secret in self.secrets.items()}
        return {**self.params, **place, **secrets, **changes}


def without_password(text: str) -> tuple[str, str] | None:
    """The same DSN as keyword='value' pairs with an empty password, and the password itself; None where it has none.

    Empty, not left out: a service's password must not take its place. ConfigError where it does not parse.
    """
    given = _parse(text)
    password = given.get("password")
    return (" ".join(_pair(*each) for each in {**given, "password": ""}.items()), password) if password else None


def _pair(key: str, value: str) -> str:
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    return f"{key}='{escaped}'"


def _parse(text: str, what: str = "the DSN") -> dict[str, str]:
    text = text.strip()
    if not text:
        raise ConfigError(f"{what} is empty")
    if any(character in text for character in "\0\n\r"):
        raise ConfigError(f"{what} has a line break or a NUL in it")
    try:
        return {key: str(value) for key, value in parse_dsn(text).items()}
    except (ProgrammingError, UnicodeError) as error:
        raise ConfigError(f"{what} does not parse: {_explain(error)}") from None


def _explain(error: Exception) -> str:
    said = str(error)
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    reason = next((ours for phrase, ours in _EXPLANATIONS.items() if phrase in said), "libpq cannot read it")
    if reason is not _UNKNOWN:
        return reason
    near = get_close_matches(said.partition('"')[2].partition('"')[0], _COMMON, 1, 0.7)
    return f"{reason}; did you mean {near[0]}?" if near else reason


def _parse_service(service: str, environ: Mapping[str, str]) -> dict[str, str]:
    pairs = service_parameters(service, environ)
    for key, value in pairs.items():
        _parse(_pair(key, value), f"service {one_line(service)}")
    return pairs


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    remember(environ.get("PGPASSWORD", ""))
    given = {key: environ[name] for key, name in _ENVIRONMENT.items() if environ.get(name)}
    for key, value in given.items():
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ConfigError(f"{_ENVIRONMENT[key]} is not UTF-8")
    return given


def _check(params: Mapping[str, str]) -> None:
    for key, allowed in _CHOICES.items():
        if params.get(key) and params[key] not in allowed:
            raise ConfigError(f"the DSN's {key} must be one of {', '.join(allowed)}")
    if not re.fullmatch(r"\s*([+-]?\d{1,9})?\s*", params.get("connect_timeout", ""), re.ASCII):
        raise ConfigError("the DSN's connect_timeout must be a whole number of seconds")
    if "@" in params.get("host", "").replace(",@", ",").removeprefix("@"):
        raise ConfigError('the DSN\'s host has an "@" in it; in a URL, write the "@" of a password as %40')


def _hosts(host: str, hostaddr: str, port: str) -> tuple[Host, ...]:
    """Single hosts from libpq's three lists, which must agree in length (one port serves all)."""
    if not host and not hostaddr:
        return tuple(Host(name, "", _port(port)) for name in _default_hosts())
    names, addresses, ports = host.split(","), hostaddr.split(","), [_port(each) for each in port.split(",")]
    count = len(addresses if hostaddr else names)
    names = names if host else [""] * count
    addresses = addresses if hostaddr else [""] * count
    ports = ports * count if len(ports) == 1 else ports
    if len(names) != count:
        raise ConfigError(f"the DSN has {len(names)} hosts but {count} hostaddrs")
    if len(ports) != count:
        raise ConfigError(f"the DSN has {len(ports)} ports for {count} hosts; give one for all, or one for each")
    return tuple(map(Host, names, addresses, ports))


def _default_hosts() -> tuple[str, ...]:
    """Where a server on this machine listens: on macOS in /tmp, where psycopg2's own libpq does not look."""
    return ("/tmp", "") if sys.platform == "darwin" else ("",)  # noqa: S108 - PostgreSQL's own choice there


def _port(text: str) -> str:
    number = text.strip() or DEFAULT_PORT
    if not re.fullmatch(r"\d{1,5}", number, re.ASCII) or not 1 <= int(number) <= 65535:
        raise ConfigError("the DSN's port must be a number from 1 to 65535")
    return str(int(number))


def _in_url(host: Host) -> str:
    shown = host.host or host.hostaddr
    if not shown:
        return "" if host.port == DEFAULT_PORT else f":{host.port}"
    return f"[{shown}]:{host.port}" if ":" in shown else f"{quote(shown, safe='')}:{host.port}"
