"""`bundle`: what a helper needs to see, in one file, secrets masked."""

import os
import sys
from typing import TYPE_CHECKING

from argh import arg

from pgdoctor_lib.cli import examine
from pgdoctor_lib.cli.outfile import check, name_for, written
from pgdoctor_lib.secret import one_line, printable

if TYPE_CHECKING:
    from pgdoctor_lib.config import Config, Target
    from pgdoctor_lib.errors import PGDoctorError


@arg("name", nargs="?", help="look at this database now, or at a DSN; else the snapshots that were delivered last")
@arg("-o", "--output", metavar="FILE", help="where to: FILE.tar.gz; else a file in this folder")
@arg("--force", help="replace a file that is there")
@arg("--pid-file", metavar="PATH", help="the daemon's PID file")
@arg("--log-file", metavar="PATH", help="the daemon's log")
def bundle(
    name: str | None = None,
    *,
    output: str | None = None,
    force: bool = False,
    pid_file: str | None = None,
    log_file: str | None = None,
    config: str | None = None,
) -> None:
    """Pack what a helper needs: configuration, versions, status, log, snapshots and findings; secrets are masked."""
    examine.hide(name)
    from pgdoctor_lib.agent import bundle as packing
    from pgdoctor_lib.agent.background import Files
    from pgdoctor_lib.clock import SYSTEM
    from pgdoctor_lib.units import format_bytes

    loaded, target = _configured(name, config)
    path = output or name_for("bundle", target.name if target else "databases", ".tar.gz")
    check(path, force=force)
    files = Files.chosen(pid_file, log_file, os.environ)
    asked = packing.Asked(loaded, target, config, files, os.environ)

    def tell(member: str, size: int) -> None:
        print(f"{format_bytes(size):>10}  {printable(member)}")

    with written(path, force=force) as file:
        packing.pack(file, packing.members(asked, SYSTEM), SYSTEM.wall(), tell)
    print(f"{printable(path)}: look at it before you send it")


def _configured(name: str | None, config: str | None) -> "tuple[Config | PGDoctorError, Target | None]":
    """The configuration, or what is wrong with it, which a helper is to see; and the database that was named."""
    from pgdoctor_lib.config import load
    from pgdoctor_lib.errors import PGDoctorError

    if name is None or examine.is_dsn(name):
        target = load.target_of(name, os.environ) if name else None
        try:
            return load.load(config, os.environ, need_endpoint=False), target
        except PGDoctorError as error:
            if target is None:
                print(f"pgdoctor: warning: {one_line(str(error), 2000)}", file=sys.stderr)
            return error, target
    from pgdoctor_lib.agent import discovery
    from pgdoctor_lib.cli.oneshot import pick

    loaded = load.load(config, os.environ, need_endpoint=False)
    return loaded, pick(discovery.discovered(loaded, name), name)
