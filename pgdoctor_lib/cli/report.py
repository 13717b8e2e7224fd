"""`report`: what `check` finds as one page to mail, with pictures."""

import sys
from typing import TYPE_CHECKING

from argh import arg

from pgdoctor_lib.cli import examine
from pgdoctor_lib.cli.outfile import check, name_for, written
from pgdoctor_lib.secret import printable

if TYPE_CHECKING:
    from pgdoctor_lib.report.result import Result

_NOT_EXAMINED = 3


@arg("name", nargs="?", help="one configured database, or a DSN (then no configuration is needed)")
@arg("-o", "--output", metavar="FILE", help="where to; else standard output, or a file in this folder on a terminal")
@arg("--force", help="replace a file that is there")
@arg("--only", metavar="CHECKS", help="these checks, with commas in between")
@arg("--skip", metavar="CHECKS", help="not these")
@arg("--category", metavar="WORDS", help="checks of this category: see explain")
@arg("--severity", choices=examine.SEVERITIES, help="show nothing below it")
@arg("--from-file", metavar="FILE", help="report on a saved snapshot, without a server (- is standard input)")
@arg("--previous", metavar="FILE", help="with --from: the snapshot before it")
def report(  # noqa: PLR0913 (its options)
    name: str | None = None,
    *,
    output: str | None = None,
    force: bool = False,
    only: str | None = None,
    skip: str | None = None,
    category: str | None = None,
    severity: str = "info",
    from_file: str | None = None,
    previous: str | None = None,
    config: str | None = None,
) -> int:
    """Diagnose, as one page to mail: an HTML file with findings, lock trees and sizes that needs no network."""
    examine.hide(name)
    from pgdoctor_lib.report.html.page import page

    if output is not None:
        check(output, force=force)
    checks = examine.checks_asked(only, skip, category)
    found = examine.results(examine.Asked(name, config, checks, from_file, previous, with_figures=True))
    text = page(examine.from_severity(found, severity)).encode()
    if output is None and not sys.stdout.isatty():
        sys.stdout.buffer.write(text)
    else:
        path = output or name_for("report", _whose(found), ".html")
        with written(path, force=force) as file:
            file.write(text)
        print(printable(path))
    return _NOT_EXAMINED if all(each.error for each in found) else 0


def _whose(found: "list[Result]") -> str:
    return found[0].name if len(found) == 1 else "databases"
