"""`bundle`: what a helper needs to see, in one archive, without a secret in it.

Each member is made when its turn comes, and goes through the redactor, which learns every password and token first.
What cannot be told costs its own member alone, which says why.
"""

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

from pgdoctor_lib.agent import background, discovery, logfile, oneshot
from pgdoctor_lib.agent.background import Files
from pgdoctor_lib.agent.bundle_snapshots import Snapshots
from pgdoctor_lib.agent.bundle_text import ABOUT, clean, spooled, versions
from pgdoctor_lib.agent.rules import Rules
from pgdoctor_lib.clock import Clock
from pgdoctor_lib.config import Config, Spool, Target, listing, load, paths
from pgdoctor_lib.config.passfile import remember_passwords
from pgdoctor_lib.deliver.token import TokenSource
from pgdoctor_lib.errors import PGDoctorError
from pgdoctor_lib.postgres.passwords import with_password
from pgdoctor_lib.secret import one_line, remember

FOLDER = "pgdoctor-bundle"
_LOG_LINES = 1000
_LOG_BYTES = 8 * 1024**2
_SECRET_VARIABLES = ("PGPASSWORD", "PGSSLPASSWORD", "PGDOCTOR_TOKEN")

Member = tuple[str, bytes]
"""A name within the archive, and what is in it."""


@dataclass(frozen=True)
class Asked:
    """`config`: without its endpoint, or why there is none; `target`: one database to be looked at now, None: none.

    `config_path`: as the user named it; `files`: the daemon's.
    """

    config: Config | PGDoctorError
    target: Target | None
    config_path: str | None
    files: Files
    environ: Mapping[str, str]

    @property
    def spool_path(self) -> str:
        """Where the spool is, or would be."""
        return self.config.spool.path if isinstance(self.config, Config) else paths.spool(self.environ)


def members(asked: Asked, clock: Clock) -> Iterator[Member]:
    """What goes in, always in this order."""
    _learn(asked)
    config = asked.config
    for name, tell in (
        ("README.txt", lambda: ABOUT),
        ("version.txt", lambda: versions(asked.environ)),
        ("config.txt", lambda: "\n".join(listing.lines(load.read(asked.config_path, asked.environ)))),
        ("config-test.txt", lambda: _tested(asked, clock)),
        ("status.txt", lambda: _status(asked.files, clock)),
        ("log.txt", lambda: _log(asked.files.log)),
        ("spool.txt", lambda: spooled(asked.spool_path, clock.wall())),
    ):
        yield name, _told(tell)
    rules = Rules.of(config) if isinstance(config, Config) else Rules()
    timeout_s = config.cycle_timeout_s if isinstance(config, Config) else Config.cycle_timeout_s
    yield from Snapshots(asked.spool_path, asked.target, timeout_s, rules, clock).members()


def pack(file: BinaryIO, found: Iterable[Member], at: float, tell: Callable[[str, int], None]) -> None:
    """Write the archive; `at`: epoch seconds, the members' time; `tell(name, bytes)` of each as it is in."""
    with (
        gzip.GzipFile("", "wb", fileobj=file, mtime=int(at)) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in found:
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(at), 0o600
            archive.addfile(entry, io.BytesIO(content))
            tell(name, len(content))


def _told(tell: Callable[[], str]) -> bytes:
    """A member's text without secrets; or why there is none."""
    try:
        text = tell()
    except PGDoctorError as error:
        text = f"could not be told: {error}"
    except OSError as error:
        text = f"could not be told: {error.strerror or error}"
    except Exception as error:  # noqa: BLE001 (a border: a bug costs this member, not the bundle that tells of it)
        text = f"could not be told: {type(error).__name__}: {error}"
    return clean(text).encode("utf-8", "replace")


def _learn(asked: Asked) -> None:
    """Have the redactor know all that is secret, in files of passwords and tokens, too."""
    for name in _SECRET_VARIABLES:
        if value := asked.environ.get(name):
            remember(value)
    configured = asked.config.databases if isinstance(asked.config, Config) else ()
    for target in [*configured, *([asked.target] if asked.target else [])]:
        remember_passwords(target.dsn.params.get("passfile", ""))
        with suppress(PGDoctorError):
            with_password(target.dsn)
    with suppress(PGDoctorError):
        if endpoint := load.load(asked.config_path, asked.environ).endpoint:
            TokenSource(endpoint).current()


def _tested(asked: Asked, clock: Clock) -> str:
    """What `config test` says; of one database, where one is asked for."""
    lines: list[str] = []

    def tell(what: str, how: str, well: bool | None) -> None:
        lines.append(f"{'!' if well is None else '✓' if well else '✗'} {what}: {how}")

    try:
        config = load.load(asked.config_path, asked.environ)
        lines += [f"✓ configuration: {one_line(config.source or 'the environment')}"]
        lines += [f"! {warning}" for warning in config.warnings]
    except PGDoctorError as error:
        config = Config("single", None, None, (), Spool(asked.spool_path))
        lines += [f"✗ configuration: {error}"]
    if asked.target:
        config = replace(config, databases=(asked.target,))
    expanded, _ = discovery.examined(config, tell)
    oneshot.examine(expanded, clock, tell)
    return "\n".join(lines)


def _status(files: Files, clock: Clock) -> str:
    found = background.ask(files)
    return "Daemon is not running" if found is None else "\n".join(found.lines(clock.elapsed()))


def _log(path: str) -> str:
    """The end of it, in whole lines: half a secret would not be known for one."""
    tail = b""
    for piece in logfile.read(path, _LOG_LINES, follow=False):
        tail += piece
        if len(tail) > _LOG_BYTES:
            tail = tail[-_LOG_BYTES:].partition(b"\n")[2]
    return f"# {os.path.basename(path)}, the last {_LOG_LINES} lines\n{tail.decode('utf-8', 'replace')}"
