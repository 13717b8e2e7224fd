"""Finds the checks by their files, and what each says of itself."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

from pgdoctor_lib.checks.altering import where_it_writes
from pgdoctor_lib.checks.document import Document
from pgdoctor_lib.finding import Finding, Severity

FOLDER = Path(__file__).parent
CATEGORIES = (
    "wraparound and vacuum",
    "bloat",
    "indexes",
    "queries",
    "locks and transactions",
    "connections",
    "replication and WAL",
    "I/O and memory",
    "settings",
    "schema",
    "security",
    "maintenance",
)
Scope = Literal["server", "database"]


@dataclass(frozen=True)
class Sample:
    """A value to be remembered, a point an hour: `Document.trends` has it from then on."""

    trend: str
    value: float


@dataclass(frozen=True)
class Unexamined:
    """A part of a check that cannot be told, where the rest can: why, and the `keys` of its findings."""

    why: str
    keys: tuple[str, ...]


Said = Iterator[Finding | Sample | Unexamined]
Function = Callable[..., Said]


@dataclass(frozen=True)
class Check:
    """A check, and when it makes sense.

    `id`: "slot-lost"; `reads`: sections, the first of which must be of the snapshot at hand (the others may be older);
    `compares`: of these, those that it also reads of what came before; `scope`: whether it tells of the server, so that
    of a server's databases one tells it; `primary`: a standby cannot tell. A finding counts once it was there `times`
    snapshots in a row, and for `for_s` seconds. `every_s`: it looks at what changes slowly, and is costly, so that an
    agent asks it again after that long, unless it warns of something. `follows`: checks whose finding is the cause of
    this one's; `follows_same`: the same where that has this one's key, so that it is about the same session, statement.
    `is_event`: it tells of what happened once, which is never resolved.
    `limits`: thresholds by name, with their defaults; the unit is the end of a name.
    """

    id: str
    function: Function
    about: str
    category: str
    scope: Scope
    reads: tuple[str, ...]
    limits: Mapping[str, float]
    compares: tuple[str, ...] = ()
    primary: bool = False
    times: int = 1
    for_s: float = 0.0
    every_s: float = 0.0
    follows: tuple[str, ...] = ()
    follows_same: tuple[str, ...] = ()
    is_event: bool = False

    def run(self, now: Document, before: Document, limits: Mapping[str, float]) -> Said:
        """What it says; `limits` in place of the defaults. Raises `NotExamined`, at any moment: what it said stays."""
        for each in self.function(now, before, **limits):
            yield replace(each, remedy=where_it_writes(now, each.remedy)) if isinstance(each, Finding) else each

    @property
    def page(self) -> str:
        """Its page, as `explain` prints it."""
        return (FOLDER / f"{self.id.replace('-', '_')}.md").read_text(encoding="utf-8")


_found: dict[str, Check] = {}


def check(  # noqa: PLR0913 (each is a word of its own where it is used)
    *,
    category: str,
    scope: Scope,
    reads: tuple[str, ...],
    compares: tuple[str, ...] = (),
    primary: bool = False,
    times: int = 1,
    for_s: float = 0.0,
    every_s: float = 0.0,
    follows: tuple[str, ...] = (),
    follows_same: tuple[str, ...] = (),
    is_event: bool = False,
) -> Callable[[Function], Function]:
    """Make a check of `function(now, before, *, warning_bytes=…)`: keywords are its thresholds. See `Check`."""

    def enter(function: Function) -> Function:
        about = inspect.getdoc(function) or ""
        name = function.__name__.replace("_", "-")
        parameters = inspect.signature(function).parameters.values()
        limits = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
        rest = (compares, primary, times, for_s, every_s, follows, follows_same, is_event)
        _found[name] = Check(name, function, about, category, scope, reads, limits, *rest)
        return function

    return enter


@cache
def checks() -> Mapping[str, Check]:
    """Every check by its id, in order: those that have a page."""
    for path in sorted(FOLDER.glob("*.md")):
        import_module(f"{__package__}.{path.stem}")
    return {name: _found[name] for name in sorted(_found)}


def critical(key: str, summary: str, **more: object) -> Finding:
    """Data, or the service, is lost or about to be. `more`: fields of `Finding`."""
    return graded(Severity.CRITICAL, key, summary, **more)


def warning(key: str, summary: str, **more: object) -> Finding:
    """To be mended soon."""
    return graded(Severity.WARNING, key, summary, **more)


def info(key: str, summary: str, **more: object) -> Finding:
    """Worth knowing."""
    return graded(Severity.INFO, key, summary, **more)


def graded(severity: Severity, key: str, summary: str, **more: object) -> Finding:
    """With a severity that was worked out: see `severity_of`. The check's name and category are filled in later."""
    return Finding("", key, severity, summary, **more)  # type: ignore[arg-type]


def severity_of(value: float | None, warning: float, critical: float | None = None) -> Severity | None:
    """What a value comes to that is bad from `warning`, and worse from `critical`, on; None where it is fine."""
    if value is None or value < warning:
        return None
    return Severity.CRITICAL if critical is not None and value >= critical else Severity.WARNING
