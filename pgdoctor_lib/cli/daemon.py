"""`pgdoctor daemon`: in the foreground, or in the background with `start`, `stop` and the others."""

import json as jsonlib
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from argh import arg

from pgdoctor_lib.errors import UsageError

if TYPE_CHECKING:
    from pgdoctor_lib.agent.background import Files
    from pgdoctor_lib.agent.output import LogFormat

NOT_RUNNING = 3  # as pg_ctl status has it
OVERDUE = 4
_LINES = 50
_ACTIONS = ("start", "stop", "restart", "reload", "status", "logs")


@arg(
    "action",
    nargs="?",
    choices=_ACTIONS,
    help="none: run in the foreground",
)
@arg("-f", "--follow", help="logs: go on with what is written from now on")
@arg("-n", "--lines", type=int, metavar="N", help=f"logs: the last N lines (default {_LINES})")
@arg("--json", help="status: as JSON")
@arg("--pid-file", metavar="PATH", help="the PID file; in the foreground: none")
@arg("--log-file", metavar="PATH", help="the log; in the foreground: standard output")
@arg("--log-format", choices=("text", "json"), help="json: an object a line")
def daemon(  # noqa: PLR0913  (a parameter an option)
    action: str | None = None,
    *,
    follow: bool = False,
    lines: int | None = None,
    json: bool = False,
    pid_file: str | None = None,
    log_file: str | None = None,
    log_format: "LogFormat" = "text",
    config: str | None = None,
) -> int:
    """Watch every configured database: in the foreground, or with start, stop and the others in the background."""
    _refuse_misplaced(action, logs=follow or lines is not None, status=json)
    if action is None:
        return _told(lambda: _run(config, log_format, pid_file, log_file))
    from pgdoctor_lib import startup
    from pgdoctor_lib.agent import background

    startup.take_signals()
    files = background.Files.chosen(pid_file, log_file, os.environ)
    if action == "stop":
        return _stop(files)
    if action == "reload":
        return _reload(files)
    if action == "status":
        return _status(files, json)
    if action == "logs":
        return _logs(files, _LINES if lines is None else lines, follow)
    arguments = ["--log-format", log_format, *(["--config", os.path.abspath(config)] if config else [])]
    if action == "restart":
        _check(config)
        _stop(files)
    return _told(lambda: _start(files, arguments))


def _refuse_misplaced(action: str | None, **given: bool) -> None:
    for wanted, present in given.items():
        if present and action != wanted:
            names = {"logs": "-f and -n go", "status": "--json goes"}
            raise UsageError(f'{names[wanted]} only with "daemon {wanted}"')


def _told(command: Callable[[], int]) -> int:
    """That a daemon runs already is an answer, not an error's line."""
    from pgdoctor_lib.agent.pidfile import AlreadyRunning

    try:
        return command()
    except AlreadyRunning as answer:
        print(answer)
        return answer.exit_status


def _run(config: str | None, log_format: "LogFormat", pid_file: str | None, log_file: str | None) -> int:
    from pgdoctor_lib.agent import process

    return process.run(config, log_format, pid_file, log_file)


def _start(files: "Files", arguments: list[str]) -> int:
    from pgdoctor_lib.agent import background

    print(f"Daemon started (PID: {background.start(files, arguments)})")
    print(f"Log file: {files.log}")
    return 0


def _stop(files: "Files") -> int:
    from pgdoctor_lib.agent import background

    pid = background.stop(files)
    print("Daemon is not running" if pid is None else f"Daemon stopped (PID: {pid})")
    return 1 if pid is None else 0


def _reload(files: "Files") -> int:
    from pgdoctor_lib.agent import background

    pid = background.reload(files)
    print("Daemon is not running" if pid is None else f"Daemon reloaded its configuration (PID: {pid})")
    return 1 if pid is None else 0


def _check(config: str | None) -> None:
    """Before a restart: what could not start again is not stopped."""
    from pgdoctor_lib.config import load

    load.load(config, os.environ)


def _status(files: "Files", json: bool) -> int:
    from pgdoctor_lib.agent import background
    from pgdoctor_lib.clock import SYSTEM

    found = background.ask(files)
    now = SYSTEM.elapsed()
    if json:
        told = found.as_json(now, time.time()) if found else {}
        print(jsonlib.dumps({"running": found is not None, **told}))
    else:
        print("Daemon is not running" if found is None else "\n".join(found.lines(now)))
    if found is None:
        return NOT_RUNNING
    return OVERDUE if found.overdue(now) else 0


def _logs(files: "Files", lines: int, follow: bool) -> int:
    from pgdoctor_lib.agent import logfile

    if lines < 0:
        raise UsageError("-n must be 0 or more")
    try:
        for piece in logfile.read(files.log, lines, follow):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        pass
    return 0
