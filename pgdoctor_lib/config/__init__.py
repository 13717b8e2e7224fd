"""What the user wants: one table of options, read from a file and the environment.

`load.load()` gives a `Config`: immutable, complete and valid; nothing downstream checks it again.
Every error names the file, the line and the key. Only the standard library, PyYAML and libpq's
own DSN parser come in here.
"""

from dataclasses import dataclass, field
from typing import Literal

from pgdoctor_lib.config.dsn import Dsn
from pgdoctor_lib.config.notify import Channel
from pgdoctor_lib.config.rules import Mute, Thresholds
from pgdoctor_lib.config.values import LEARNT, Discover, Lines
from pgdoctor_lib.secret import Secret

QueryText = Literal["full", "masked", "none"]


@dataclass(frozen=True)
class Target:
    """One configured database. `interval_s` in seconds; `limit`: top queries in a snapshot.

    With `discover` it is none itself: it stands for databases of its server, and `dsn` is where they are looked up.
    """

    name: str
    dsn: Dsn
    interval_s: float = 300.0
    limit: int = 20
    tags: tuple[str, ...] | dict[str, str] = ()
    query_text: QueryText = "masked"
    explain: bool = False
    discover: Discover | None = None


@dataclass(frozen=True)
class Spool:
    """Where undelivered snapshots lie (`path`), and how much of them (bytes, seconds)."""

    path: str
    max_bytes: int = 256 * 1024**2
    max_age_s: float = 7 * 86400.0


@dataclass(frozen=True)
class Log:
    """The log file is put aside at `max_bytes`, and `keep` such files are kept (0: it never is)."""

    max_bytes: int = 10 * 1024**2
    keep: int = 5


@dataclass(frozen=True)
class Endpoint:
    """Where snapshots go. Exactly one of `token` and `token_file` is set; `timeout_s` bounds one exchange.

    `cert_file`, `key_file`: what this agent shows; `verify`: whether what the endpoint shows is looked at.
    """

    url: str
    token: Secret | None = field(repr=False, default=None)
    token_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Config:
    """All that the agent needs. `databases` holds the enabled ones only, in the file's order.

    `source`: the file's path as it is shown to the user, or None in single-database mode. `budget`: what the agent may
    take of a server's time, as a fraction of it; `concurrency`: cycles at once at one server;
    `recorder`: None where it is off.
    """

    mode: Literal["single", "multi"]
    source: str | None
    endpoint: Endpoint | None
    databases: tuple[Target, ...]
    spool: Spool
    cycle_timeout_s: float = 60.0
    shutdown_timeout_s: float = 30.0
    ha: bool = False
    budget: float = 0.01
    concurrency: int = 10
    recorder: Lines | None = LEARNT
    log: Log = Log()
    mutes: tuple[Mute, ...] = ()
    thresholds: tuple[Thresholds, ...] = ()
    notify: tuple[Channel, ...] = ()
    warnings: tuple[str, ...] = ()
