"""What `check` and `report` have in common: which databases or files are examined, and for what."""

import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgdoctor_lib.cli.hidden import hide_password
from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.secret import one_line, printable

if TYPE_CHECKING:
    from pgdoctor_lib.agent.rules import Rules
    from pgdoctor_lib.config import Config, Target
    from pgdoctor_lib.report.result import Result

SEVERITIES = ("info", "warning", "critical")
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE")


@dataclass(frozen=True)
class Asked:
    """`name`: a database or a DSN, None: all; `file`, `previous`: saved snapshots in its place."""

    name: str | None
    config: str | None
    checks: Collection[str]
    file: str | None = None
    previous: str | None = None
    with_figures: bool = False


def hide(name: str | None) -> None:
    """Before anything else: a password in a DSN off the command line (see hidden.py)."""
    if name and is_dsn(name):
        hide_password(name)


def results(asked: Asked) -> "list[Result]":
    """What was found in each."""
    if asked.file is None and asked.previous is not None:
        raise UsageError("--previous goes with --from", hint="see --help")
    if asked.file is not None and asked.name is not None:
        raise UsageError("a saved snapshot, or a database: not both", hint="leave out the name, or --from")
    if asked.file is None:
        return _examined(asked)
    from pgdoctor_lib.agent.checkup import saved

    previous = read(asked.previous) if asked.previous else None
    return [saved(read(asked.file), previous, asked.checks, with_figures=asked.with_figures)]


def from_severity(results: "list[Result]", word: str) -> "list[Result]":
    """The same without findings below that severity."""
    from dataclasses import replace

    from pgdoctor_lib.finding import Severity

    least = Severity.of(word)
    return [replace(each, findings=tuple(one for one in each.findings if one.severity >= least)) for each in results]


def is_dsn(name: str) -> bool:
    """Whether it is a DSN, and no database's name."""
    return "://" in name or "=" in name


def _examined(asked: Asked) -> "list[Result]":
    from pgdoctor_lib.agent.checkup import Checkup
    from pgdoctor_lib.clock import SYSTEM

    targets, timeout_s, rules = _targets(asked.name, asked.config)
    with _Progress(len(targets)) as progress:
        checkup = Checkup(timeout_s, SYSTEM, asked.checks, rules, asked.with_figures)
        return checkup.run(targets, progress.done)


def _targets(name: str | None, config: str | None) -> "tuple[list[Target], float, Rules]":
    """The databases to look at, how long one look may take, and what is muted."""
    from pgdoctor_lib.agent.rules import Rules
    from pgdoctor_lib.config import Config, load

    if name and is_dsn(name):
        return [load.target_of(name, os.environ)], Config.cycle_timeout_s, Rules()
    if name is None and config is None and _by_libpq_alone(os.environ):
        return [load.target_of("postgres://", os.environ)], Config.cycle_timeout_s, Rules()
    loaded, targets = configured(name, config)
    return targets, loaded.cycle_timeout_s, Rules.of(loaded)


def configured(name: str | None, config: str | None) -> "tuple[Config, list[Target]]":
    """The configuration, and the databases of that name, or all. UsageError where there is none."""
    from pgdoctor_lib.agent import discovery
    from pgdoctor_lib.config import load

    loaded = discovery.discovered(load.load(config, os.environ, need_endpoint=False), name)
    for warning in loaded.warnings:
        print(f"pgdoctor: warning: {one_line(warning)}", file=sys.stderr)
    targets = [target for target in loaded.databases if name in (None, target.name) and not target.discover]
    if not targets:
        raise UsageError(f"no database is called {one_line(str(name))}", hint='"pgdoctor config show" lists them')
    return loaded, targets


def _by_libpq_alone(environ: Mapping[str, str]) -> bool:
    """There is no configuration, but libpq's own variables say where to look."""
    from pgdoctor_lib.config import load

    if environ.get("PGDOCTOR_DSN") or not any(map(environ.get, _LIBPQ)):
        return False
    return load.find(None, environ) is None


def read(file: str) -> bytes:
    """A saved snapshot; `-` is standard input. UsageError where it cannot be read."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise UsageError(f"{one_line(file)}: {error.strerror}") from None


def checks_asked(only: str | None, skip: str | None, category: str | None) -> list[str]:
    """The checks that are asked for."""
    from pgdoctor_lib.checks.registry import CATEGORIES, checks

    all_checks = checks()
    wanted = [known(each, all_checks) for each in _listed(only)] or list(all_checks)
    unwanted = {known(each, all_checks) for each in _listed(skip)}
    if category is not None and category not in CATEGORIES:
        raise UsageError(f"no category is called {one_line(category)}", hint=f"one of: {', '.join(CATEGORIES)}")
    left = [each for each in wanted if each not in unwanted and category in (None, all_checks[each].category)]
    if not left:
        raise UsageError("no check is left to run", hint="see --help")
    return left


def _listed(text: str | None) -> list[str]:
    return [each.strip() for each in (text or "").split(",") if each.strip()]


def known(name: str, names: Collection[str]) -> str:
    """The check of that name. UsageError, with the nearest, where there is none."""
    import difflib

    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else '"pgdoctor explain" lists them'
    raise UsageError(f"no check is called {one_line(name)}", hint=hint)


class _Progress:
    """On a terminal, one line that says how far it is; it is gone when the results come."""

    def __init__(self, count: int) -> None:
        self._count, self._done = count, 0
        self._write: Callable[[str], object] = sys.stderr.write if sys.stderr.isatty() else lambda text: None

    def __enter__(self) -> "_Progress":
        self._show("")
        return self

    def __exit__(self, *_: object) -> None:
        self._write("\r\x1b[K")
        sys.stderr.flush()

    def done(self, result: "Result") -> None:
        """One more is over."""
        self._done += 1
        self._show(f", {printable(result.name)} done")

    def _show(self, text: str) -> None:
        self._write(f"\r\x1b[KExamining {self._done}/{self._count}{text}...")
        sys.stderr.flush()
