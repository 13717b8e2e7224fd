"""The parser, and the border at which every error becomes one line on standard error."""

import argparse
import inspect
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import argh

from pgdoctor_lib import __version__, startup
from pgdoctor_lib.cli import bundle, check, compare, config, daemon, demo, notify, oneshot, report, serve, serve_token
from pgdoctor_lib.debug import is_on, trace
from pgdoctor_lib.errors import PGDoctorError, UsageError
from pgdoctor_lib.secret import one_line

_SHORT = {"help": "-h", "follow": "-f", "lines": "-n", "output": "-o"}
_BY_KEYWORD = argh.assembling.NameMappingPolicy.BY_NAME_IF_KWONLY


class _Parser(argh.ArghParser):
    """argparse's own complaints as PGDoctor's: one line, exit status 2. An option has one name: see hidden.py."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(one_line(message), hint=f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status. Errors are one line, a traceback only with --debug or PGDOCTOR_DEBUG=1."""
    arguments = _global_options_last(list(sys.argv[1:] if argv is None else argv))
    if "--debug" in arguments:
        os.environ["PGDOCTOR_DEBUG"] = "1"  # the background daemon inherits it
    _speak_utf8()
    try:
        return _dispatch(arguments)
    except PGDoctorError as error:
        return _report(error, str(error), error.exit_status)
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _report(error, f"{error.strerror or error}{where}", 1)
    except Exception as error:  # noqa: BLE001 (a border: one line, whatever happens)
        what = f"internal error: {type(error).__name__}: {error}"
        return _report(error, f"{what}; please report it with the output of --debug", 1)


def parser() -> argh.ArghParser:
    """The whole command line."""
    root = _Parser(
        prog="pgdoctor", description="Watch PostgreSQL databases and upload what is measured to an endpoint."
    )
    root.add_argument("--version", action="version", version=f"pgdoctor {__version__}")
    root.add_commands(
        [
            daemon.daemon,
            oneshot.snapshot,
            oneshot.upload,
            check.check,
            check.explain,
            report.report,
            bundle.bundle,
            compare.diff,
            compare.mark,
            serve.serve,
            demo.demo,
            version,
        ],
        name_mapping_policy=_BY_KEYWORD,
    )
    root.add_commands(
        [config.init, config.show, config.path, config.test],
        group_name="config",
        group_kwargs={"title": "write, show, find or test the configuration"},
        name_mapping_policy=_BY_KEYWORD,
    )
    root.add_commands(
        [notify.test],
        group_name="notify",
        group_kwargs={"title": "try who is told of findings"},
        name_mapping_policy=_BY_KEYWORD,
    )
    for command in _leaves(root):
        _complete(command)
    _groups(root)["serve"].epilog = "further commands, each with its own --help: serve token, serve migrate"
    return root


def parser_below_serve() -> argh.ArghParser:
    """What stands behind `serve`, which is a command itself."""
    root = _Parser(prog="pgdoctor serve")
    root.add_commands(
        [serve_token.add, serve_token.list_all, serve_token.revoke],
        group_name="token",
        group_kwargs={"title": "projects' tokens"},
        name_mapping_policy=_BY_KEYWORD,
    )
    root.add_commands([serve.migrate], name_mapping_policy=_BY_KEYWORD)
    for command in _leaves(root):
        _complete(command)
    return root


def version() -> None:
    """Print the version."""
    print(f"pgdoctor {__version__}")


def _dispatch(arguments: list[str]) -> int:
    root = parser()
    if arguments[:1] == ["serve"] and arguments[1:2] and arguments[1] in _groups(parser_below_serve()):
        root, arguments = parser_below_serve(), arguments[1:]
    command, chosen = argh.parse_and_resolve(root, argv=arguments, completion=False)
    if command is None:
        groups = _groups(root)
        (groups.get(arguments[0], root) if arguments else root).print_help()
        return 2
    # argh's own call would print the exit status that a command returns.
    parameters = inspect.signature(command).parameters.values()
    by_place = [getattr(chosen, each.name) for each in parameters if each.kind is not each.KEYWORD_ONLY]
    by_name = {each.name: getattr(chosen, each.name) for each in parameters if each.kind is each.KEYWORD_ONLY}
    if command not in (daemon.daemon, serve.serve):  # these take signals once they can end gracefully
        startup.take_signals()
    status = command(*by_place, **by_name)
    sys.stdout.flush()
    return status if isinstance(status, int) else 0


def _groups(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: below
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, below in action.choices.items()
    }


def _leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [leaf for below in _groups(parser).values() for leaf in (_leaves(below) or [below])]


def _complete(command: argparse.ArgumentParser) -> None:
    """--config and --debug go with every command; the one-letter options that argh makes up are not promised."""
    command.formatter_class = argparse.HelpFormatter
    for action in command._actions:
        if action.dest == "from_file":  # --from: no parameter may be called so
            action.option_strings = ["--from"]
            command._option_string_actions["--from"] = command._option_string_actions.pop("--from-file")
        for made_up in [each for each in action.option_strings if len(each) == 2 and each != _SHORT.get(action.dest)]:
            action.option_strings.remove(made_up)  # type: ignore[attr-defined]
            del command._option_string_actions[made_up]
        if action.dest == "config":
            action.metavar, action.help = "PATH", "the configuration file"
    if "--config" not in command._option_string_actions:
        command.add_argument("--config", metavar="PATH", help="the configuration file (not used by this command)")
    command.add_argument("--debug", action="store_true", help="show a traceback with an error")


def _global_options_last(arguments: list[str]) -> list[str]:
    """`pgdoctor --config X snapshot` is `pgdoctor snapshot --config X`."""
    leading: list[str] = []
    while arguments and arguments[0].partition("=")[0] in ("--debug", "--config"):
        width = 2 if arguments[0] == "--config" else 1
        leading, arguments = leading + arguments[:width], arguments[width:]
    return arguments + leading if arguments else leading


def _speak_utf8() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _drop_stdout() -> None:
    """Nobody reads any more: what is still buffered must not raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _report(error: Exception, message: str, status: int) -> int:
    if is_on(os.environ):
        print(trace(error), file=sys.stderr, end="")
    print(f"pgdoctor: {one_line(message, 2000)}", file=sys.stderr)
    return status
