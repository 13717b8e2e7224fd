"""`snapshot` and `upload`: one cycle, or the first half of one, in the foreground."""

import os
import sys

from argh import arg

from pgdoctor_lib.cli.examine import hide, is_dsn
from pgdoctor_lib.config import Config, Target
from pgdoctor_lib.errors import UsageError
from pgdoctor_lib.secret import one_line, printable

_MOST_NAMES = 20


@arg("name", nargs="?", help="one configured database, or a DSN (then no configuration is needed)")
def snapshot(name: str | None = None, *, config: str | None = None) -> None:
    """Collect once and print the JSON on standard output; upload nothing."""
    hide(name)
    from pgdoctor_lib.agent import discovery, oneshot
    from pgdoctor_lib.agent.rules import Rules
    from pgdoctor_lib.clock import SYSTEM
    from pgdoctor_lib.config import load

    rules = Rules()
    if name and is_dsn(name):
        target, timeout_s = load.target_of(name, os.environ), Config.cycle_timeout_s
    else:
        loaded = load.load(config, os.environ, need_endpoint=False)
        rules = Rules.of(loaded)
        target, timeout_s = pick(discovery.discovered(loaded, name), name), loaded.cycle_timeout_s
        _warn(loaded)
    sys.stdout.buffer.write(oneshot.take(target, timeout_s, SYSTEM, rules).body() + b"\n")


@arg("name", nargs="?", help="one configured database")
def upload(name: str | None = None, *, config: str | None = None) -> None:
    """Collect once and upload."""
    from pgdoctor_lib.agent import discovery, oneshot
    from pgdoctor_lib.clock import SYSTEM
    from pgdoctor_lib.config import load

    loaded = load.load(config, os.environ)
    target = pick(discovery.discovered(loaded, name), name)
    _warn(loaded)
    receipt = oneshot.upload(loaded, target, SYSTEM, _say_retry)
    told = {"id": receipt.id, "source_id": receipt.source_id, "received_at": receipt.received_at}
    print("uploaded snapshot:", *(f"{key}={value or '-'}" for key, value in told.items()))


def _warn(config: Config) -> None:
    for warning in config.warnings:
        print(f"pgdoctor: warning: {one_line(warning)}", file=sys.stderr)


def _say_retry(attempt: int, attempts: int, wait_s: float, cause: str) -> None:
    print(f"Retry attempt {attempt}/{attempts} in {wait_s:g}s: {cause}", file=sys.stderr)


def pick(config: Config, name: str | None) -> Target:
    """The one of that name, or the only one. UsageError where there are several, or none."""
    all_names = [printable(target.name) + ("/…" if target.discover else "") for target in config.databases]
    names = ", ".join(all_names[:_MOST_NAMES]) + (", …" if len(all_names) > _MOST_NAMES else "")
    if name is None and len(all_names) > 1:
        raise UsageError(f"which database? Name one of: {names}")
    for target in config.databases:
        if name in (None, target.name) and not target.discover:
            return target
    raise UsageError(f"no database is called {name}", hint=f"name one of: {names}")
