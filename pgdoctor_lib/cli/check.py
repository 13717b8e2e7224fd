"""`check` and `explain`: what is wrong, and what is looked at."""

import os
import sys
from typing import TYPE_CHECKING

from argh import arg

from pgdoctor_lib.cli import examine
from pgdoctor_lib.errors import UsageError

if TYPE_CHECKING:
    from pgdoctor_lib.report.result import Result

_FORMATS = ("text", "json", "markdown", "nagios")
_FAILED, _NOT_EXAMINED = 1, 3


@arg("name", nargs="?", help="one configured database, or a DSN (then no configuration is needed)")
@arg("--format", choices=_FORMATS, help="for people, for programs, for an issue, for a monitoring system")
@arg("--json", help="the same as --format json")
@arg("--only", metavar="CHECKS", help="these checks, with commas in between")
@arg("--skip", metavar="CHECKS", help="not these")
@arg("--category", metavar="WORDS", help="checks of this category: see explain")
@arg("--severity", choices=examine.SEVERITIES, help="show nothing below it")
@arg("--fail-on", choices=examine.SEVERITIES, help="exit status 1 from this severity on")
@arg("--from-file", metavar="FILE", help="diagnose a saved snapshot, without a server (- is standard input)")
@arg("--previous", metavar="FILE", help="with --from: the snapshot before it")
def check(  # noqa: PLR0913 (its options)
    name: str | None = None,
    *,
    format: str = "text",  # noqa: A002 (the option's name)
    json: bool = False,
    only: str | None = None,
    skip: str | None = None,
    category: str | None = None,
    severity: str = "info",
    fail_on: str = "critical",
    from_file: str | None = None,
    previous: str | None = None,
    config: str | None = None,
) -> int:
    """Diagnose: findings, worst first, each with its evidence and its remedy."""
    examine.hide(name)
    if json and format not in ("text", "json"):
        raise UsageError(f"--json and --format {format} contradict each other")
    asked = examine.Asked(name, config, examine.checks_asked(only, skip, category), from_file, previous)
    results = examine.results(asked)
    is_narrow = only is not None or category is not None
    return _tell(results, "json" if json else format, severity, fail_on, reasons=is_narrow)


@arg("check", nargs="?", help="a check's name; without it all are listed")
def explain(check: str | None = None) -> None:
    """What a check looks at, why, its thresholds, how to fix it."""
    from pgdoctor_lib.checks.registry import CATEGORIES, checks

    if check is not None:
        print(checks()[examine.known(check, checks())].page, end="")
        return
    width = max(map(len, checks()))
    for category in CATEGORIES:
        found = [one for one in checks().values() if one.category == category]
        if found:
            print(f"{category}:")
            for one in found:
                print(f"  {one.id:<{width}}  {one.about.splitlines()[0]}")
            print()


def _tell(results: "list[Result]", format: str, severity: str, fail_on: str, *, reasons: bool) -> int:  # noqa: A002
    """Print, and the exit status."""
    from pgdoctor_lib.finding import Severity

    shown = examine.from_severity(results, severity)
    if format == "nagios":
        from pgdoctor_lib.report import nagios

        line, status = nagios.line(shown)
        print(line)
        return status
    sys.stdout.write(_written(shown, format, reasons=reasons))
    if any(one.severity >= Severity.of(fail_on) for each in results for one in each.findings):
        return _FAILED
    return _NOT_EXAMINED if any(each.error for each in results) else 0


def _written(results: "list[Result]", format: str, *, reasons: bool) -> str:  # noqa: A002
    if format == "json":
        import json

        from pgdoctor_lib.report.result import worst_first

        return json.dumps([each.as_json() for each in worst_first(results)], indent=2, ensure_ascii=False) + "\n"
    if format == "markdown":
        from pgdoctor_lib.report import markdown

        return markdown.document(results)
    import shutil
    import time

    from pgdoctor_lib.report.text import Text

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size().columns
    return Text(width, time.time(), colour=colour, reasons=reasons).results(results)
