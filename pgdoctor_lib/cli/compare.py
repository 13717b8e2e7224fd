"""`diff` and `mark`: what changed between two snapshots, and since a moment that somebody named."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from argh import arg

from pgdoctor_lib.cli.examine import configured, read
from pgdoctor_lib.cli.oneshot import pick
from pgdoctor_lib.errors import PGDoctorError, UsageError
from pgdoctor_lib.secret import one_line, printable

if TYPE_CHECKING:
    from pgdoctor_lib.agent.marks import Marks
    from pgdoctor_lib.checks.document import Document
    from pgdoctor_lib.config import Config, Target
    from pgdoctor_lib.deliver.seldom import Kept
    from pgdoctor_lib.report.compare import Difference
    from pgdoctor_lib.snapshot import Mark, Snapshot


@arg(
    "a",
    nargs="?",
    metavar="A",
    help="a snapshot's file; or, alone, one configured database: its last snapshot, and now",
)
@arg("b", nargs="?", metavar="B", help="the file of a later one")
@arg("--since-mark", help="compare with the newest mark: of one database, or of each")
@arg("--mark", metavar="LABEL", help="compare with this mark")
@arg("--json", help="as JSON")
def diff(
    a: str | None = None,
    b: str | None = None,
    *,
    since_mark: bool = False,
    mark: str | None = None,
    json: bool = False,
    config: str | None = None,
) -> None:
    """What changed: settings, schema, extensions, sizes, statements new, slower and gone, findings."""
    from pgdoctor_lib.report import diff as written
    from pgdoctor_lib.report.compare import compare

    if b is not None and (since_mark or mark):
        raise UsageError("with a mark, name one database or none", hint="see diff --help")
    found: list[tuple[Difference, str]]
    if since_mark or mark:
        found = _since_mark(a, mark, config)
    elif a is not None and b is not None:
        found = [(compare(_read(a), _read(b)), "")]
    else:
        found = [(_since_last(a, config), "")]
    write = written.as_json if json else written.text
    told = [write(difference, label) for difference, label in found]
    if json and (since_mark or mark) and a is None:  # of each database that has the mark
        told = [f"[\n{','.join(told)}]\n"]
    sys.stdout.write("\n".join(told))


@arg("label", nargs="?", help="what happens now: v1.2, say; without it, the marks that there are")
@arg("name", nargs="?", help="one configured database; all of them unless given")
@arg("--json", help="as JSON")
def mark(label: str | None = None, name: str | None = None, *, json: bool = False, config: str | None = None) -> int:
    """Name this moment, of a deploy or a migration, to see later what got slower: diff --since-mark."""
    from pgdoctor_lib.agent.marks import checked_label

    loaded, targets = configured(name, config)
    if label is None:
        return _list(loaded, targets, json=json)
    label, failed = checked_label(label), 0
    told = []
    for target in targets:
        try:
            at = _set(loaded, target, label)
        except PGDoctorError as error:
            failed += 1
            print(f"pgdoctor: {one_line(str(error), 2000)}", file=sys.stderr)
            continue
        told.append({"database": target.name, "label": label, "at": at})
        if not json:
            print(f"marked {printable(target.name)}: {label}")
    if json:
        _print_json(told)
    return 1 if failed else 0


def _set(config: "Config", target: "Target", label: str) -> str:
    """A snapshot now, kept with the label; when that was."""
    from dataclasses import replace

    from pgdoctor_lib.agent.marks import Marks
    from pgdoctor_lib.snapshot import Mark, iso_time

    taken = _take(config, target)
    mark = Mark(label, round(taken.collected_at, 3))
    Marks(config.spool.path, target.name).keep(mark, replace(taken, mark=mark).body())
    return iso_time(mark.at)


def _list(config: "Config", targets: "list[Target]", *, json: bool) -> int:
    import time

    from pgdoctor_lib.agent.marks import Marks
    from pgdoctor_lib.snapshot import iso_time

    found = [(target.name, each) for target in targets for each in Marks(config.spool.path, target.name).all()]
    if json:
        _print_json([{"database": name, "label": each.label, "at": iso_time(each.at)} for name, each in found])
        return 0
    for name, each in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.at))
        print(f"{when}  {printable(name)}: {printable(each.label)}")
    if not found:
        print('no mark was set; "pgdoctor mark LABEL" sets one')
    return 0


def _since_mark(name: str | None, label: str | None, config: str | None) -> "list[tuple[Difference, str]]":
    """Of each database that has such a mark."""
    from pgdoctor_lib.agent.marks import Marks
    from pgdoctor_lib.report.compare import compare

    loaded, targets = configured(name, config)
    found = []
    for target in targets:
        marks = Marks(loaded.spool.path, target.name)
        if chosen := _chosen(marks, label):
            first = _document(marks.snapshot(chosen), "the mark's snapshot")
            found.append((compare(first, _now(loaded, target)), chosen.label))
    if not found:
        what = f"no mark {one_line(label, 100)}" if label else "no mark"
        whose = f"{printable(name)} has" if name else "there is"
        raise UsageError(f"{whose} {what}", hint='"pgdoctor mark" lists them, "pgdoctor mark LABEL" sets one')
    return found


def _chosen(marks: "Marks", label: str | None) -> "Mark | None":
    """The newest of that label, or of all."""
    return next((each for each in reversed(marks.all()) if label in (None, each.label)), None)


def _since_last(name: str | None, config: str | None) -> "Difference":
    from pgdoctor_lib.deliver import last, seldom
    from pgdoctor_lib.report.compare import compare

    loaded, targets = configured(None, config)
    if name is not None and name not in [each.name for each in targets] and os.path.isfile(name):
        raise UsageError(f"one snapshot alone: {one_line(name)}", hint="name the later one, too")
    target = pick(loaded, name)
    body = last.load(loaded.spool.path, target.name)
    if body is None:
        raise UsageError(
            f"there is no last snapshot of {printable(target.name)}: the daemon has not delivered one",
            hint="save two with pgdoctor snapshot, and name their files",
        )
    first = _document(body, "the last snapshot")
    _complete(first, seldom.load(loaded.spool.path, target.name))
    return compare(first, _now(loaded, target))


def _complete(document: "Document", kept: "Mapping[str, Kept]") -> None:
    """With what earlier snapshots brought of what it does not have itself."""
    from pgdoctor_lib.checks.document import Part

    for name, each in kept.items():
        if not document.has(name) and name not in document.errors and each.taken_at <= document.collected_at:
            document.parts[name] = Part(each.json, each.taken_at)


def _now(config: "Config", target: "Target") -> "Document":
    return _document(_take(config, target).body(), "a snapshot")


def _take(config: "Config", target: "Target") -> "Snapshot":
    from pgdoctor_lib.agent import oneshot
    from pgdoctor_lib.agent.rules import Rules
    from pgdoctor_lib.clock import SYSTEM

    return oneshot.take(target, config.cycle_timeout_s, SYSTEM, Rules.of(config))


def _read(file: str) -> "Document":
    return _document(read(file), "standard input" if file == "-" else one_line(file))


def _document(body: bytes, what: str) -> "Document":
    from pgdoctor_lib.agent.checkup import parsed

    return parsed(body, what)


def _print_json(told: object) -> None:
    from json import dumps

    print(dumps(told, indent=2, ensure_ascii=False))
